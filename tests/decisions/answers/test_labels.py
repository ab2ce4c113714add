"""Cost matrices as files, answers among candidates, and metrics of answers whose truths are known."""

import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import RULES, Decisions, among, decide, decide_many, read_cost_matrix
from nilometer.errors import ConfigError
from nilometer.estimators import Posterior


def test_costs_of_json_and_of_csv_are_the_same(tmp_path):
    (tmp_path / "c.csv").write_text("answer,ok,fraud\nok,0,100\nask,2,2\n")
    (tmp_path / "c.json").write_text('{"ok": {"ok": 0, "fraud": 100}, "ask": {"ok": 2, "fraud": 2}}')
    one, other = (read_cost_matrix(tmp_path / f"c.{end}") for end in ("csv", "json"))
    assert (one.answers, one.labels) == (other.answers, other.labels) == (("ok", "ask"), ("ok", "fraud"))
    assert one.costs.tolist() == other.costs.tolist() == [[0, 100], [2, 2]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "at least one answer and one label, got none"),
        ("answer,ok\nok,0,1\n", r"costs:2: a row must have 2 cells"),
        ("answer,ok\nok,dear\n", "the cost of ok under ok must be a number, got 'dear'"),
        ('{"ok": ', "costs must be a JSON object of answers, or CSV"),
        ('{"ok": 4}', "every answer must hold its costs by label"),
        ('{"ok": {"ok": 0}, "ask": {}}', "the cost of ask under ok must be a number, got None"),
    ],
)
def test_costs_that_cannot_be_read_say_why(tmp_path, text, reason):
    (tmp_path / "costs").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        read_cost_matrix(tmp_path / "costs")


def test_among_needs_candidates_and_a_loss_of_single_answers():
    with pytest.raises(ConfigError, match="`candidates` must hold at least one answer, got none"):
        among("mse", [])
    for metric in ("qwk", "interval"):
        with pytest.raises(ConfigError, match=r"chooses no single answer from a list. Leave out `candidates`"):
            among(metric, [1])


def test_the_candidate_with_the_least_expected_loss_is_the_answer():
    posterior = Posterior.from_samples([["a"], ["a", "b"], ["c"]])
    sets = [frozenset(one) for one in (["a", "b", "c"], ["a"], ["c"])]
    risks = [
        np.mean([1 - 2 * len(s & t) / (len(s) + len(t)) for t in map(frozenset, (["a"], ["a", "b"], ["c"]))])
        for s in sets
    ]
    found = decide(posterior, among("f1", sets))
    assert found.value == sets[int(np.argmin(risks))]
    assert found.risk == pytest.approx(min(risks))


@pytest.mark.parametrize(
    ("metric", "answers", "truths", "value"),
    [
        ("mae", [1, 5], [2, 2], 2.0),
        ("zero_one", ["a", "b"], ["a", "c"], 0.5),
        ("absolute_quantile", [1, 2, 3, 4], [1, 2, 3, 14], 10.0),
        ("f1", [frozenset("ab"), frozenset()], [frozenset("a"), frozenset()], (2 / 3 + 1) / 2),
        ("exact_match", [frozenset("ab"), frozenset()], [frozenset("a"), frozenset()], 0.5),
    ],
)
def test_a_metric_of_answers_whose_truths_are_known(metric, answers, truths, value):
    rule = among(metric, answers)
    parameter = rule.parameter.default if rule.parameter is not None else None
    assert rule.realized(answers, truths, parameter) == pytest.approx(value)


def test_decisions_are_a_sequence_and_a_table_also_of_mixed_kinds():
    found = decide_many([Posterior.from_samples([1, 2, 2]), Posterior.from_samples([3, 3])], "zero_one")
    assert found[0].value == 2
    assert found[1:].values == [3]
    assert found.to_arrow()["value"].to_pylist() == [2, 3]
    mixed = Decisions([found[0], decide(Posterior.from_samples(["a", "a"]), "zero_one")], rule="zero_one", expected=0.0)
    assert mixed.to_arrow()["value"].to_pylist() == ["2", "a"]
    assert pa.types.is_string(mixed.to_arrow()["value"].type)


def test_every_rule_has_a_loss_or_a_score():
    for rule in RULES.values():
        assert rule.is_batch or rule.loss is not None or rule.score is not None or rule.losses is not None
