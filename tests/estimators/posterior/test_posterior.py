"""Posteriors from draws and from log-probabilities, checked by hand and by identities."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import linprog

from nilometer.errors import NotEnoughDataError, TraceFormatError
from nilometer.estimators import Posterior, posterior_from_lm_eval, posterior_from_response, posteriors_from_traces
from nilometer.signals import parse_items, parse_label, parse_number, parse_text, parse_tokens


def test_every_draw_counts_the_same_and_duplicates_count_again():
    posterior = Posterior.from_samples(["b", "a", "b", "b"])
    assert posterior.values == ("a", "b")
    assert posterior.weights.tolist() == [0.25, 0.75]
    assert (posterior.n_samples, posterior.n_effective) == (4, 4)


def test_with_probabilities_a_repeated_text_counts_once():
    # the multiset would give b 3 p(b), which is p squared in expectation
    posterior = Posterior.from_samples(["b", "a", "b", "b"], logprobs=np.log([0.6, 0.2, 0.6, 0.6]))
    assert posterior.weights.tolist() == pytest.approx([0.25, 0.75])
    assert posterior.n_effective == pytest.approx(1 / (0.25**2 + 0.75**2))


def test_equal_answers_of_different_texts_add_up():
    posterior = Posterior.from_samples(["4", "4.0", "5"], parse_number(), logprobs=np.log([0.2, 0.1, 0.3]))
    assert posterior.values == (4.0, 5.0)
    assert posterior.weights.tolist() == pytest.approx([0.5, 0.5])


def test_importance_weights_carry_draws_to_another_distribution():
    rng = np.random.default_rng(0)
    drawn, wanted = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    samples = rng.choice(3, 40_000, p=drawn)
    posterior = Posterior.from_samples(
        samples.tolist(), logprobs=np.log(wanted[samples]), sampling_logprobs=np.log(drawn[samples])
    )
    assert posterior.weights == pytest.approx(wanted, abs=0.01)
    assert posterior.n_effective == pytest.approx(40_000 / (wanted**2 / drawn).sum(), rel=0.02)


def test_log_probabilities_of_labels_leave_the_rest_missing():
    posterior = Posterior.from_label_logprobs(
        {"4": math.log(0.6), " 4": math.log(0.1), "the": math.log(0.2)},
        parse=parse_label(range(1, 6)),
        labels=range(1, 6),
    )
    assert posterior.values == (4,)
    assert posterior.missing_mass == pytest.approx(0.3)
    assert posterior.open_labels == (1, 2, 3, 5)
    assert posterior.largest_open == pytest.approx(0.1)


@settings(max_examples=60)
@given(
    listed=st.dictionaries(st.integers(0, 6), st.floats(0.02, 0.2), min_size=1, max_size=4), cap=st.floats(0.01, 0.2)
)
def test_bounds_of_the_mean_are_the_optimum_of_a_linear_program(listed, cap):
    posterior = Posterior.from_masses(listed, labels=range(7), largest_open=cap)
    low, high = posterior.mean_bounds()
    opened = list(posterior.open_labels)
    # Charnes-Cooper: minimise sum(y z) with sum(z) = 1, z = t p for listed labels, z <= t cap for open ones
    keys = list(listed)
    n, m = len(keys), len(opened)
    equal = np.zeros((n + 1, n + m + 1))
    equal[0, : n + m] = 1
    for i, key in enumerate(keys):
        equal[i + 1, i], equal[i + 1, -1] = 1, -listed[key]
    upper = np.zeros((m + 1, n + m + 1))
    for i in range(m):
        upper[i, n + i], upper[i, -1] = 1, -posterior.largest_open
    upper[m, n : n + m], upper[m, -1] = 1, -posterior.missing_mass
    for sign, found in ((1, low), (-1, high)):
        cost = sign * np.array([*keys, *opened, 0.0])
        best = linprog(cost, A_ub=upper, b_ub=np.zeros(m + 1), A_eq=equal, b_eq=[1, *[0] * n], method="highs")
        assert found == pytest.approx(sign * best.fun, abs=1e-7)
    assert low - 1e-12 <= posterior.mean <= high + 1e-12


def test_nothing_missing_leaves_no_doubt_about_the_mean():
    posterior = Posterior.from_label_logprobs({1: math.log(0.5), 2: math.log(0.5)}, labels=[1, 2, 3])
    assert posterior.mean_bounds() == pytest.approx((1.5, 1.5))


def test_tempering_is_the_softmax_at_another_temperature():
    logits = np.array([1.0, 0.2, -0.5])
    at_one = dict(enumerate(logits - np.logaddexp.reduce(logits)))
    cold = Posterior.from_label_logprobs(at_one, temperature=1.0).tempered(0.5)
    assert cold.weights == pytest.approx(np.exp(2 * logits) / np.exp(2 * logits).sum())
    assert cold.tempered(1.0).weights == pytest.approx(np.exp(logits) / np.exp(logits).sum())


def test_tempering_is_refused_where_it_is_not_valid():
    with pytest.raises(ValueError, match="weights of samples cannot be moved"):
        Posterior.from_samples([1, 2], temperature=1.0).tempered(0.5)
    listed = Posterior.from_label_logprobs({1: -1.0, 2: -1.0})
    with pytest.raises(ValueError, match="must know the temperature"):
        listed.tempered(2.0)
    with pytest.raises(ValueError, match="`temperature` must be a finite number > 0, got 0"):
        listed.tempered(0)


def test_failures_are_counted_and_shown_shortened():
    posterior = Posterior.from_samples(["4", "x" * 1000, "9"], parse_number(0, 5))
    assert posterior.n_failures == 2
    assert posterior.failures == ("x" * 120, "9")


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Posterior.from_samples([]), NotEnoughDataError, "there are no samples"),
        (lambda: Posterior.from_samples(["a", "b"], parse_number()), NotEnoughDataError, "none of the 2 samples"),
        (lambda: Posterior.from_samples("44"), TypeError, "`samples` must be a sequence of answers, got one text"),
        (lambda: Posterior.from_samples([1.0, math.inf]), ValueError, "`samples` must be finite numbers, got inf"),
        (lambda: Posterior.from_samples([1, 2], logprobs=[0.5, -1]), ValueError, "`logprobs` must be <= 0, got 0.5"),
        (lambda: Posterior.from_samples([1, 2], logprobs=[np.nan, -1]), ValueError, "must be numbers, got NaN"),
        (lambda: Posterior.from_samples([1, 2], logprobs=[-1]), ValueError, "`logprobs` must be one per sample"),
        (lambda: Posterior.from_samples([1, 2], logprobs=[-np.inf] * 2), ValueError, "a probability above 0"),
        (lambda: Posterior.from_samples([1], sampling_logprobs=[-1]), ValueError, "must come with `logprobs`"),
        (lambda: Posterior.from_label_logprobs({1: 0.7}), ValueError, "`logprobs` must be <= 0, got 0.7"),
        (lambda: Posterior.from_label_logprobs({1: math.nan}), ValueError, "must be numbers, got NaN"),
        (lambda: Posterior.from_label_logprobs({1: -0.1, 2: -0.1}), ValueError, "sum to at most 1, got 1.81"),
        (lambda: Posterior.from_label_logprobs({7: -0.1}, labels=[1, 2]), NotEnoughDataError, "no label of the scale"),
        (lambda: Posterior.from_label_logprobs({}), NotEnoughDataError, "no label of the scale"),
        (lambda: Posterior(values=(1, 2), weights=np.zeros(2)), ValueError, "`weights` must sum to more than 0"),
        (lambda: Posterior(values=(1, 2), weights=np.array([1.0, np.nan])), ValueError, "`weights` must be finite"),
        (lambda: Posterior(values=(1,), weights=np.ones(2)), ValueError, "`weights` must be one per value"),
        (lambda: Posterior.from_samples(["a"]).mean, ValueError, "the answers must be numbers, got 'a'"),
        (lambda: parse_label(["a"]), ValueError, "`labels` must hold at least 2"),
    ],
)
def test_bad_input_is_refused_with_its_reason(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_ten_thousand_long_samples_keep_only_their_values():
    samples = [f"{'word ' * 2000} {i % 7}" for i in range(10_000)]
    posterior = Posterior.from_samples(samples, lambda text: float(text[-1]))
    assert len(posterior.values) == 7
    assert posterior.n_samples == 10_000


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        ("Score: 4/5", 4),
        ("4 out of 5", 4),
        ("-3.5", -3.5),
        ("1,250.50 dollars", 1250.5),
        ("1e3", 1000),
        ("first 2, finally 3.", 3),
        ("−7", -7),
        ("none", None),
        ("", None),
        ("v2beta", None),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    assert parse_number()(text) == number


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("B", "B"),
        ("**B**", "B"),
        ("The answer is (B).", "B"),
        ("A good try, but B", "B"),
        ("a", "A"),
        ("a try", None),
        ("", None),
    ],
)
def test_labels_of_one_letter_are_read_with_their_case(text, label):
    assert parse_label(list("ABCD"))(text) == label


def test_other_parsers():
    assert parse_label([1, 2.5, 10])("10") == 10
    assert parse_label([1, 2.5, 10])("I say 2.5") == 2.5
    assert parse_text("  Ärger!\n") == "ärger"
    assert parse_text("") is None
    assert parse_items("1. Rome\n2. Oslo") == {"rome", "oslo"}
    assert parse_items("[1") is None
    assert parse_tokens("An apple's core") == ("apples", "core")


def test_traces_of_one_prompt_become_one_posterior():
    table = pa.table(
        {"prompt_id": ["p", "q", "p", "p"], "answer": ["4", "nothing", "4", "2"], "temperature": [1.0, 1.0, 1.0, 1.0]}
    )
    found = posteriors_from_traces(table, parse_number())
    assert found["p"].weights.tolist() == pytest.approx([1 / 3, 2 / 3])
    assert found["p"].temperature == 1.0
    assert isinstance(found["q"], NotEnoughDataError)


def test_lm_eval_samples_are_choices_or_draws():
    choice = posterior_from_lm_eval({"doc_id": 1, "resps": [[[-3.0, False]], [[-2.0, True]], [["-9999", "False"]]]})
    assert choice.values == ("0", "1", "2")
    assert choice.weights[1] == pytest.approx(1 / (1 + math.exp(-1)))
    assert choice.missing_mass == pytest.approx(1 - math.exp(-2) - math.exp(-3))
    drawn = posterior_from_lm_eval({"doc_id": 1, "resps": [["4", "4", "5"]]}, parse_number())
    assert drawn.n_samples == 3


def test_lists_sets_and_objects_are_answers():
    assert Posterior.from_samples([{"a", "b"}, ["b", "a"]]).values == (frozenset({"a", "b"}),)
    assert Posterior.from_samples([{"x": 1, "y": [2]}, {"y": [2], "x": 1}]).values == ('{"x": 1, "y": [2]}',)
    assert Posterior.from_samples([["Rome", "Oslo"], None], parse_items).values == (frozenset({"rome", "oslo"}),)


@pytest.mark.parametrize(
    ("resps", "values"),
    [
        ([["4", "4", "5"]], ("4", "5")),
        ([["14"], ["14"], ["15"]], ("14", "15")),
        ([[["-1.0", "True"]], [["-2.0", "False"]]], ("0", "1")),
        (["a", "b"], ("a", "b")),
        ([["a"], []], ("a",)),
    ],
)
def test_samples_of_the_harness_are_likelihoods_or_texts(resps, values):
    assert posterior_from_lm_eval({"resps": resps}).values == values


@pytest.mark.parametrize("resps", [None, [], 4])
def test_a_sample_without_responses_is_refused(resps):
    with pytest.raises(TraceFormatError, match="`resps` must be a list of responses"):
        posterior_from_lm_eval({"resps": resps})


def test_likelihoods_that_are_no_numbers_are_refused():
    with pytest.raises(TraceFormatError, match="`resps` must hold texts or log-likelihoods"):
        posterior_from_lm_eval({"resps": [[["x", "True"]], [[None, "False"]]]})


@pytest.mark.parametrize("response", [{"choices": []}, {"error": "overloaded"}])
def test_a_response_without_a_choice_is_refused(response):
    with pytest.raises(TraceFormatError, match="the response holds no choice"):
        posterior_from_response(response, range(1, 6))
