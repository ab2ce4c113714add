"""Responses that were captured with different probabilities stand for different amounts of traffic."""

import numpy as np
import pyarrow as pa
import pytest

from nilometer.estimators import Estimate, Sentinel, prediction_interval


def _traffic(seed, n=600):
    rng = np.random.default_rng(seed)
    hardness = np.repeat(np.linspace(0.2, 1.4, 8), n // 8)
    entropy = rng.gamma(2.0, hardness)
    table = pa.table({"max": entropy, "nll_sum": entropy + rng.random(len(entropy))})
    return table, (rng.random(len(entropy)) < np.exp(-entropy / 2)).astype(float), np.round(hardness, 2).astype(str)


@pytest.fixture(scope="module")
def sentinel():
    table, correct, slices = _traffic(0)
    return Sentinel(bootstraps=3).fit(table, correct, groups=slices)


@pytest.fixture(scope="module")
def monitored():
    table, correct, slices = _traffic(1)
    times = np.random.default_rng(2).integers(1, 5, table.num_rows)
    return table, correct, slices, times


def _weighted(table, chances):
    return table.append_column("capture_probability", pa.array(chances, pa.float64()))


def test_weighted_estimate_is_that_of_each_response_repeated(sentinel, monitored):
    table, correct, slices, times = monitored
    rows = np.repeat(np.arange(len(times)), times)
    wanted = sentinel.estimate(table.take(rows), slices[rows], correct=correct[rows])
    got = sentinel.estimate(_weighted(table, 1 / times), slices, correct=correct)
    for one, two in zip(got, wanted, strict=True):
        assert isinstance(one, Estimate)
        assert abs(one.accuracy - two.accuracy) < 1e-12
        assert abs(one.realized_accuracy - two.realized_accuracy) < 1e-12
        assert one.n == (slices == one.slice).sum()
        assert one.high - one.low > two.high - two.low


def test_interval_is_that_of_the_effective_number_of_responses(sentinel, monitored):
    table, _, slices, times = monitored
    name = slices[300]
    own = np.flatnonzero(slices == name)
    weights = times[own].astype(float)
    n_effective = weights.sum() ** 2 / (weights**2).sum()
    facts = sentinel.sum_up(_weighted(table.take(own), 1 / weights))
    (one,) = sentinel.finish(facts, left_out=True)
    assert one.method != "own labels"
    assert one.in_support
    residuals = sentinel.residuals_
    noise = float(np.std(_again(sentinel, facts), ddof=1))
    low, high = prediction_interval(one.accuracy, residuals, n=n_effective, label_noise=noise)
    assert one.low == pytest.approx(low, abs=1e-9)
    assert one.high == pytest.approx(high, abs=1e-9)


def _again(sentinel, sums):
    from nilometer.estimators.accuracy.sums import facts_of_sums

    (facts,) = sentinel.fitted_.spread(facts_of_sums(sentinel.fitted_, sums), {})
    return facts.accuracies[1:]


@pytest.mark.parametrize("chance", [1.0, 0.1, 0.003])
def test_one_probability_for_all_changes_nothing(chance, sentinel, monitored):
    table, correct, slices, _ = monitored
    plain = sentinel.estimate(table, slices, correct=correct)
    weighted = sentinel.estimate(_weighted(table, np.full(table.num_rows, chance)), slices, correct=correct)
    for one, two in zip(plain, weighted, strict=True):
        assert (one.low, one.high) == pytest.approx((two.low, two.high), abs=1e-12)
        assert (one.n, one.n_labels) == (two.n, two.n_labels)


def test_weighted_sums_of_batches_add_up(sentinel, monitored):
    table, _, slices, times = monitored
    whole = _weighted(table, 1 / times)
    total = sentinel.zero()
    for rows in np.array_split(np.random.default_rng(3).permutation(len(times)), 7):
        total = total + sentinel.sum_up(whole.take(rows), slices[rows])
    for one, two in zip(sentinel.finish(total), sentinel.estimate(whole, slices), strict=True):
        assert (one.accuracy, one.low, one.high) == pytest.approx((two.accuracy, two.low, two.high), abs=1e-12)


def test_probability_outside_its_range_is_refused(sentinel, monitored):
    table, *_ = monitored
    with pytest.raises(ValueError, match=r"`capture_probability` must lie in \(0, 1\], got 0 to 0"):
        sentinel.estimate(_weighted(table, np.zeros(table.num_rows)))


def test_method_that_reads_rows_refuses_weights(monitored):
    table, correct, slices, times = monitored
    sentinel = Sentinel(method="pacc", bootstraps=0).fit(table, correct, groups=slices)
    with pytest.raises(ValueError, match="must be one that adds up where probabilities of capture differ"):
        sentinel.estimate(_weighted(table, 1 / times), slices)


def test_no_response_has_no_estimate_also_by_a_method_that_reads_rows(monitored):
    table, correct, slices, _ = monitored
    fitted = Sentinel(method="pacc", bootstraps=3).fit(table, correct, groups=slices)
    assert list(fitted.estimate(table.slice(0, 0), slices[:0])) == []
