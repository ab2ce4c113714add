import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.signals import entropy_bounds, token_entropy, token_signals
from nilometer.signals.tokens.segments import Segments


def _f32(rows):
    return np.asarray(rows, dtype=np.float32)


@st.composite
def distributions(draw):
    vocabulary = draw(st.integers(3, 40))
    k = draw(st.integers(1, vocabulary - 1))
    scale = draw(st.sampled_from([0.1, 1.0, 5.0]))
    scores = np.random.default_rng(draw(st.integers(0, 2**32))).normal(size=(4, vocabulary)) * scale
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    logs = np.minimum(-np.sort(-logs, axis=1), 0)
    return logs, k, draw(st.integers(0, vocabulary - 1))


def _plain(chosen, top):
    """Entropy, renormalised entropy, varentropy and tail of one token with the math module only."""
    listed = [v for v in top if not math.isnan(v)]
    if listed and chosen < min(listed) - 1e-4:
        listed = [*listed, chosen]
    probabilities = [math.exp(v) for v in listed]
    total = sum(probabilities)
    entropy = -sum(p * math.log(p) for p in probabilities if p)
    q = [p / total for p in probabilities]
    renormalized = -sum(p * math.log(p) for p in q if p)
    varentropy = sum(p * (math.log(p) + renormalized) ** 2 for p in q if p)
    return entropy, renormalized, varentropy, max(0.0, 1 - total)


@given(distributions())
@settings(max_examples=60, deadline=None)
def test_signals_agree_with_plain_python(case):
    logs, k, sampled = case
    chosen, top = logs[:, sampled].astype(np.float32), logs[:, :k].astype(np.float32)
    signals = token_signals(chosen, top)
    expected = np.array([_plain(float(c), [float(v) for v in row]) for c, row in zip(chosen, top, strict=True)])
    got = np.stack([signals.entropy, signals.renormalized_entropy, signals.varentropy, signals.tail_mass], axis=1)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@given(distributions())
@settings(max_examples=60, deadline=None)
def test_bounds_contain_the_true_entropy(case):
    logs, k, _ = case
    true = -(np.exp(logs) * logs).sum(axis=1)
    low, high = entropy_bounds(
        logs[:, 0].astype(np.float32), logs[:, :k].astype(np.float32), vocabulary_size=logs.shape[1]
    )
    assert (low <= true + 1e-4).all()
    assert (high >= true - 1e-4).all()


def test_entropy_of_uniform_is_log_k():
    top = np.full((1, 8), -math.log(8), dtype=np.float32)
    signals = token_signals(top[:, 0], top)
    assert signals.entropy[0] == pytest.approx(math.log(8), abs=1e-6)
    assert signals.varentropy[0] == pytest.approx(0, abs=1e-5)
    assert signals.margin[0] == 0


def test_certain_token_has_zero_entropy_also_with_true_zeros():
    signals = token_signals(_f32([0.0]), _f32([[0.0, -np.inf]]))
    assert signals.entropy[0] == 0
    assert signals.varentropy[0] == 0
    assert signals.tail_mass[0] == 0


def test_sampled_token_outside_the_list_is_counted_once():
    top = np.log(_f32([[0.5, 0.3]]))
    inside, outside = np.log(_f32([0.3])), np.log(_f32([0.1]))
    extra = -0.1 * math.log(0.1)
    assert token_entropy(outside, top)[0] - token_entropy(inside, top)[0] == pytest.approx(extra, abs=1e-6)


def test_rank_counts_better_alternatives():
    top = np.log(_f32([[0.5, 0.3, 0.1]]))
    assert token_signals(np.log(_f32([0.3])), top).rank[0] == 2


def test_unsorted_alternatives_give_the_same_margin():
    top = np.log(_f32([[0.3, 0.5, 0.1]]))
    assert token_signals(top[:, 1], top).margin[0] == pytest.approx(0.2, abs=1e-6)


def test_missing_alternatives_are_nan_not_zero():
    signals = token_signals(_f32([-0.1]), _f32([[np.nan, np.nan]]))
    assert all(np.isnan(values[0]) for values in signals)


def test_bucket_entropy_adds_the_tail_as_one_outcome():
    top = np.log(_f32([[0.5, 0.3]]))
    got = token_signals(top[:, 0], top).bucket_entropy[0]
    assert got == pytest.approx(-sum(p * math.log(p) for p in (0.5, 0.3, 0.2)), abs=1e-6)


def test_positive_logprob_is_refused():
    with pytest.raises(ValueError, match=r"`top` must hold log-probabilities <= 0, got 0\.5"):
        token_entropy(_f32([-0.1]), _f32([[0.5]]))


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="must have shape"):
        token_entropy(_f32([-0.1, -0.2]), _f32([[-0.5]]))


def test_vocabulary_must_exceed_k():
    with pytest.raises(ValueError, match="`vocabulary_size` must be > k = 2"):
        entropy_bounds(_f32([-0.1]), _f32([[-0.5, -1.0]]), vocabulary_size=2)


@pytest.mark.parametrize(("listed", "cut"), [([0.9], 0.1), ([0.2, 0.2], 0.2)])
def test_the_lower_bound_spreads_the_tail_in_pieces_as_large_as_it_may(listed, cut):
    """No unlisted token is more probable than the last listed one, and none than the whole tail."""
    top = np.log(_f32([listed]))
    low, high = entropy_bounds(top[:, 0], top)
    inside = -sum(p * math.log(p) for p in listed)
    assert low[0] == pytest.approx(inside - (1 - sum(listed)) * math.log(cut), abs=1e-6)
    assert high[0] == np.inf


def test_a_sampled_token_of_probability_zero_adds_nothing():
    top = np.log(np.array([[0.5, 0.3]], dtype=np.float32))
    one = token_signals(np.array([-np.inf], dtype=np.float32), top)
    other = token_signals(top[:, 1], top)
    assert one.entropy == pytest.approx(other.entropy)
    assert one.tail_mass == pytest.approx(other.tail_mass)


@pytest.mark.parametrize("width", [1, 3, 8])
def test_windows_of_several_answers_by_a_loop(width):
    parts = [[3.0, 1.0, 2.0, 8.0, 5.0, 4.0], [2.0], [], [7.0, 7.0, 1.0]]
    offsets = np.cumsum([0, *map(len, parts)])
    values = np.concatenate([np.array(part) for part in parts])
    ((lowest, last),) = Segments(offsets).windows(values, [width])
    for part, low, end in zip(parts, lowest, last, strict=True):
        means = [np.mean(part[i : i + width]) for i in range(max(len(part) - width, 0) + 1)] if part else [np.nan]
        assert (low, end) == pytest.approx((min(means), means[-1]), nan_ok=True)


def test_a_listed_probability_of_zero_leaves_finite_bounds():
    low, high = entropy_bounds(_f32([np.log(0.5)]), _f32([[np.log(0.5), -np.inf]]), vocabulary_size=10)
    assert low[0] == pytest.approx(0.5 * np.log(2), rel=1e-5)
    assert low[0] < high[0] < np.log(10)
