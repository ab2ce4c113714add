import math
import statistics

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from nilometer.signals import FEATURE_NAMES, PAPER_FEATURES, Ragged, profile_batch, profile_traces, token_signals
from nilometer.signals.profiles import profile_features
from nilometer.traces import TRACE_SCHEMA


def _random(lengths, seed, k=5):
    rng = np.random.default_rng(seed)
    n = sum(lengths)
    scores = rng.normal(size=(n, 30)) * 3
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    ordered = -np.sort(-logs, axis=1)
    rank = rng.integers(0, 8, n)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Ragged(offsets, ordered[np.arange(n), rank].astype(np.float32), ordered[:, :k].astype(np.float32))


def _quantile(values, q):
    ordered = sorted(values)
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _plain(tokens, i):
    """The features of one response from its token signals, in plain Python."""
    own = slice(int(tokens.offsets[i]), int(tokens.offsets[i + 1]))
    signals = token_signals(tokens.chosen[own], tokens.top[own])
    h = [float(v) for v in signals.entropy]
    n = [-float(v) for v in tokens.chosen[own]]
    c = [float(v) for v in signals.confidence]
    m = [float(v) for v in signals.margin]
    size = len(h)
    mean = sum(h) / size
    std = statistics.stdev(h) if size > 1 else 0.0
    windows = [sum(c[j : j + 32]) / 32 for j in range(size - 31)] or [sum(c) / size]
    third = size // 3
    place = [j / max(size - 1, 1) for j in range(size)]
    line = np.polyfit(place, h, 1)[0] if size > 1 else 0.0
    return {
        "mean": mean,
        "std": std,
        "max": max(h),
        **{f"q{round(100 * q)}": _quantile(h, q) for q in (0.1, 0.25, 0.5, 0.75, 0.9)},
        "skewness": sum((v - mean) ** 3 for v in h) / size / (std**3 + 1e-8),
        "kurtosis": sum((v - mean) ** 4 for v in h) / size / (std**4 + 1e-8),
        "se_sum": sum(h),
        "nll_avg": sum(n) / size,
        "nll_max": max(n),
        "nll_sum": sum(n),
        "lntp": sum(v * math.log(v + 1e-8) for v in n),
        "mtp": max(v * math.log(v + 1e-8) for v in n),
        "ppl": math.exp(sum(n) / size),
        "prob_min": math.exp(-max(n)),
        "answer_prob_min": math.exp(-max(n[-32:])),
        "answer_entropy_max": max(h[-32:]),
        "answer_margin_mean": sum(m[-32:]) / len(m[-32:]),
        "margin_min": min(m),
        "margin_q05": _quantile(m, 0.05),
        "margin_mean": sum(m) / size,
        "varentropy_mean": sum(map(float, signals.varentropy)) / size,
        "varentropy_max": max(map(float, signals.varentropy)),
        "share_above_0_5": sum(v > 0.5 for v in h) / size,
        "share_above_1": sum(v > 1 for v in h) / size,
        "share_above_2": sum(v > 2 for v in h) / size,
        "count_above_1": sum(v > 1 for v in h),
        "share_not_best": sum(v > 1 for v in signals.rank) / size,
        "confidence_mean": sum(c) / size,
        "confidence_low_32": min(windows),
        "confidence_bottom_10": statistics.mean(sorted(c)[: max(size // 10, 1)]),
        "confidence_tail_128": sum(c[-128:]) / len(c[-128:]),
        "decile_0": statistics.mean([h[j] for j in range(size) if j * 10 // size == 0]),
        "decile_9": statistics.mean([h[j] for j in range(size) if j * 10 // size == 9] or [h[-1]]),
        "slope": line,
        "argmax_position": place[h.index(max(h))],
        "last_minus_first": (sum(h[size - third :]) - sum(h[:third])) / third if third else 0.0,
        "tail_mass_mean": sum(map(float, signals.tail_mass)) / size,
        "tail_mass_max": max(map(float, signals.tail_mass)),
    }


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_features_agree_with_plain_python(lengths, seed):
    tokens = _random(lengths, seed)
    features = profile_features(tokens)
    for i, length in enumerate(lengths):
        if length == 0:
            assert np.isnan(features["max"][i])
            assert np.isnan(features["nll_sum"][i])
            continue
        for name, value in _plain(tokens, i).items():
            assert features[name][i] == pytest.approx(value, rel=1e-6, abs=1e-6), (name, length)


def test_one_token_answer_has_finite_features():
    features = profile_features(_random([1], 3))
    assert all(np.isfinite(values[0]) for values in features.values())
    assert features["std"][0] == features["skewness"][0] == features["kurtosis"][0] == features["slope"][0] == 0


def test_a_response_does_not_change_its_neighbours():
    both, alone = _random([7, 9], 5), _random([7, 9], 5)
    single = Ragged(np.array([0, 9]), alone.chosen[7:], alone.top[7:])
    first, second = profile_features(both), profile_features(single)
    for name in first:
        np.testing.assert_allclose(first[name][1], second[name][0], rtol=1e-6, atol=1e-7)


def test_linearity_of_a_straight_line_is_one():
    h = np.linspace(0.1, 0.6, 12)
    p = [next(x / 1e5 for x in range(1, 50000) if -x / 1e5 * math.log(x / 1e5) >= v) if v < 0.36 else 0.36 for v in h]
    top = np.log(np.array(p, dtype=np.float32))[:, None]
    entropies = token_signals(top[:, 0], top).entropy[:6]
    tokens = Ragged(np.array([0, 6]), top[:6, 0], top[:6])
    expected = np.corrcoef(np.arange(6), entropies)[0, 1] ** 2
    assert profile_features(tokens)["linearity"][0] == pytest.approx(expected, abs=1e-6)


def test_without_alternatives_only_chosen_features_exist():
    tokens = _random([4], 1)._replace(top=np.empty((4, 0), dtype=np.float32))
    features = profile_features(tokens)
    assert np.isnan(features["max"][0])
    assert np.isfinite(features["nll_sum"][0])


def test_tokens_without_alternatives_are_left_out():
    tokens = _random([5], 2)
    tokens.top[2] = np.nan
    kept = tokens.keep(np.array([True, True, False, True, True]))
    assert profile_features(tokens)["se_sum"][0] == pytest.approx(profile_features(kept)["se_sum"][0])


def _batch(**row):
    return pa.RecordBatch.from_pylist([{"trace_id": "a", **row}], schema=TRACE_SCHEMA)


def test_profile_has_every_feature_in_order():
    profile = profile_batch(_batch(chosen_logprobs=[-0.1], top_logprobs=[-0.1, -3.0], n_tokens=1, k=2))
    assert tuple(profile.schema.names[-len(FEATURE_NAMES) :]) == FEATURE_NAMES
    assert len(PAPER_FEATURES) == 17


@pytest.mark.parametrize(("reason", "flag"), [("length", 1), ("max_tokens", 1), ("stop", 0), (None, 0)])
def test_truncation_is_read_off_the_finish_reason(reason, flag):
    assert profile_batch(_batch(finish_reason=reason))["truncated"][0].as_py() == flag


@pytest.mark.parametrize(
    ("answer", "n_tokens", "flag"),
    [("  ", 2, 1), ("4", 1, 0), (None, 1, 0), ("4", 0, 1), ("4", None, 0), (None, None, 1)],
)
def test_no_answer_flag(answer, n_tokens, flag):
    assert profile_batch(_batch(answer=answer, n_tokens=n_tokens))["no_answer"][0].as_py() == flag


def test_response_without_logprobs_has_nan_features():
    profile = profile_batch(_batch(answer="4", n_tokens=1))
    assert np.isnan(profile["max"][0].as_py())
    assert np.isnan(profile["nll_sum"][0].as_py())


def test_mixed_k_in_a_batch_is_padded():
    rows = [
        {"trace_id": "a", "chosen_logprobs": [-0.1], "top_logprobs": [-0.1]},
        {"trace_id": "b", "chosen_logprobs": [-0.2], "top_logprobs": [-0.2, -2.0]},
    ]
    profile = profile_batch(pa.RecordBatch.from_pylist(rows, schema=TRACE_SCHEMA))
    assert profile["tail_mass_max"][0].as_py() == pytest.approx(1 - math.exp(-0.1), abs=1e-5)


def test_wrong_number_of_alternatives_names_the_trace():
    with pytest.raises(ValueError, match="got 3 for 2 tokens in trace 'a'"):
        profile_batch(_batch(chosen_logprobs=[-0.1, -0.2], top_logprobs=[-0.1, -0.2, -0.3]))


def test_no_batch_at_all_is_no_table_of_profiles():
    with pytest.raises(ValueError, match="`traces` must hold at least one record batch, got none"):
        profile_traces([])
