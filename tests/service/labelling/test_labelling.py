"""Plans in the store, the queue, the log, and what the labels say."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from nilometer.decisions import PlannedLabel, plan_labels
from nilometer.errors import ConfigError, TraceFormatError
from nilometer.estimators import as_responses
from nilometer.service import Spool, Store, open_database
from nilometer.service.labelling.exchange import export_plan, read_labels_file
from nilometer.service.labelling.log import LabelAct, record_act, undo_act
from nilometer.service.labelling.plans import PlanRow, make_plan, plan_named, save_plan
from nilometer.service.labelling.queue import Claims, next_items, progress_of
from nilometer.service.labelling.results import plan_results
from nilometer.signals import FEATURE_NAMES


def _planned(n, *, slices=1, size=100):
    return [
        PlannedLabel(
            trace_id=f"t{i}",
            slice=f"s{i % slices}",
            stratum=0,
            stratum_size=size,
            inclusion_probability=n / slices / size,
            p_correct=0.5,
            labels_before=0,
            correct_before=0.0,
        )
        for i in range(n)
    ]


@pytest.fixture
def connection(tmp_path):
    connection = open_database(tmp_path / "nilometer.db")
    yield connection
    connection.close()


@pytest.fixture
def frozen(connection):
    """``frozen(n)``: the number of a plan of n responses."""

    def make(n, *, name="plan", seed=0, double=0.0, **given):
        row = PlanRow(0, name, 0, "ann", "all", seed, double, "test", 0)
        texts = {f"t{i}": (f"prompt {i}", f"answer {i}", None) for i in range(n)}
        return save_plan(connection, row, _planned(n, **given), texts=texts)

    return make


def _label(connection, plan, name, correct, *, who="ann"):
    record_act(connection, LabelAct(plan, name, "label", correct), who=who)


def _order(connection, plan):
    query = "SELECT trace_id FROM plan_items WHERE plan=? ORDER BY place"
    return [name for (name,) in connection.execute(query, (plan,))]


def test_order_follows_the_seed_and_not_the_plan(frozen, connection):
    orders = [_order(connection, frozen(50, name=f"p{seed}", seed=seed)) for seed in (1, 1, 2)[:1]]
    orders.append(_order(connection, frozen(50, name="again", seed=1)))
    orders.append(_order(connection, frozen(50, name="other", seed=2)))
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_strata_progress_evenly(frozen, connection):
    plan = frozen(60, slices=3)
    seen = Counter()
    for name in _order(connection, plan):
        seen[int(name[1:]) % 3] += 1
        assert max(seen.values()) - min(seen[s] for s in range(3)) <= 1


@pytest.mark.slow
def test_stop_at_any_point_leaves_the_chances_of_enumeration(connection):
    """Every response of a stratum is equally often the first that is labelled, and among the two that are drawn."""
    profiles = np.full((6, len(FEATURE_NAMES)), 1.0)
    responses = as_responses(profiles, ["a"] * 6, p_correct=np.full(6, 0.5))
    first, drawn, n = Counter(), Counter(), 600
    for seed in range(n):
        planned = plan_labels(responses, [], 2, rng=np.random.default_rng(seed)).labels
        row = PlanRow(0, f"p{seed}", 0, "ann", "all", seed, 0.0, "test", 0)
        plan = save_plan(connection, row, planned, texts={})
        order = _order(connection, plan)
        first[order[0]] += 1
        drawn.update(order)
        assert {one.inclusion_probability for one in planned} == {2 / 6}
    bound = 4 * np.sqrt(n / 6 * 5 / 6)  # four standard deviations of a binomial with chance 1/6
    assert all(abs(count - n / 6) < bound for count in first.values())
    bound = 4 * np.sqrt(n / 3 * 2 / 3)
    assert all(abs(count - n / 3) < bound for count in drawn.values())
    assert len(first) == len(drawn) == 6


def test_two_people_get_different_responses_and_nobody_the_same_twice(frozen, connection):
    plan, claims = frozen(10), Claims()
    ann, bob = (next_items(connection, plan, who, claims=claims) for who in ("ann", "bob"))
    assert not {one.trace_id for one in ann} & {one.trace_id for one in bob}
    _label(connection, plan, ann[0].trace_id, 1.0)
    assert ann[0].trace_id not in {one.trace_id for one in next_items(connection, plan, "ann", claims=claims, most=10)}


def test_claim_ends_so_that_nothing_stays_open_for_good(frozen, connection):
    now = [0.0]
    plan, claims = frozen(1), Claims(clock=lambda: now[0])
    assert next_items(connection, plan, "ann", claims=claims)
    assert next_items(connection, plan, "bob", claims=claims) == []
    now[0] = 601.0
    assert next_items(connection, plan, "bob", claims=claims)


def test_share_labelled_twice_goes_to_a_second_and_disagreement_to_a_third(frozen, connection):
    plan, claims = frozen(1, double=1.0), Claims()
    for who, score, still in (("ann", 1.0, True), ("bob", 0.0, True), ("cem", 0.0, False)):
        (item,) = next_items(connection, plan, who, claims=claims)
        _label(connection, plan, item.trace_id, score, who=who)
        claims.release(plan, item.trace_id, who)
        assert bool(next_items(connection, plan, "dee", claims=Claims())) is still
    (row,), agreement = plan_results(connection, plan)
    assert agreement.share == 0.0
    assert row.n_labels == 1


def test_two_who_agree_need_no_third(frozen, connection):
    plan = frozen(1, double=1.0)
    for who in ("ann", "bob"):
        _label(connection, plan, "t0", 1.0, who=who)
    assert next_items(connection, plan, "cem", claims=Claims()) == []
    assert plan_results(connection, plan)[1].share == 1.0


def test_accuracy_of_a_plan_is_that_of_its_strata(connection):
    planned = [
        PlannedLabel(
            trace_id=f"{h}-{i}",
            slice="a",
            stratum=h,
            stratum_size=size,
            inclusion_probability=10 / size,
            p_correct=None,
            labels_before=0,
            correct_before=0.0,
        )
        for h, size in enumerate((100, 300))
        for i in range(10)
    ]
    plan = save_plan(connection, PlanRow(0, "p", 0, "ann", "all", 0, 0.0, "", 0), planned, texts={})
    for one in planned:
        _label(connection, plan, one.trace_id, float(one.stratum == 0 or one.trace_id.endswith(("0", "1"))))
    (row,), _ = plan_results(connection, plan)
    assert row.accuracy == pytest.approx((100 * 1.0 + 300 * 0.2) / 400)
    assert row.low < row.accuracy < row.high


def test_skips_are_bounded_by_both_ends(frozen, connection):
    plan = frozen(10)
    for i in range(8):
        _label(connection, plan, f"t{i}", 1.0)
    for name in ("t8", "t9"):
        record_act(connection, LabelAct(plan, name, "skip", reason="unclear question"), who="ann")
    (row,), _ = plan_results(connection, plan)
    assert (row.n_labels, row.n_skipped) == (8, 2)
    assert (row.if_skipped_wrong, row.if_skipped_right) == (pytest.approx(0.8), pytest.approx(1.0))


def test_log_is_appended_and_says_who_before_and_after(frozen, connection):
    plan = frozen(2)
    _label(connection, plan, "t0", 1.0)
    _label(connection, plan, "t0", 0.5)
    assert undo_act(connection, plan, who="ann") == "t0"
    rows = connection.execute("SELECT id, who, act, before, after FROM label_events ORDER BY id").fetchall()
    assert [row[1:] for row in rows] == [
        ("ann", "label", None, 1.0),
        ("ann", "label", 1.0, 0.5),
        ("ann", "undo", 0.5, 1.0),
    ]
    assert all(a[0] < b[0] for a, b in pairwise(rows))
    assert connection.execute("SELECT correct, is_random FROM labels").fetchall() == [(1.0, 0)]
    assert undo_act(connection, plan, who="ann") == "t0"
    assert connection.execute("SELECT count(*) FROM labels").fetchone() == (0,)
    assert undo_act(connection, plan, who="ann") is None
    assert undo_act(connection, plan, who="bob") is None


@pytest.mark.parametrize(
    ("act", "error"),
    [
        (LabelAct(1, "elsewhere", "label", 1.0), "`trace_id` must be one of the plan"),
        (LabelAct(1, "t0", "label", 1.5), r"`correct` must be .* a score in \[0, 1\], got 1.5"),
        (LabelAct(1, "t0", "label", None), "`correct` must be"),
        (LabelAct(1, "t0", "skip"), "`reason` is missing"),
        (LabelAct(1, "t0", "label", 1.0, note="x" * 2001), "`note` must have at most 2000"),
    ],
)
def test_act_that_breaks_a_rule_is_refused(act, error, frozen, connection):
    frozen(1)
    with pytest.raises(TraceFormatError, match=error):
        record_act(connection, act, who="ann")
    assert connection.execute("SELECT count(*) FROM label_events").fetchone() == (0,)


def test_plan_has_a_name_of_its_own(frozen, connection):
    frozen(1)
    with pytest.raises(ConfigError, match="`name` must be new"):
        frozen(1)
    assert plan_named(connection, "").name == "plan"
    assert plan_named(connection, "other") is None


def test_progress_counts_what_is_done_and_mine(frozen, connection):
    plan = frozen(4)
    record_act(connection, LabelAct(plan, "t0", "label", 1.0, milliseconds=2000), who="ann")
    record_act(connection, LabelAct(plan, "t1", "skip", reason="other"), who="bob")
    found = progress_of(connection, plan, "ann")
    assert (found.n_items, found.n_done, found.n_skipped, found.n_mine, found.milliseconds) == (4, 1, 1, 1, 2000.0)


@pytest.mark.parametrize("form", ["csv", "jsonl", "label-studio", "argilla"])
def test_labels_come_back_from_every_export(form, frozen, connection):
    plan = frozen(3)
    for name, correct in (("t0", 1.0), ("t1", 0.0), ("t2", 0.5)):
        _label(connection, plan, name, correct)
    acts = read_labels_file(export_plan(connection, plan, form), plan)
    assert {act.trace_id: act.correct for act in acts} == {"t0": 1.0, "t1": 0.0, "t2": 0.5}


def test_note_is_no_formula_in_a_spreadsheet(frozen, connection):
    plan = frozen(1)
    record_act(connection, LabelAct(plan, "t0", "label", 1.0, note="=cmd|' /C calc'!A0"), who="ann")
    assert "'=cmd" in export_plan(connection, plan, "csv")
    assert json.loads(export_plan(connection, plan, "jsonl"))["note"].startswith("=cmd")


@pytest.mark.parametrize("name", ["-x0", "=x0", "'x0", "@x0"])
def test_an_id_that_looks_like_a_formula_comes_back_from_a_spreadsheet(name, connection):
    row = PlanRow(0, "plan", 0, "ann", "all", 0, 0.0, "test", 0)
    planned = [replace(_planned(1)[0], trace_id=name)]
    plan = save_plan(connection, row, planned, texts={name: ("prompt", "answer", None)})
    _label(connection, plan, name, 1.0)
    exported = export_plan(connection, plan, "csv")
    assert f",'{name}," in exported
    (act,) = read_labels_file(exported, plan)
    assert act.trace_id == name


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', "x,y\n1,2", '{"trace_id": "t0", "correct": 7}', "[{", ""])
def test_file_that_holds_no_labels_is_refused(text):
    if not text:
        assert read_labels_file(text, 1) == []
        return
    with pytest.raises(TraceFormatError):
        read_labels_file(text, 1)


def test_plan_by_a_column_knows_the_slices_of_the_store(gemma, frame_of, tmp_path):
    rows = gemma[0].to_pylist()[:90]
    asked = json.dumps({"prompt": "7 + 5?"}).encode()
    spool = Spool(tmp_path / "spool")
    for i, row in enumerate(rows):
        spool.write(frame_of(row, i, texts=i % 3 > 0, request=asked if i % 3 else b"", temperature=0.1 * (i % 3)))
    spool.close()
    store = Store(tmp_path, keys=("temperature",), sentinel=gemma[3], most_slices=2)
    store.step()
    hour = store.reader().execute("SELECT min(hour), max(hour) FROM parts").fetchone()
    planned, texts, frame = make_plan(store, store.reader(), "temperature", hours=hour, budget=20, seed=0)
    slices = {
        name for (name,) in store.reader().execute("SELECT DISTINCT slice FROM moments WHERE slice_key='temperature'")
    }
    assert {one.slice for one in planned} <= slices
    assert "(other)" in {one.slice for one in planned}
    assert set(texts) == {one.trace_id for one in planned}
    assert all(int(one.trace_id.removeprefix("chatcmpl-")) % 3 for one in planned)
    assert frame.startswith("60 responses")
    store.close()
