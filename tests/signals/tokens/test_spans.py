import numpy as np
import pyarrow as pa
import pytest

from nilometer.signals import FEATURES, profile_batch
from nilometer.traces import Trace, trace_batch


def _trace(tokens, probabilities, name="a"):
    chosen = np.log(np.float32(probabilities))
    top = np.log(np.stack([probabilities, 1 - np.float64(probabilities)], axis=1).astype(np.float32) + 1e-9)
    return Trace(
        trace_id=name,
        k=2,
        n_tokens=len(tokens),
        tokens=tokens,
        answer="".join(tokens),
        chosen_logprobs=chosen,
        top_logprobs=np.minimum(top, 0),
    )


def _span(*traces, name="answer_prob_min"):
    return profile_batch(trace_batch(list(traces))).column(name).to_pylist()


def test_the_span_is_the_inside_of_the_last_box():
    tokens = ["\\boxed{", "7", "}", " or ", "\\boxed", "{", "4", "2", "}", "."]
    p = [0.5, 0.1, 0.5, 0.2, 0.5, 0.5, 0.8, 0.7, 0.5, 0.3]
    assert _span(_trace(tokens, p)) == pytest.approx([0.7])


def test_braces_inside_the_box_belong_to_it():
    tokens = ["\\boxed{\\frac{", "1", "}{", "2", "}}", " ", "end"]
    assert _span(_trace(tokens, [0.9, 0.8, 0.7, 0.6, 0.95, 0.1, 0.1])) == pytest.approx([0.6])


def test_an_open_box_reaches_to_the_end():
    assert _span(_trace(["\\boxed{", "1", "2"], [0.2, 0.9, 0.6])) == pytest.approx([0.6])


def test_without_a_box_the_span_is_the_last_32_tokens():
    tokens, p = ["x"] * 40, np.full(40, 0.9)
    p[5], p[20] = 0.1, 0.4
    boxed = _trace(["\\boxed{", "1", "}"], [0.5, 0.8, 0.5], "b")
    assert _span(_trace(tokens, p), boxed) == pytest.approx([0.4, 0.8])


def test_tokens_without_logprobs_do_not_shift_the_span():
    trace = _trace(["so ", "\\boxed{", "1", "}"], [0.5, 0.5, 0.8, 0.5])
    trace.chosen_logprobs[0] = np.nan
    assert _span(trace) == pytest.approx([0.8])


def test_margin_and_entropy_are_of_the_span():
    trace = _trace(["a", "\\boxed{", "1", "}"], [0.5, 0.5, 0.8, 0.5])
    entropy = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2))
    assert _span(trace, name="answer_margin_mean") == pytest.approx([0.6])
    assert _span(trace, name="answer_entropy_max") == pytest.approx([entropy], rel=1e-5)


def test_a_batch_without_texts_is_profiled():
    trace = _trace(["a", "b"], [0.5, 0.9])
    trace.tokens = trace.answer = None
    assert _span(trace) == pytest.approx([0.5])
    assert isinstance(trace_batch([trace]), pa.RecordBatch)


def test_every_feature_has_a_range_and_a_direction():
    for feature in FEATURES.values():
        assert feature.sign in {-1, 0, 1}
        assert feature.low < feature.high
