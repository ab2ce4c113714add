"""Files that are given from hand to hand: whatever was changed in one, it loads as it was or is refused by name."""

import json
import re
from dataclasses import asdict
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nilometer.decisions import (
    AnswerTable,
    PlannedLabel,
    fit_router,
    load_router,
    read_label_plan,
    save_router,
    write_label_plan,
)
from nilometer.errors import NilometerError
from nilometer.estimators import (
    Sentinel,
    TokenConfidence,
    load_sentinel,
    load_token_confidence,
    save_sentinel,
    save_token_confidence,
)
from nilometer.models import (
    Canary,
    SamplerThresholds,
    read_canary,
    read_thresholds,
    write_canary,
    write_thresholds,
)
from nilometer.signals import profile_traces, read_profiles, write_profiles
from nilometer.traces import corpus_path, read_traces, write_traces
from nilometer.traces.digest import ColumnDigests

N_MUTATIONS = pytest.mark.parametrize("n_mutations", [40, pytest.param(240, marks=pytest.mark.slow)])
RNG = np.random.default_rng(11)
TRACES = read_traces(corpus_path("smollm2")).read_all().slice(0, 40)
DATA = pa.table({"max": RNG.gamma(2.0, 0.5, 60), "nll_sum": RNG.gamma(2.0, 1.0, 60)})


def _save_sentinel(path):
    correct = np.arange(60) % 3 > 0
    save_sentinel(path, Sentinel(bootstraps=0).fit(DATA, correct, groups=np.arange(60) % 6))


def _save_router(path):
    rng = np.random.default_rng(3)
    data = AnswerTable(
        models=("a", "b", "c"),
        embeddings=rng.normal(size=(20, 3, 2)),
        prompts=rng.normal(size=(20, 2)).astype(np.float32),
        costs=np.array([3.0, 2.0, 1.0]),
        scores=(rng.random((20, 3)) < 0.6).astype(float),
    )
    save_router(path, fit_router(data, n_neighbors=5))


def _save_plan(path, form):
    planned = [
        PlannedLabel(
            trace_id=f"t{i}",
            slice="=a" if i % 2 else "b",
            stratum=i % 3,
            stratum_size=7,
            inclusion_probability=1 / 3,
            p_correct=None if i == 4 else i / 13,
            labels_before=2,
            correct_before=1.5,
        )
        for i in range(12)
    ]
    write_label_plan(path, planned, {}, form=form)


def _save_confidence(path):
    X = RNG.exponential(1.0, (200, 1))
    save_token_confidence(path, TokenConfidence(names=("nll",)).fit(X, np.arange(200) % 3 > 0))


def _load_sentinel(path):
    sentinel = load_sentinel(path)
    labelled = sentinel.labelled_
    columns = [labelled.profiles.column(name).tolist() for name in labelled.profiles.names]
    return sentinel.get_params(), columns, labelled.correct.tolist(), [asdict(e) for e in sentinel.estimate(DATA)]


def _load_router(path):
    router = load_router(path)
    return router.smoothie.sums_.tolist(), router.costs.tolist(), [router.route(p) for p in ([0.0, 0.0], [1.0, -1.0])]


def _load_confidence(path):
    found = load_token_confidence(path)
    return found.names, found.n_tokens_, found.predict_proba([[0.5], [3.0]]).tolist()


def _load_plan(path):
    near = [
        {**asdict(row), "p_correct": row.p_correct and round(row.p_correct, 8)} for row in read_label_plan(path).labels
    ]
    return [{**row, "inclusion_probability": round(row["inclusion_probability"], 8)} for row in near]


def _load_traces(path):
    reader = read_traces(path)
    rows = reader.read_all().to_pylist()
    if reader.report.n_bad:
        raise NilometerError(f"{path}: {reader.report.n_bad} bad rows, counted")
    return repr(rows)


KINDS = {
    "sentinel": (_save_sentinel, _load_sentinel),
    "router": (_save_router, _load_router),
    "canary": (
        lambda path: write_canary(
            path, Canary("m", 2, "raw", ["2026-01-01T00:00:00Z"], {"x": [[-0.5, None]], "y": [[-0.25, -1.5]]})
        ),
        read_canary,
    ),
    "plan.jsonl": (lambda path: _save_plan(path, "jsonl"), _load_plan),
    "plan.csv": (lambda path: _save_plan(path, "csv"), _load_plan),
    "confidence": (_save_confidence, _load_confidence),
    "thresholds": (
        lambda path: write_thresholds(path, SamplerThresholds(0.1, 1.0, 0.2, 1.5, None, 0.5, 20, "m", 500)),
        read_thresholds,
    ),
    "profiles": (
        lambda path: write_profiles(path, profile_traces(TRACES)),
        lambda path: repr(read_profiles([path]).to_pylist()),
    ),
    "traces": (lambda path: write_traces(path, TRACES), _load_traces),
}
HEADS = {
    "sentinel": b"nilometer.sentinel",
    "router": b"nilometer.router",
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    for kind, (save, _) in KINDS.items():
        save(folder / kind)
    return {kind: (folder / kind).read_bytes() for kind in KINDS}


def _mutated(data, rng):
    """Flip bits, cut, double, clear or exchange pieces, or change a digit."""
    changed, n = bytearray(data), len(data)
    at, other = (int(i) for i in rng.integers(0, n, 2))
    size = int(rng.integers(1, 30))
    action = int(rng.integers(0, 7))
    if action < 2:
        for place in rng.integers(0, n, 1 + action * 2):
            changed[place] ^= 1 << int(rng.integers(0, 8))
    elif action == 2:
        del changed[at:]
    elif action == 3:
        changed[at:at] = changed[other : other + size]
    elif action == 4:
        changed[at : at + size] = bytes(len(changed[at : at + size]))
    elif action == 5:
        changed[at : at + size], changed[other : other + size] = changed[other : other + size], changed[at : at + size]
    else:
        digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
        changed[digits[at % len(digits)]] = 48 + other % 10
    return bytes(changed)


def _outcome(kind, path):
    """What a file loads as, or the message that refuses it, which names the file."""
    try:
        return KINDS[kind][1](path), ""
    except NilometerError as exc:
        refusal = str(exc)
    assert path.name in refusal, refusal
    return None, refusal


@N_MUTATIONS
@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_file_loads_as_it_was_or_is_refused_by_name(saved, tmp_path, kind, n_mutations):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved[kind])
    whole, _ = _outcome(kind, path)
    rng = np.random.default_rng(5)
    n_refused = 0
    for number in range(n_mutations):
        path.write_bytes(_mutated(saved[kind], rng))
        found, refusal = _outcome(kind, path)
        n_refused += bool(refusal)
        assert refusal or found == whole, f"mutation {number}"
    assert n_refused > n_mutations / 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_refused(saved, tmp_path, kind):
    path = tmp_path / "given.nilo"
    for other, data in saved.items():
        if kind == "traces" and other == "plan.jsonl":
            continue  # its lines are responses: an id, a prompt and an answer, without log-probabilities
        if other.split(".")[0] != kind.split(".")[0]:
            path.write_bytes(data)
            assert _outcome(kind, path)[1], other


STRANGE = (None, True, -1, 0, 1e300, -0.5, 10**9, 10**30, "x", "", [], {}, [[]], [None], ["a", "a"], {"a": 1}, "\ud800")


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


def _altered(head, rng):
    """Give a value of a head another type or size, or take it away."""
    head = json.loads(json.dumps(head))
    places = [place for place in _places(head) if place and place != ("file_version",)]
    *way, last = places[int(rng.integers(len(places)))]
    holder = head
    for key in way:
        holder = holder[key]
    if rng.random() < 0.25:
        del holder[last]
    else:
        holder[last] = STRANGE[int(rng.integers(len(STRANGE)))]
    return json.dumps(head).encode()


def _signed(head, table):
    columns = ColumnDigests()
    columns.add(table)
    total = blake2b(head, digest_size=16)
    for name, digest in columns.finish().items():
        total.update(f"\0{name}\0{digest}".encode())
    return total.hexdigest().encode()


@N_MUTATIONS
@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("is_signed", [True, False])
def test_a_head_that_was_changed_on_purpose_is_refused_or_makes_sense(saved, tmp_path, kind, is_signed, n_mutations):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved[kind])
    table, (whole, _) = pq.read_table(path), _outcome(kind, path)
    metadata = table.schema.metadata
    rng = np.random.default_rng(6)
    for _ in range(n_mutations):
        head = _altered(json.loads(metadata[HEADS[kind]]), rng)
        changed = {**metadata, HEADS[kind]: head}
        if is_signed:
            changed[b"nilometer.digest"] = _signed(head, table)
        pq.write_table(table.replace_schema_metadata(changed), path)
        found, refusal = _outcome(kind, path)
        assert refusal or is_signed or found == whole, head


@pytest.mark.parametrize("kind", HEADS)
def test_columns_that_were_changed_on_purpose_are_refused(saved, tmp_path, kind):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved[kind])
    table = pq.read_table(path)
    head = table.schema.metadata[HEADS[kind]]
    for place, name in enumerate(table.column_names):
        for values in (
            pa.nulls(len(table)),
            pa.array(["x"] * len(table)),
            pa.array([float("inf")] * len(table)),
            pa.array([[1.0]] * len(table)),
        ):
            if name in {"_slice", "_family"} and pa.types.is_string(values.type):
                continue
            if name == "prompt" and values.type == pa.list_(pa.float64()):
                continue
            changed = table.set_column(place, name, values)
            metadata = {HEADS[kind]: head, b"nilometer.digest": _signed(head, changed)}
            pq.write_table(changed.replace_schema_metadata(metadata), path)
            assert _outcome(kind, path)[1], (name, values.type)


@pytest.mark.parametrize("values", [pa.array([1] * 60), pa.array([0.5, None] * 30)])
def test_a_feature_of_a_sentinel_holds_floating_numbers_and_no_gaps(saved, tmp_path, values):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved["sentinel"])
    table = pq.read_table(path)
    head = table.schema.metadata[HEADS["sentinel"]]
    changed = table.set_column(table.column_names.index("max"), "max", values)
    metadata = {HEADS["sentinel"]: head, b"nilometer.digest": _signed(head, changed)}
    pq.write_table(changed.replace_schema_metadata(metadata), path)
    assert "`max` must hold numbers" in _outcome("sentinel", path)[1]


def test_a_sentinel_and_a_router_of_version_0_2_0_are_read(saved, tmp_path):
    path = tmp_path / "given.nilo"
    for kind, version in (("sentinel", 3), ("router", 1)):
        path.write_bytes(saved[kind])
        table, (whole, _) = pq.read_table(path), _outcome(kind, path)
        head = re.sub(rb'"file_version":\d+', b'"file_version":%d' % version, table.schema.metadata[HEADS[kind]])
        pq.write_table(table.replace_schema_metadata({HEADS[kind]: head}), path)
        assert _outcome(kind, path) == (whole, "")


def test_a_file_from_before_digests_is_not_hashed(saved, tmp_path, monkeypatch):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved["router"])
    table = pq.read_table(path)
    head = re.sub(rb'"file_version":\d+', b'"file_version":1', table.schema.metadata[HEADS["router"]])
    pq.write_table(table.replace_schema_metadata({HEADS["router"]: head}), path)
    monkeypatch.setattr("nilometer.traces.saved._digest", lambda *_: pytest.fail("it was hashed"))
    load_router(path)


def test_a_file_that_unfolds_without_end_is_refused_before_it_is_read(tmp_path, saved, monkeypatch):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved["sentinel"])
    monkeypatch.setattr("nilometer.traces.checked._MOST_CELLS", 100)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.iter_batches", lambda *_, **__: pytest.fail("it was read"))
    assert "rows times columns must be <= 100, got" in _outcome("sentinel", path)[1]


def test_values_that_fill_the_memory_are_refused_while_they_are_read(tmp_path, saved, monkeypatch):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved["sentinel"])
    monkeypatch.setattr("nilometer.traces.checked._MOST_BYTES", 100)
    assert "the values must fit in" in _outcome("sentinel", path)[1]


def test_bootstraps_without_end_are_refused(saved, tmp_path):
    path = tmp_path / "given.nilo"
    path.write_bytes(saved["sentinel"])
    table = pq.read_table(path)
    head = table.schema.metadata[HEADS["sentinel"]].replace(b'"bootstraps":0', b'"bootstraps":1000000000')
    metadata = {HEADS["sentinel"]: head, b"nilometer.digest": _signed(head, table)}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert "bootstraps" in _outcome("sentinel", path)[1]


def test_texts_of_a_plan_are_no_formulas(tmp_path):
    _save_plan(tmp_path / "p.csv", "csv")
    assert ",'=a," in (tmp_path / "p.csv").read_text()
    assert read_label_plan(tmp_path / "p.csv").labels[1].slice == "=a"


def test_a_plan_cut_at_the_end_of_a_line_is_refused(tmp_path):
    for form in ("jsonl", "csv"):
        path = tmp_path / f"p.{form}"
        _save_plan(path, form)
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
        with pytest.raises(NilometerError, match=r"lines are missing, changed or of another plan\. Give the file"):
            read_label_plan(path)
