"""Charts of results that have no page of their own."""

from types import SimpleNamespace

import pytest

from nilometer.decisions import Decision, Decisions
from nilometer.pages.console.cells import _size
from nilometer.pages.console.charts import _timeline, entropy_svg, left_out_svg, timeline_svg
from nilometer.pages.result_charts import coverage_chart, decision_chart
from nilometer.pages.route_charts import _cost_scale


def _decision(value, *, risk=0.2, stability=0.9, abstained=False):
    return Decision(
        value=value,
        risk=risk,
        runner_up=None,
        regret=None,
        stability=stability,
        n_effective=5.0,
        missing_mass=0.0,
        n_failures=0,
        rule="mode",
        abstained=abstained,
    )


def _values(chart):
    found = chart.to_dict()
    data = next(iter(found["datasets"].values())) if "datasets" in found else found["data"]["values"]
    return list(data)


def test_decisions_stand_at_their_risk_and_stability():
    rows = [_decision("a"), _decision("b", risk=0.5, abstained=True), _decision("c", risk=None)]
    found = _values(decision_chart(Decisions(rows, rule="mode", expected=0.2)))
    assert [(row["answer"], row["risk"], row["kind"]) for row in found] == [
        ("a", 0.2, "decided"),
        ("b", 0.5, "abstained"),
    ]
    assert decision_chart(Decisions([_decision("c", risk=None)], rule="mode", expected=0.2)) is None


def _diagnosis(coverage=(), models=()):
    slices = [SimpleNamespace(slice=name, n=n, n_labels=labels) for name, n, labels in coverage]
    return SimpleNamespace(coverage=slices, models=[SimpleNamespace(model=name, n_traces=n) for name, n in models])


def test_responses_and_labels_of_the_largest_slices_are_drawn():
    chart = coverage_chart(_diagnosis([(f"s{i}", i, i // 2) for i in range(1, 51)]))
    rows = _values(chart)
    assert len(rows) == 40
    assert rows[0] == {"name": "s50", "n": 50, "labels": 25}
    assert [layer["mark"]["type"] for layer in chart.to_dict()["layer"]] == ["bar", "tick"]


def test_models_are_drawn_where_no_slices_were_asked_for_and_nothing_without_responses():
    chart = coverage_chart(_diagnosis(models=[("m", 5), ("n", 9)]))
    assert [row["name"] for row in _values(chart)] == ["n", "m"]
    assert chart.to_dict()["mark"]["type"] == "bar"
    assert coverage_chart(_diagnosis()) is None


@pytest.mark.parametrize(
    ("n", "said"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_000_000, "2.0 MB"), (3.25e9, "3.2 GB")]
)
def test_sizes_are_written_in_their_unit(n, said):
    assert _size(n) == said


def test_a_timeline_shows_its_target_and_nothing_is_drawn_of_nothing():
    moment = {"hour": 500_000, "accuracy": 0.8, "low": 0.7, "high": 0.9, "realized_accuracy": None}
    moments = [{**moment, "hour": 500_000 + i, "n_random_labels": 0} for i in range(3)]
    charts = [_timeline(_given(moments, target)).to_dict() for target in (0.6, None)]
    marks = [[layer["mark"]["type"] for layer in chart["layer"]] for chart in charts]
    assert marks[0] == [*marks[1], "rule"]
    assert timeline_svg([{**moments[0], "accuracy": None}], [], target=0.6) is None
    assert entropy_svg([]) is None
    assert left_out_svg([]) is None


def _given(rows, target):
    return {"rows": rows, "lines": [], "target": target}


@pytest.mark.parametrize(("costs", "kind"), [([1.0, 2.0], "linear"), ([0.0, 50.0], "linear"), ([1.0, 50.0], "log")])
def test_costs_far_apart_are_drawn_on_a_logarithmic_axis(costs, kind):
    found = _cost_scale(costs)
    assert ("log" if "log" in str(found.to_dict().get("type")) else "linear") == kind
