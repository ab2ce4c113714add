"""Makers of verifiable problems, and the verifier."""

import numpy as np
import pytest

from nilometer.models import LEVELS, TASKS, Problem, make_problems, verify


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_holds_enough_different_problems_and_its_gold_verifies(task, level):
    problems = make_problems(task, level, 400, rng=np.random.default_rng(0))
    assert len({p.prompt for p in problems}) == len(problems) == 400
    assert all(verify(p, p.gold) and verify(p, p.worked) for p in problems)


def test_excluded_prompts_never_come():
    first = make_problems("addition", 1, 100, rng=np.random.default_rng(0))
    asked = {p.prompt for p in first}
    more = make_problems("addition", 1, 3000, rng=np.random.default_rng(0), exclude=asked)
    assert len(more) == 710
    assert not asked & {p.prompt for p in more}


_DAYS = {1440 * day for day in range(5)}


def _numbers(text):
    return list(map(int, text.split()))


def _put(x, prompt):
    """The left side of ``Solve for x: 3x + 4 = 10`` with the gold in place of x."""
    return prompt.split(":")[1].split("=")[0].strip().replace("x", f"*{x}")


def _arabic(numeral):
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in numeral]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def _minutes(time):
    hours, minutes = time.rstrip(".?").split(":")
    return 60 * int(hours) + int(minutes)


@pytest.mark.parametrize(
    ("task", "level", "check"),
    [
        ("addition", 3, lambda p: eval(p.prompt[8:-1]) == int(p.gold)),
        ("subtraction", 3, lambda p: eval(p.prompt[8:-1]) == int(p.gold) >= 0),
        ("multiplication", 4, lambda p: eval(p.prompt[8:-1]) == int(p.gold)),
        ("running_sum", 4, lambda p: sum(map(int, p.prompt.split(":")[1].split())) == int(p.gold)),
        ("maximum", 4, lambda p: str(max(map(int, p.prompt[:-1].split(":")[1].split()))) == p.gold),
        ("sorting", 4, lambda p: np.sort(np.array(p.prompt.split(":")[1].split(), int)).tolist() == _numbers(p.gold)),
        ("word_reversal", 4, lambda p: p.prompt.split(":")[1].split() == p.gold.split()[::-1]),
        ("spelling_backward", 4, lambda p: p.prompt.split()[-1] == p.gold[::-1]),
        ("letter_counting", 4, lambda p: p.prompt.split('"')[3].count(p.prompt.split('"')[1]) == int(p.gold)),
        ("linear_equation", 4, lambda p: eval(_put(p.gold, p.prompt)) == int(p.prompt.split()[-1])),
        ("roman", 4, lambda p: _arabic(p.gold) == int(p.prompt.split()[1])),
        ("clock", 4, lambda p: _minutes(p.prompt.split()[2]) + int(p.prompt.split()[-3]) - _minutes(p.gold) in _DAYS),
        ("gcd", 3, lambda p: np.gcd(*map(int, p.prompt.rstrip("?").split()[-3::2])) == int(p.gold)),
        ("base_conversion", 4, lambda p: int(p.gold, int(p.prompt[:-1].split()[-1])) == int(p.prompt.split()[1])),
        ("modulo", 5, lambda p: int(p.prompt.split()[5]) % int(p.prompt[:-1].split()[-1]) == int(p.gold)),
        (
            "leap_year",
            3,
            lambda p: (
                (np.datetime64(f"{p.prompt.split()[1]}-12-31") - np.datetime64(f"{p.prompt.split()[1]}-01-01")).astype(
                    int
                )
                == 364 + (p.gold == "yes")
            ),
        ),
    ],
)
def test_gold_answers_agree_with_another_way_of_computing_them(task, level, check):
    assert all(check(p) for p in make_problems(task, level, 100, rng=np.random.default_rng(1)))


@pytest.mark.parametrize(
    ("kind", "gold", "right", "wrong"),
    [
        (
            "number",
            "10",
            ["10", "5 + 5 = 10.", "Answer: 10", "The answer is 10!"],
            ["10 + 5 = 15", "", "110"],
        ),
        ("number", "1200", ["1,200", "1200.0"], ["12000", "1.2"]),
        ("sequence", "1 2 3", ["1, 2, 3", "Sorted: 1 2 3", "Answer: 1 2 3"], ["1 2", "3 2 1", "1 2 3 4"]),
        ("word", "XLII", ["xlii", "It is XLII.", "Answer: XLII"], ["XLI", "XLII or XL"]),
        ("yes_no", "no", ["No.", "No, it is not a leap year", "yes... no"], ["yes", "not sure"]),
        ("text", "New York", ["new  york", "Answer: New York"], ["New York City"]),
    ],
)
def test_verifier_reads_the_last_answer_of_its_kind(kind, gold, right, wrong):
    problem = Problem("t", "1", "?", gold, kind=kind)
    assert all(verify(problem, answer) for answer in right)
    assert not any(verify(problem, answer) for answer in wrong)
