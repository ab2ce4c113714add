"""What the verbs print where it is rarely asked for."""

import json
import sys

import numpy as np
import pytest

from nilometer.cli import main
from nilometer.cli.demo import _best_slice, _show
from nilometer.cli.plans.measure import _measured
from nilometer.cli.plans.weak import _verdict
from nilometer.cli.sampler import _show as show_thresholds
from nilometer.estimators import NotEnoughData, Sentinel, save_sentinel
from nilometer.models import Canary, SamplerThresholds, write_canary
from nilometer.service import LabelIn, Spool, Store, spool_traces
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, write_traces


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def gemma(tmp_path_factory):
    """Traces, a file of a sentinel without a bootstrap, and the folder of both."""
    folder = tmp_path_factory.mktemp("gemma")
    traces = read_traces(corpus_path("gemma3")).read_all()
    domains = [dict(row)["domain"] for row in traces["attributes"].to_pylist()]
    profiles = profile_traces(traces.to_batches())
    fitted = Sentinel(bootstraps=0).fit(profiles, profiles["correct"].to_numpy(), groups=domains)
    save_sentinel(folder / "s.nilo", fitted)
    return traces, fitted, folder


def test_watch_shows_every_window_and_the_evidence_where_it_is_asked_for(call):
    shared = "watch traces/2026-09-09.jsonl traces/2026-09-10.jsonl --reference traces/2026-09-01.jsonl --by tier"
    code, out, _ = call(f"{shared} --verbose")
    assert (code, "evidence 2026-09-10, paid: the score drifted" in out) == (3, True)
    assert "more rows of slices and windows" not in out
    assert "more rows of slices and windows: --verbose prints them" in call(shared)[1]


def test_demo_shows_estimates_beside_labels_and_the_slice_that_got_worse(gemma, capsys, tmp_path):
    traces, fitted, _ = gemma
    store = Store(tmp_path, keys=("domain",), sentinel=fitted)
    spool = Spool(store.spool)
    spool_traces(spool, traces.slice(0, 300).to_batches())
    spool.close()
    while store.step():
        pass
    ids = traces["trace_id"].to_pylist()[:100]
    store.add_labels([LabelIn(name, i % 2 == 0, is_random=True) for i, name in enumerate(ids)], who="test")
    store.step()
    best = _best_slice(traces)
    _show(store, drifted=best)
    store.close()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["slice", "responses", "estimate", "interval", "labels", "right"]
    assert sum(int(row.split()[1]) for row in rows) == 300
    assert all(row.endswith("got worse") == row.startswith(best) for row in rows)


def test_serve_keeps_a_given_sentinel_and_watches_the_model_by_its_canary(gemma, capsys, monkeypatch, tmp_path):
    _, _, folder = gemma
    write_canary(tmp_path / "c.json", Canary("m", 2, "raw", ["2026-01-01T00:00:00Z"], {"x": [[-0.5, -1.0]]}))
    monkeypatch.setitem(sys.modules, "uvicorn", None)  # so that nothing is served
    watched = ("--canary", tmp_path / "c.json", "--canary-model", "openai:http://127.0.0.1:9/v1")
    code, _, err = run(capsys, "serve", tmp_path / "store", "--sentinel", folder / "s.nilo", *watched)
    assert (code, "There is no sentinel" in err) == (2, False)
    assert (tmp_path / "store" / "sentinel.parquet").read_bytes() == (folder / "s.nilo").read_bytes()


def test_rescoring_says_how_many_are_scored_and_stops_at_a_problem(gemma, capsys, tmp_path):
    traces, fitted, folder = gemma
    store = Store(tmp_path / "store", keys=("domain",))
    spool = Spool(store.spool)
    spool_traces(spool, traces.slice(0, 50).to_batches())
    spool.close()
    store.step()
    store.close()
    code, _, err = run(capsys, "store", "rescore", tmp_path / "store", "--sentinel", folder / "s.nilo")
    assert (code, "50 of 50 responses are scored by" in err) == (0, True)
    assert fitted.n_labels_ > 0


def test_slices_that_cannot_be_measured_or_judged_say_what_is_missing():
    row = NotEnoughData(slice="a", n=7, reason="Too few.", needed="Label more.")
    assert _measured(row, None)[:4] == ("a", "7", "unknown", "Too few. Label more.")
    assert [_verdict(p, 0.1) for p in (None, 0.05, 0.5)] == ["label 20 of it to know", "confirmed", "not confirmed"]


def test_thresholds_of_attention_are_shown_where_there_are_any(capsys):
    limits = SamplerThresholds(0.1, 1.0, 0.2, 2.0, 0.6, 0.7, 20, "m", 500)
    show_thresholds(limits, {"certain": 1.0})
    assert "scattered above 0.600, heads disagree below 0.700" in capsys.readouterr().out


def test_fit_prints_what_it_kept_as_json(capsys, tmp_path):
    table = read_traces(corpus_path("smollm2")).read_all()
    write_traces(tmp_path / "t.parquet", table.take(np.arange(0, table.num_rows, 4)).to_batches())
    code, out, _ = run(
        capsys,
        "fit",
        tmp_path / "t.parquet",
        "--by",
        "domain",
        "--method",
        "constant",
        "--json",
        "--out",
        tmp_path / "s",
    )
    found = json.loads(out)
    assert code == 0
    assert (found["out"], found["n_labels"]) == (str(tmp_path / "s"), len(range(0, table.num_rows, 4)))
    assert len(found["slices"]) > 1
