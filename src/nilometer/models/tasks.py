"""Verifiable tasks in five levels of difficulty, each with its working shown where the task has steps."""

import re
from collections.abc import Callable
from math import gcd
from typing import NamedTuple

import numpy as np

__all__ = ["LEVELS", "TASKS", "Problem", "Task", "final_answer", "make_problems", "verify"]

LEVELS = (1, 2, 3, 4, 5)

_WORDS = [
    "apple",
    "bread",
    "chair",
    "dance",
    "eagle",
    "flame",
    "grape",
    "house",
    "ivory",
    "jelly",
    "knife",
    "lemon",
    "mango",
    "night",
    "ocean",
    "piano",
    "queen",
    "river",
    "stone",
    "table",
    "uncle",
    "voice",
    "water",
    "yacht",
    "zebra",
    "cloud",
    "dream",
    "earth",
    "fruit",
    "glass",
    "heart",
    "index",
    "joker",
    "light",
    "money",
    "north",
    "olive",
    "paper",
    "quiet",
    "radio",
    "sugar",
    "tiger",
    "urban",
    "value",
    "wheel",
    "youth",
    "beach",
    "candy",
    "devil",
    "elbow",
    "fence",
    "ghost",
    "honey",
    "image",
    "judge",
    "label",
    "metal",
    "nurse",
    "onion",
    "pearl",
    "robot",
    "salad",
    "truck",
    "virus",
    "whale",
    "arrow",
    "basin",
    "cabin",
    "diary",
    "event",
    "floor",
    "giant",
    "hotel",
    "jeans",
    "karma",
    "lunch",
    "magic",
    "novel",
    "opera",
    "plant",
    "ruler",
    "snake",
    "tooth",
    "vapor",
    "wagon",
    "acorn",
    "brick",
    "crown",
    "donor",
    "error",
]


class Problem(NamedTuple):
    """One question with its verified answer."""

    task: str
    level: int
    prompt: str
    gold: str
    worked: str


class Task(NamedTuple):
    """A family of problems: a maker of (question, gold, working) and a sentence on what it asks."""

    name: str
    make: Callable[[np.random.Generator, int], tuple[str, str, str]]
    about: str


def _digits(rng: np.random.Generator, n_digits: int) -> int:
    return int(rng.integers(10 ** (n_digits - 1), 10**n_digits))


def _addition(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    a, b = _digits(rng, level), _digits(rng, level)
    return f"What is {a} + {b}?", str(a + b), ""


def _subtraction(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    a, b = sorted((_digits(rng, level), _digits(rng, level)), reverse=True)
    return f"What is {a} - {b}?", str(a - b), ""


def _multiplication(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    a, b = _digits(rng, (level + 1) // 2 + 1), _digits(rng, max(1, level // 2))
    parts = [a * int(d) * 10**i for i, d in enumerate(reversed(str(b)))]
    worked = " + ".join(map(str, parts)) if len(parts) > 1 else ""
    return f"What is {a} * {b}?", str(a * b), worked


def _gcd(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    top = (12, 30, 60, 200, 900)[level - 1]
    common = int(rng.integers(1, max(3, top // 6)))
    a, b = common * int(rng.integers(1, 2 + top // common)), common * int(rng.integers(1, 2 + top // common))
    steps, x, y = [], max(a, b), min(a, b)
    while y:
        steps.append(f"{x}%{y}={x % y}")
        x, y = y, x % y
    return f"What is the greatest common divisor of {a} and {b}?", str(gcd(a, b)), " ".join(steps)


def _sorting(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    n, top = 2 + level, (20, 50, 100, 300, 1000)[level - 1]
    values = [int(v) for v in rng.integers(0, top, n)]
    return f"Sort in ascending order: {' '.join(map(str, values))}", " ".join(map(str, sorted(values))), ""


def _word_reversal(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    words = [_WORDS[i] for i in rng.integers(0, len(_WORDS), level + 1)]
    return f"Write the words in reverse order: {' '.join(words)}", " ".join(reversed(words)), ""


def _letter_counting(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    text = " ".join(_WORDS[i] for i in rng.integers(0, len(_WORDS), level))
    letter = (
        str(rng.choice(list(text.replace(" ", ""))))
        if rng.random() < 0.8
        else "abcdefghijklmnopqrstuvwxyz"[int(rng.integers(26))]
    )
    return f'How many times does the letter "{letter}" occur in "{text}"?', str(text.count(letter)), ""


def _spelling_backward(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    n = 2 + level
    letters = "".join(_WORDS[i] for i in rng.integers(0, len(_WORDS), 2))[:n]
    return f"Spell backward: {letters}", letters[::-1], " ".join(letters)


def _binary(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    value = int(rng.integers(2 ** (level + 1), 2 ** (level + 3)))
    return f"Write {value} in binary.", f"{value:b}", ""


def _linear_equation(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    top = (6, 10, 20, 60, 200)[level - 1]
    a, x, b = int(rng.integers(2, 4 + 2 * level)), int(rng.integers(1, top)), int(rng.integers(1, top))
    return f"Solve for x: {a}x + {b} = {a * x + b}", str(x), f"{a}x = {a * x}"


def _modulo(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    a, m = _digits(rng, (level + 3) // 2), int(rng.integers(2, (6, 10, 13, 20, 60)[level - 1]))
    return f"What is the remainder of {a} divided by {m}?", str(a % m), f"{a // m}*{m}={a // m * m}"


def _leap_year(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    low, high = ((2000, 2030), (1950, 2050), (1900, 2100), (1500, 2500), (3000, 9999))[level - 1]
    year = int(rng.integers(low, high))
    if level > 2 and rng.random() < 0.3:
        year = year // 100 * 100
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return f"Is {year} a leap year? Answer yes or no.", "yes" if leap else "no", ""


def _maximum(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    values = [_digits(rng, 1 + (level + 1) // 2) for _ in range(1 + 2 * level)]
    return f"What is the largest number in: {' '.join(map(str, values))}?", str(max(values)), ""


_ROMAN = (
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
)


def _roman(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    value = int(rng.integers((1, 10, 30, 100, 500)[level - 1], (12, 40, 100, 500, 3000)[level - 1]))
    left, out = value, ""
    for size, sign in _ROMAN:
        out, left = out + sign * (left // size), left % size
    return f"Write {value} as a Roman numeral.", out, ""


def _clock(rng: np.random.Generator, level: int) -> tuple[str, str, str]:
    hour, minute = int(rng.integers(0, 24)), int(rng.integers(0, 12)) * 5 if level < 3 else int(rng.integers(0, 60))
    plus = int(rng.integers(1, (12, 24, 60, 300, 1400)[level - 1])) * (5 if level < 3 else 1)
    end = hour * 60 + minute + plus
    return (
        f"It is {hour:02d}:{minute:02d}. What time is it {plus} minutes later?",
        f"{end // 60 % 24:02d}:{end % 60:02d}",
        "",
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("addition", _addition, "sum of two numbers of `level` digits"),
        Task("subtraction", _subtraction, "difference of two numbers of `level` digits, never negative"),
        Task("multiplication", _multiplication, "product, with partial products shown"),
        Task("gcd", _gcd, "greatest common divisor, with Euclid's steps shown"),
        Task("sorting", _sorting, "`level` + 2 numbers in ascending order"),
        Task("word_reversal", _word_reversal, "`level` + 1 words in reverse order"),
        Task("letter_counting", _letter_counting, "occurrences of a letter in `level` words"),
        Task("spelling_backward", _spelling_backward, "a string of `level` + 2 letters backward"),
        Task("binary", _binary, "a number in base two"),
        Task("linear_equation", _linear_equation, "ax + b = c, with one step shown"),
        Task("modulo", _modulo, "remainder, with the multiple shown"),
        Task("leap_year", _leap_year, "is it a leap year, yes or no"),
        Task("maximum", _maximum, "largest of 2 * `level` + 1 numbers"),
        Task("roman", _roman, "a number as a Roman numeral"),
        Task("clock", _clock, "a time of day some minutes later"),
    )
}


def make_problems(task: str, level: int, n: int, *, rng: np.random.Generator) -> list[Problem]:
    """Make up to n different problems; fewer where the level does not hold so many.

    Examples
    --------
    >>> make_problems("addition", 1, 1, rng=np.random.default_rng(0))[0].prompt
    'What is 8 + 6?'
    """
    maker = TASKS[task].make
    problems: dict[str, Problem] = {}
    for _ in range(50 * n):
        question, gold, working = maker(rng, level)
        worked = f"{working} Answer: {gold}" if working else f"Answer: {gold}"
        problems.setdefault(question, Problem(task, level, question, gold, worked))
        if len(problems) == n:
            break
    return list(problems.values())


_ANSWER = re.compile(r"answer\s*(?:is|:)?\s*(.+)", re.IGNORECASE)


def final_answer(text: str) -> str:
    """Return what follows the last "Answer:", or the whole text without it.

    Examples
    --------
    >>> final_answer("3x = 9 Answer: 3.")
    '3'
    """
    found = _ANSWER.findall(text)
    return (found[-1] if found else text).strip().strip(".\"'` ").strip()


def verify(problem: Problem, answer: str) -> bool:
    """Tell whether the final answer equals the gold one, whatever its case."""
    return final_answer(answer).lower() == problem.gold.lower()
