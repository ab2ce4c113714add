"""Small files that were once decided wrongly: what each says, and the value that is right."""

import json
import math

import pytest

from nilometer.cli import main

LOGPROBS = [{"token": "4", "logprob": math.log(0.6)}, {"token": "5", "logprob": math.log(0.3)}]
LOGPROBS.append({"token": "3", "logprob": math.log(0.1)})


def said(text, n=3):
    return {"samples": [text] * n}


def scored(before, after="."):
    """A response whose score token, 4, has its alternatives beside it."""
    content = [{"token": before, "logprob": -0.1, "top_logprobs": []}] if before else []
    content.append({**LOGPROBS[0], "top_logprobs": LOGPROBS})
    content.append({"token": after, "logprob": 0.0, "top_logprobs": []})
    choice = {"message": {"content": f"{before}4{after}"}, "logprobs": {"content": content}}
    return {"response": {"choices": [choice]}}


def choices(*texts):
    return {"choices": [{"message": {"content": text}} for text in texts]}


SCALE = ("--metric", "mse", "--labels", "1-5")
PAIRWISE = ("--metric", "accuracy", "--labels", "A,B")
CASES = {
    "a score of 4 is a score, no denominator": (
        SCALE,
        [
            (said("I would give this a score of 4."), 4),
            (said("I give it 4 stars. The summary covers 3 facts, so a rating of 4."), 4),
            (said("Of the 5 facts 2 are wrong: a score of 3"), 3),
            (said("This deserves a rating of 5 because 2 of 3 claims hold"), 5),
            (said("Score of 2"), 2),
            (said("Score: 4 out of 5"), 4),
            (said("4 of 5"), 4),
        ],
    ),
    "nor at the score token": (
        SCALE,
        [
            (scored("Score: "), pytest.approx(4.2)),
            (scored("I would give this a score of "), pytest.approx(4.2)),
            (scored("Of the 5 facts 2 are wrong: a score of "), pytest.approx(4.2)),
        ],
    ),
    "a field names the place in samples": (
        (*SCALE, "--field", "score"),
        [(said('{"score": 3, "max_score": 5}'), 3), (said('{"score": 2, "confidence": 5}'), 2)],
    ),
    "null content is a failed draw": (
        ("--metric", "f1"),
        [(choices(None, None, "Oslo, Bergen"), ["bergen", "oslo"]), (choices("Oslo", "Oslo", "Bergen"), ["oslo"])],
    ),
    "null content is no text": (("--metric", "accuracy"), [(choices(None, None, "Oslo, Bergen"), "oslo, bergen")]),
    "the better letter is the answer": (
        PAIRWISE,
        [
            (said("A is better than B."), "A"),
            (said("B is worse than A"), None),
            (said("I prefer A over B"), "A"),
            (said("Answer A, not B"), "A"),
            (said("Both A and B are fine; A"), "A"),
            (said("Assistant A wins"), "A"),
            (said("A"), "A"),
            (said("I would say it is a tie"), None),
            (said("The better response is A. B lacks detail."), "A"),
        ],
    ),
    "equal draws are stable on a scale with zero": (("--metric", "mape", "--labels", "0-5"), [(said("3", 64), 3)]),
    "numbers are read as they are meant": (
        ("--metric", "mse"),
        [
            (said(text, 2), value)
            for text, value in {
                **{"99": 99, "0.8": 0.8, "1.0": 1, "85.5": 85.5, ".8": 0.8, "-.8": -0.8, "8e-1": 0.8, "0,8": 0.8},
                **{"85 %": 85, "8/10": 8, "eight": 8, "Score: 8.": 8, "[[7]]": 7, "7.5/10": 7.5, "4,5": 4.5},
                **{"1.000,5": 1000.5, "42km": 42, "$1,234.50": 1234.5, "\u22123": -3, "three out of 5": 3},
                **{"The score is 9. There are 5 reasons.": 9, "There are 5 reasons why this is a score of 9": 9},
                **{"On 2026/04/19 the score is 0.8": 0.8, "I'd say 4-5": None, "between 3 and 4": None},
                **{"3.": 3, "1\u00a0000": 1000, "1 000": 1000, "\u00bd": 0.5},
            }.items()
        ],
    ),
    "lists are samples": (("--metric", "f1"), [({"samples": [["oslo", "bergen"], ["oslo"]]}, ["oslo"])]),
    "the rounded mean is of the whole scale": (
        ("--metric", "rounded_mean", "--labels", "1-5"),
        [({"samples": ["1", "5"]}, 3)],
    ),
}


@pytest.fixture
def decided(capsys, tmp_path):
    """``decided(rows, *flags)``: the decisions of a file of these lines, and what was said."""

    def run(rows, *flags):
        file = tmp_path / "case.jsonl"
        lines = [{"prompt_id": f"p{i}", **row} for i, row in enumerate(rows)]
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            main(["decide", str(file), *flags])
        captured = capsys.readouterr()
        assert ended.value.code == 0, captured.err
        return [json.loads(line) for line in captured.out.splitlines()], captured.err

    return run


@pytest.mark.parametrize("case", CASES)
def test_every_line_of_a_case_has_the_right_value(case, decided):
    flags, lines = CASES[case]
    rows, _ = decided([row for row, _ in lines], *flags)
    wrong = {str(row): got["value"] for (row, value), got in zip(lines, rows, strict=True) if got["value"] != value}
    assert not wrong


def test_failed_draws_are_counted_and_said(decided):
    rows, err = decided([choices(None, None, "Oslo")], "--metric", "accuracy")
    assert rows[0]["n_failures"] == 2
    assert "2 answers could not be read" in err
    answers = [
        {"answer": answer, "prompt_id": "a", "trace_id": f"t{i}"} for i, answer in enumerate((None, None, "Oslo"))
    ]
    rows, err = decided([{**answer, "model": "m"} for answer in answers], "--metric", "accuracy")
    assert (rows[0]["value"], rows[0]["n_failures"]) == ("oslo", 2)


def test_64_equal_draws_are_stable_and_their_risk_is_none(decided, recwarn):
    rows, _ = decided([said("3", 64)], "--metric", "mape", "--labels", "0-5")
    assert (rows[0]["stability"], rows[0]["risk"]) == (pytest.approx(1.0, abs=0.02), 0)
    assert not recwarn.list


def test_the_label_nearest_to_the_mean_has_the_smallest_risk(decided):
    rows, _ = decided([{"samples": ["1", "5"]}], "--metric", "rounded_mean", "--labels", "1-5")
    assert rows[0]["risk"] == 4


def test_letters_in_prose_are_no_choices_when_models_are_compared(capsys, tmp_path):
    lines = []
    for i in range(40):
        right = "ABCDE"[i % 5]
        outputs = {
            "verbose": f"The answer is {right}. It is a well known fact, and I am sure.",
            "brackets": f"({right}) because this is a standard result.",
            "terse": right,
            "wrong": f"{'ABCDE'[(i + 1) % 5]} it is a guess.",
            "also-wrong": f"{'ABCDE'[(i + 2 + i % 2) % 5]}, a hunch",
        }
        lines.append(json.dumps({"id": f"q{i}", "prompt": f"Question {i}: which?", "outputs": outputs}))
    file = tmp_path / "choices.jsonl"
    file.write_text("\n".join(lines))
    with pytest.raises(SystemExit) as ended:
        main(["route", "fit", str(file), "--compare", "choice", "--json"])
    captured = capsys.readouterr()
    assert ended.value.code == 0, captured.err
    found = json.loads(captured.out)
    assert {row["model"] for row in found["models"][:3]} == {"verbose", "brackets", "terse"}
