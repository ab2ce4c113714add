"""Comparison of rules: values as scikit-learn has them, intervals that cover."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error

from nilometer.decisions import compare
from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.estimators import Posterior


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    truths = rng.integers(1, 6, n)
    draws = np.clip(np.rint(rng.normal(truths[:, None], 1.2, (n, 7))), 1, 5)
    return [Posterior.from_samples(row) for row in draws], truths


def test_values_agree_with_scikit_learn_and_the_first_rule_gains_nothing():
    posteriors, truths = data(40)
    answers = {"a": [p.mean for p in posteriors], "b": [3.0] * 40}
    cells = {(c.rule, c.metric): c for c in compare(posteriors, truths, answers=answers, metrics=["mae"]).cells}
    assert cells["a", "MAE"].value == pytest.approx(mean_absolute_error(truths, answers["a"]))
    assert (cells["a", "MAE"].gain, cells["a", "MAE"].low, cells["a", "MAE"].high) == (0, 0, 0)
    assert cells["b", "MAE"].gain == pytest.approx(cells["a", "MAE"].value - cells["b", "MAE"].value)


def test_the_sign_of_a_gain_does_not_depend_on_the_metric():
    truths = ["x", "y"] * 10
    posteriors = [Posterior.from_samples([t, t]) for t in truths]
    answers = {"wrong": ["z"] * 20, "right": truths}
    cell = compare(posteriors, truths, answers=answers, metrics=["accuracy"]).cells[1]
    assert (cell.value, cell.gain, cell.low, cell.high) == (accuracy_score(truths, truths), 1, 1, 1)


def test_the_paired_interval_covers_the_true_gain():
    inside = 0
    for seed in range(60):
        posteriors, truths = data(80, seed=seed)
        answers = {"median": [float(np.median(p.values)) for p in posteriors], "mean": [p.mean for p in posteriors]}
        cell = compare(posteriors, truths, answers=answers, metrics=["mae"], seed=seed).cells[1]
        inside += cell.low <= 0.133 <= cell.high
    # 0.133 is the gain over 100,000 prompts of this make; 60 intervals at 0.95, sd 1.7
    assert inside >= 50


def test_too_little_or_unequal_input_is_refused():
    posteriors, truths = data(12)
    with pytest.raises(NotEnoughDataError, match="9 answers with a known truth are too few"):
        compare(posteriors[:9], truths[:9])
    with pytest.raises(ValueError, match="`truths` must be one per posterior, got 3 for 12"):
        compare(posteriors, truths[:3])
    with pytest.raises(ConfigError, match="the answers of a must be one per truth"):
        compare(posteriors, truths, answers={"a": [1.0]})


def test_a_metric_of_all_answers_together_is_resampled_as_a_whole():
    posteriors, truths = data(60)
    rng = np.random.default_rng(3)
    answers = {"noise": rng.integers(1, 6, 60).tolist(), "right": truths.tolist()}
    cell = compare(posteriors, truths, answers=answers, metrics=["qwk"]).cells[1]
    assert cell.value == pytest.approx(1)
    assert 0.3 < cell.low < cell.gain < cell.high
