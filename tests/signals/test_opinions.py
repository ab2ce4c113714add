import numpy as np
import pyarrow as pa
import pytest

from nilometer.signals import add_opinions, agreement, draw_agreement
from nilometer.signals.answers.opinions import parse_stated, stated_confidence


def test_agreement_is_the_share_of_equal_final_answers():
    found = agreement(["So it is 4. Answer: 4", "B", None], [["4", "answer is 5"], [], ["4"]])
    assert found[0] == 0.5
    assert np.isnan(found[1])
    assert found[2] == 0


def test_numbers_agree_by_value():
    assert agreement(["1,200"], [["1200.0", "1200", "1201"]])[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("kind", "expected"), [("exact", 0.0), ("answer", 1.0), ("choice", 1.0)], ids=["exact", "answer", "choice"]
)
def test_the_kind_says_what_counts_as_equal(kind, expected):
    assert agreement(["Answer: B"], [["The answer is B."]], kind=kind)[0] == expected


def test_an_answer_without_a_value_agrees_with_nothing():
    assert agreement(["", "no idea"], [[""], ["nothing here"]], kind="number").tolist() == [0.0, 0.0]


def test_unknown_kinds_and_lengths_are_refused():
    with pytest.raises(ValueError, match="`kind` must be one of answer, exact, choice"):
        agreement(["a"], [["a"]], kind="colour")
    with pytest.raises(ValueError, match="`own` and `other` must be equally long, got 1 and 2"):
        agreement(["a"], [["a"], ["b"]])
    with pytest.raises(ValueError, match="`answers` and `prompts` must be equally long, got 1 and 2"):
        draw_agreement(["a"], np.array([0, 1]))


def test_draws_agree_with_the_other_draws_of_their_prompt():
    rng = np.random.default_rng(0)
    answers = [str(rng.integers(3)) for _ in range(60)]
    prompts = rng.integers(0, 12, 60)
    found = draw_agreement(answers, prompts)
    for i in range(60):
        others = [answers[j] for j in range(60) if prompts[j] == prompts[i] and j != i]
        expected = np.mean([other == answers[i] for other in others]) if others else np.nan
        np.testing.assert_allclose(found[i], expected)


def test_draws_without_an_answer_agree_with_none():
    assert draw_agreement(["", None, "7"], np.zeros(3, dtype=int)).tolist() == [0, 0, 0]
    assert draw_agreement([], np.empty(0, dtype=int)).size == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Answer: C\nConfidence: 85%", 0.85),
        ("**Confidence**: 0.7", 0.7),
        ("Guess: Paris. Probability: 0.35", 0.35),
        ("I am 90% confident that it is B", 0.9),
        ("Confidence score (0-100): 60", 0.6),
        ("confidence: 8/10", 0.8),
        ("Confidence: 20%. On reflection: confidence 40%", 0.4),
        ("Confidence: 683", None),
        ("The answer is 7.", None),
        ("The probability of heads", None),
    ],
)
def test_stated_confidence_is_read(text, expected):
    assert parse_stated(text) == (None if expected is None else pytest.approx(expected))


def test_an_answer_that_states_none_is_nan():
    np.testing.assert_array_equal(stated_confidence(["Confidence: 50%", "no", None]), [0.5, np.nan, np.nan])


PROFILES = pa.table({"max": [0.1, 0.2, 0.3]})
OWN = pa.table(
    {
        "trace_id": ["t1", "t2", "t3"],
        "prompt_id": ["p1", None, None],
        "prompt": ["one", "two", None],
        "model": ["own"] * 3,
        "answer": ["A", "B", "C"],
    }
)


def test_second_answers_are_joined_by_prompt_id_then_prompt_then_trace_id():
    others = pa.table(
        {
            "trace_id": ["x", "y", "t3"],
            "prompt_id": ["p1", None, None],
            "prompt": [None, "two", None],
            "model": ["big"] * 3,
            "answer": ["A", "C", "C"],
        }
    )
    table, said = add_opinions(PROFILES, OWN, others)
    assert table["agrees_with:big"].to_pylist() == [1.0, 0.0, 1.0]
    assert said == ["big answered 3 of 3 responses, 67% of them the same"]


def test_every_model_gets_a_column_and_missing_answers_stay_unknown():
    others = pa.table({"prompt_id": ["p1", "p1", "p1"], "model": ["b", "c", "c"], "answer": ["A", "A", "D"]})
    table, _ = add_opinions(PROFILES, OWN, others)
    np.testing.assert_array_equal(table["agrees_with:b"].to_numpy(), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(table["agrees_with:c"].to_numpy(), [0.5, np.nan, np.nan])
