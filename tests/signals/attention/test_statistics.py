"""Attention statistics against brute force, identities, and finite differences."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from nilometer.signals import (
    ATTENTION_FEATURE_NAMES,
    ATTENTION_FIELDS,
    AttentionStatistics,
    attention_curves,
    attention_entropy,
    attention_features,
    attention_from_batch,
    attention_moments,
    attention_score,
    attention_statistics,
    attention_varentropy,
    lookback_ratio,
    merge_attention,
    normalized_attention_entropy,
    profile_batch,
    rauq,
    sink_mass,
)
from nilometer.signals.attention.scores import attention_agreement
from nilometer.signals.attention.statistics import without_first, without_key
from nilometer.traces import Trace, read_traces, trace_batch, write_traces

scores_lists = st.lists(st.floats(-30, 30), min_size=2, max_size=12)


def _brute(weights):
    """Entropy and varentropy by their definitions, one key at a time."""
    entropy = sum(-a * np.log(a) for a in weights if a > 0)
    return entropy, sum(a * (-np.log(a) - entropy) ** 2 for a in weights if a > 0)


def _softmax(scores):
    weights = np.exp(np.asarray(scores) - np.max(scores))
    return weights / weights.sum()


@given(scores_lists)
def test_entropy_and_varentropy_are_their_definitions(scores):
    entropy, varentropy = _brute(_softmax(scores))
    found = attention_statistics(scores)
    assert found.entropy == pytest.approx(entropy, abs=1e-9)
    assert found.varentropy == pytest.approx(varentropy, abs=1e-8)
    assert attention_entropy(_softmax(scores)) == pytest.approx(entropy, abs=1e-9)
    assert attention_varentropy(_softmax(scores)) == pytest.approx(varentropy, abs=1e-8)


@given(scores_lists)
def test_entropy_is_lse_minus_mean_score_and_varentropy_is_the_score_variance(scores):
    s, a = np.asarray(scores), _softmax(scores)
    found = attention_statistics(scores)
    assert found.lse == pytest.approx(np.log(np.exp(s).sum()), abs=1e-9)
    assert found.entropy == pytest.approx(found.lse - a @ s, abs=1e-8)
    assert found.varentropy == pytest.approx(a @ s**2 - (a @ s) ** 2, abs=1e-6)


def test_varentropy_is_the_slope_of_entropy_in_log_temperature():
    scores, step = np.array([0.3, -1.2, 2.0, 0.1]), 1e-5
    up, down = (attention_statistics(scores / np.exp(sign * step)).entropy for sign in (1, -1))
    assert attention_statistics(scores).varentropy == pytest.approx((up - down) / (2 * step), abs=1e-8)


def test_uniform_and_one_hot_weights_are_the_limits():
    assert attention_entropy(np.full(8, 1 / 8)) == pytest.approx(np.log(8))
    assert attention_entropy([0.0, 1.0, 0.0]) == attention_varentropy([0.0, 1.0, 0.0]) == 0.0
    assert attention_varentropy(np.full(8, 1 / 8)) == pytest.approx(0.0)


def test_varentropy_of_a_single_query_is_not_zero():
    """A predecessor took the variance over query rows, which is zero for every generated token."""
    assert attention_varentropy([[0.7, 0.2, 0.1]])[0] == pytest.approx(_brute([0.7, 0.2, 0.1])[1])


def test_statistics_of_several_heads_by_hand():
    found = attention_statistics(np.log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]), n_prompt=2)
    mean = np.array([0.375, 0.375, 0.25])
    assert np.exp(found.first_logprob) == pytest.approx([0.5, 0.25])
    assert np.exp(found.self_logprob) == pytest.approx([0.25, 0.25])
    assert np.exp(found.prompt_logprob) == pytest.approx([0.75, 0.75])
    assert found.divergence[0] == pytest.approx(
        sum(a * np.log(a / m) for a, m in zip([0.5, 0.25, 0.25], mean, strict=True))
    )
    assert found.n_keys.tolist() == [3, 3]


def test_hidden_keys_count_for_nothing():
    shown = attention_statistics([[1.0, 2.0, 0.5]], n_prompt=2)
    padded = attention_statistics([[-np.inf, -np.inf, 1.0, 2.0, 0.5]], first=2, n_prompt=4)
    for one, other in zip(shown, padded, strict=True):
        assert one == pytest.approx(other)
    gone = attention_statistics([[1.0, 2.0]], first=-1, n_prompt=0)
    assert np.isneginf(gone.first_logprob).all()
    assert np.isneginf(gone.prompt_logprob).all()


@given(scores_lists, st.integers(0, 12))
def test_parts_merge_to_the_whole_in_any_split_and_order(scores, cut):
    one, other = attention_moments(scores[:cut]), attention_moments(scores[cut:])
    whole = attention_statistics(scores)
    for merged in (merge_attention(one, other), merge_attention(other, one)):
        assert merged.lse == pytest.approx(whole.lse, abs=1e-9)
        assert merged.entropy == pytest.approx(whole.entropy, abs=1e-8)
        assert merged.varentropy == pytest.approx(whole.varentropy, abs=1e-6)


@given(scores_lists, st.integers(0, 11))
def test_taking_a_key_out_equals_leaving_it_out(scores, place):
    place %= len(scores)
    whole, rest = attention_statistics(scores), attention_statistics(np.delete(scores, place))
    p = scores[place] - whole.lse
    found = without_key(whole.lse, whole.entropy, whole.varentropy, key_logprob=p)
    if np.exp(p) > 1 - 1e-6:
        assert np.isnan(found.entropy)
        return
    tolerance = 1e-9 / (1 - np.exp(p)) ** 2 + 1e-8
    assert found.lse == pytest.approx(rest.lse, abs=tolerance)
    assert found.entropy == pytest.approx(rest.entropy, abs=tolerance)
    assert found.varentropy == pytest.approx(rest.varentropy, abs=100 * tolerance)


def test_sink_free_statistics_leave_out_the_first_token():
    whole = attention_statistics([[5.0, 0.0, 1.0, 2.0]])
    assert without_first(whole).entropy[0] == pytest.approx(attention_statistics([0.0, 1.0, 2.0]).entropy)


def test_learned_sink_takes_its_softmax_share():
    scores, sink = np.array([0.2, 1.0, -0.5]), 0.7
    with_sink = _softmax([*scores, sink])
    assert sink_mass(attention_statistics(scores).lse, sink) == pytest.approx(with_sink[-1])


def test_normalized_entropy_is_one_for_uniform_of_any_length():
    n = np.array([2, 17, 400])
    assert normalized_attention_entropy(np.log(n), n) == pytest.approx(1.0)


def test_lookback_ratio_by_hand_and_at_its_limits():
    assert lookback_ratio(np.log(0.6), 3, 2) == pytest.approx(0.2 / (0.2 + 0.2))
    assert lookback_ratio(0.0, 5, 0) == 1.0
    assert lookback_ratio(-np.inf, 0, 5) == 0.0


def _uniform(n_keys, n_prompt):
    rows = [np.where(np.arange(max(n_keys)) < n, 0.0, -np.inf) for n in n_keys]
    found = attention_statistics(np.array(rows)[:, None, None], n_prompt=np.array(n_prompt)[:, None])
    return attention_features(np.full(len(n_keys), 0.5), found)["attention_lookback"]


def test_mean_lookback_is_one_half_where_every_key_weighs_the_same_and_ends_with_the_window():
    assert _uniform([4, 5, 6], [4, 4, 4]) == pytest.approx(0.5)
    assert _uniform([4, 4, 4, 4, 4, 4], [4, 3, 2, 1, 0, 0]) == pytest.approx(np.mean([0.5, 0.5, 0.5, 0, 0]))
    assert _uniform([4], [4]) == 1.0


def test_agreement_is_one_for_equal_heads_and_zero_for_disjoint_ones():
    same = attention_statistics(np.log(np.tile([0.2, 0.3, 0.5], (4, 1))))
    apart = attention_statistics(np.where(np.eye(4) > 0, 0.0, -np.inf) + np.where(np.arange(4) == 3, 0.0, 0.0))
    assert attention_agreement(same.divergence) == pytest.approx(1.0)
    assert attention_agreement(apart.divergence) == pytest.approx(0.0)


def test_rauq_follows_its_recursion():
    """One layer and two heads: the second attends more to the token before, so it is taken."""
    p = np.array([0.9, 0.5, 0.8])
    weights = np.array([[[0.1, 0.3]], [[0.2, 0.6]], [[0.1, 0.4]]])
    c2 = 0.2 * 0.5 + 0.8 * 0.6 * 0.9
    c3 = 0.2 * 0.8 + 0.8 * 0.4 * c2
    assert rauq(p, np.log(weights)) == pytest.approx(-np.log([0.9, c2, c3]).mean())
    assert rauq(p, np.log(weights), alpha=1.0) == pytest.approx(-np.log(p).mean())


def test_rauq_takes_the_most_unsure_of_the_middle_layers():
    p = np.array([0.9, 0.5])
    weights = np.stack([np.full((2, 1), share) for share in (0.01, 0.5, 0.3, 0.2, 0.9, 0.01)], axis=1)
    each = [rauq(p, np.log(weights[:, i : i + 1])) for i in (2, 3, 4)]
    assert rauq(p, np.log(weights)) == pytest.approx(max(each))


def test_attention_score_sums_over_tokens_and_averages_heads():
    weights = np.array([[[0.5, 0.25]], [[0.1, 0.2]]])
    assert attention_score(np.log(weights)) == pytest.approx([-(np.log(0.05) + np.log(0.05)) / 2])


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: attention_entropy([0.5, 0.4]), "sum to 1"),
        (lambda: attention_entropy([1.5, -0.5]), "must be >= 0"),
        (lambda: attention_statistics([-np.inf, -np.inf]), "visible key in every row"),
        (lambda: attention_statistics([np.nan, 0.0]), "must be finite"),
        (lambda: rauq([0.5], np.zeros((2, 1, 1))), r"must have shape \(tokens, layers, heads\)"),
        (lambda: rauq([0.5], np.zeros((1, 1, 1)), alpha=0.0), r"`alpha` must lie in \(0, 1\], got 0"),
        (lambda: attention_features([], attention_statistics(np.zeros((0, 1, 1, 2)))), "must have shape"),
    ],
)
def test_bad_input_is_named(call, reason):
    with pytest.raises(ValueError, match=reason):
        call()


def _statistics(n_tokens=3, layers=2, heads=2):
    rng = np.random.default_rng(0)
    return attention_statistics(rng.normal(size=(n_tokens, layers, heads, 6)), n_prompt=4)


def _trace(name, statistics):
    values = np.log(np.float32([0.9, 0.5, 0.8]))
    attention = None if statistics is None else np.stack(statistics, -1).astype(np.float32)
    return Trace(
        trace_id=name,
        k=1,
        n_tokens=3,
        chosen_logprobs=values,
        top_logprobs=values[:, None],
        attention=attention,
        attention_prompt=4,
        answer="x",
    )


def test_silent_layers_are_left_out_of_curves():
    whole = _statistics()
    silent = AttentionStatistics(*(np.concatenate([field, np.full_like(field, np.nan)], 1) for field in whole))
    for one, other in zip(attention_curves(whole), attention_curves(silent), strict=True):
        assert one == pytest.approx(other)


def test_statistics_come_back_from_parquet_in_half_precision(tmp_path):
    gone = _statistics()._replace(first_logprob=np.full((3, 2, 2), -np.inf))
    batch = trace_batch([_trace("a", gone), _trace("b", None)])
    write_traces(tmp_path / "t.parquet", [batch])
    assert "attention" not in read_traces(tmp_path / "t.parquet").read_all().column_names
    (read,) = list(read_traces(tmp_path / "t.parquet", keep=["attention"]))
    found, none = attention_from_batch(read)
    assert none is None
    for name, one, other in zip(ATTENTION_FIELDS, found, gone, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-3), name
    assert read["attention_prompt"].to_pylist() == [4, 4]


def test_profiles_gain_attention_features_only_where_the_batch_has_them():
    with_attention = profile_batch(trace_batch([_trace("a", _statistics()), _trace("b", None)]))
    without = profile_batch(trace_batch([_trace("b", None)]))
    assert set(with_attention.schema.names) - set(without.schema.names) == set(ATTENTION_FEATURE_NAMES)
    wanted = attention_features([0.9, 0.5, 0.8], _statistics())
    for name in ATTENTION_FEATURE_NAMES:
        first, second = with_attention[name].to_pylist()
        assert first == pytest.approx(wanted[name], rel=1e-5)
        assert np.isnan(second)
    assert with_attention.select(without.schema.names).slice(1).equals(without)


def test_wrong_number_of_values_names_the_trace():
    row = {"trace_id": "x", "attention": [0.0] * 9, "attention_layers": 1, "attention_heads": 1}
    with pytest.raises(ValueError, match=r"tokens \* layers \* heads \* 8 values, got 9 in trace 'x'"):
        attention_from_batch(pa.RecordBatch.from_pylist([row]))


def test_a_sentinel_takes_an_attention_feature():
    from nilometer.estimators import Sentinel

    rng = np.random.default_rng(0)
    score = rng.random(200)
    correct = rng.random(200) < 1 - score
    sentinel = Sentinel(method="atc", feature="rauq").fit(pa.table({"rauq": score}), correct, groups=np.arange(200) % 5)
    assert sentinel.feature_ == "rauq"


def test_scores_far_apart_neither_overflow_nor_vanish():
    found = attention_statistics(np.array([[1000.0, -1000.0, -np.inf], [-1000.0, -1001.0, -1e5]]))
    assert found.lse == pytest.approx([1000.0, -1000.0 + np.log1p(np.exp(-1.0))])
