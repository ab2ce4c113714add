"""Verifiable tasks in six levels of difficulty, each with its working shown where the task has steps."""

from collections.abc import Callable
from math import gcd
from typing import NamedTuple

import numpy as np

__all__ = ["LEVELS", "TASKS", "Draft", "Task"]

LEVELS = (1, 2, 3, 4, 5, 6)

_WORDS = (  # noqa: SIM905 - one word a line reads worse
    "apple bread chair dance eagle flame grape house ivory jelly knife lemon mango night ocean piano queen "
    "river stone table uncle voice water yacht zebra cloud dream earth fruit glass heart index joker light "
    "money north olive paper quiet radio sugar tiger urban value wheel youth beach candy devil elbow fence "
    "ghost honey image judge label metal nurse onion pearl robot salad truck virus whale arrow basin cabin "
    "diary event floor giant hotel jeans karma lunch magic novel opera plant ruler snake tooth vapor wagon "
    "acorn brick crown donor error"
).split()


class Draft(NamedTuple):
    """A question, its gold answer and the working that leads there (empty where there is none to show)."""

    question: str
    gold: str
    working: str = ""


class Task(NamedTuple):
    """A family of problems: how to make one, what it asks, and what kind of answer it wants."""

    name: str
    make: Callable[[np.random.Generator, int], Draft]
    about: str
    kind: str = "number"


def _between(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))


_SUMMANDS = (
    ((10, 99), (1, 9)),
    ((10, 99), (10, 99)),
    ((100, 999), (10, 99)),
    ((100, 999), (100, 999)),
    ((1000, 9999), (100, 999)),
    ((10000, 99999), (1000, 9999)),
)


def _addition(rng: np.random.Generator, level: int) -> Draft:
    a, b = (_between(rng, bounds) for bounds in _SUMMANDS[level - 1])
    return Draft(f"What is {a} + {b}?", str(a + b))


def _subtraction(rng: np.random.Generator, level: int) -> Draft:
    a, b = (_between(rng, bounds) for bounds in _SUMMANDS[level - 1])
    return Draft(f"What is {max(a, b)} - {min(a, b)}?", str(abs(a - b)))


_FACTORS = (
    ((10, 99), (2, 9)),
    ((100, 999), (2, 9)),
    ((12, 49), (11, 39)),
    ((12, 99), (41, 99)),
    ((100, 999), (11, 99)),
    ((1000, 9999), (11, 99)),
)


def _multiplication(rng: np.random.Generator, level: int) -> Draft:
    a, b = (_between(rng, bounds) for bounds in _FACTORS[level - 1])
    parts = [a * int(digit) * 10**place for place, digit in enumerate(reversed(str(b)))]
    return Draft(f"What is {a} * {b}?", str(a * b), " + ".join(map(str, parts)) if len(parts) > 1 else "")


def _gcd(rng: np.random.Generator, level: int) -> Draft:
    top = (40, 80, 150, 400, 1500, 6000)[level - 1]
    common = _between(rng, (1, top // 6))
    a, b = (common * _between(rng, (1, top // common)) for _ in range(2))
    steps, x, y = [], max(a, b), min(a, b)
    while y:
        steps.append(f"{x}%{y}={x % y}")
        x, y = y, x % y
    return Draft(f"What is the greatest common divisor of {a} and {b}?", str(gcd(a, b)), " ".join(steps))


def _sorting(rng: np.random.Generator, level: int) -> Draft:
    values = [_between(rng, (0, (19, 49, 99, 99, 299, 999)[level - 1])) for _ in range(2 + level)]
    return Draft(f"Sort in ascending order: {' '.join(map(str, values))}", " ".join(map(str, sorted(values))))


def _word_reversal(rng: np.random.Generator, level: int) -> Draft:
    words = [_WORDS[i] for i in rng.integers(0, len(_WORDS), (2, 3, 4, 6, 8, 11)[level - 1])]
    return Draft(f"Write the words in reverse order: {' '.join(words)}", " ".join(reversed(words)))


def _letter_counting(rng: np.random.Generator, level: int) -> Draft:
    words = [_WORDS[i] for i in rng.integers(0, len(_WORDS), level + 1)]
    letters = list("aeioulnrst") if rng.random() < 0.6 else sorted(set("".join(words)))
    letter = str(rng.choice(letters))
    counts = [word.count(letter) for word in words]
    working = " ".join(f"{word} {count}" for word, count in zip(words, counts, strict=True))
    question = f'How many times does the letter "{letter}" occur in "{" ".join(words)}"?'
    return Draft(question, str(sum(counts)), working)


def _spelling_backward(rng: np.random.Generator, level: int) -> Draft:
    sounds = ("bcdfghjklmnprstvwz", "aeiou")
    letters = "".join(str(rng.choice(list(sounds[i % 2]))) for i in range((3, 4, 5, 7, 9, 12)[level - 1]))
    return Draft(f"Spell backward: {letters}", letters[::-1], " ".join(letters))


def _base_conversion(rng: np.random.Generator, level: int) -> Draft:
    low, high, top_base = (
        (2, 150, 5),
        (20, 300, 5),
        (50, 600, 6),
        (300, 2000, 7),
        (1000, 8000, 8),
        (5000, 40000, 9),
    )[level - 1]
    value, base = _between(rng, (low, high)), _between(rng, (2, top_base))
    steps, left, digits = [], value, ""
    while left:
        steps.append(f"{left}={base}*{left // base}+{left % base}")
        digits, left = f"{left % base}{digits}", left // base
    return Draft(f"Write {value} in base {base}.", digits, " ".join(steps))


def _linear_equation(rng: np.random.Generator, level: int) -> Draft:
    top = (12, 20, 40, 90, 300, 999)[level - 1]
    a, x, b = _between(rng, (2, 3 + 2 * level)), _between(rng, (1, top)), _between(rng, (1, top))
    return Draft(f"Solve for x: {a}x + {b} = {a * x + b}", str(x), f"{a}x = {a * x}")


def _modulo(rng: np.random.Generator, level: int) -> Draft:
    a = _between(rng, ((10, 99), (30, 200), (100, 500), (300, 2000), (1000, 9999), (10000, 99999))[level - 1])
    m = _between(rng, (3, (9, 12, 15, 25, 60, 99)[level - 1]))
    return Draft(f"What is the remainder of {a} divided by {m}?", str(a % m), f"{a // m}*{m}={a // m * m}")


def _leap_year(rng: np.random.Generator, level: int) -> Draft:
    low, high = (
        (1800, 2299),
        (1400, 2399),
        (1000, 3999),
        (4000, 9999),
        (10000, 99999),
        (100000, 999999),
    )[level - 1]
    year = _between(rng, (low, high))
    if rng.random() < 0.4:
        year -= year % (100 if rng.random() < 0.4 else 4)
    steps = [f"{year}%4={year % 4}"]
    if year % 4 == 0:
        steps.append(f"{year}%100={year % 100}")
    if year % 100 == 0:
        steps.append(f"{year}%400={year % 400}")
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return Draft(f"Is {year} a leap year? Answer yes or no.", "yes" if leap else "no", " ".join(steps))


def _maximum(rng: np.random.Generator, level: int) -> Draft:
    values = [_between(rng, (0, 10 ** (2 + level // 2) - 1)) for _ in range(1 + 2 * level)]
    return Draft(f"What is the largest number in: {' '.join(map(str, values))}?", str(max(values)))


_ROMAN = dict(
    zip(
        (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
        ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"),
        strict=True,
    )
)


def _roman(rng: np.random.Generator, level: int) -> Draft:
    value = _between(rng, ((1, 499), (50, 699), (100, 999), (500, 1999), (1000, 2999), (2000, 3999))[level - 1])
    left, numeral = value, ""
    for size, sign in _ROMAN.items():
        numeral, left = numeral + sign * (left // size), left % size
    return Draft(f"Write {value} as a Roman numeral.", numeral)


def _clock(rng: np.random.Generator, level: int) -> Draft:
    grain = 5 if level < 3 else 1
    start = grain * _between(rng, (0, 1439 // grain))
    plus = grain * _between(rng, (1, (12, 24, 60, 300, 900, 5000)[level - 1]))
    end = (start + plus) % 1440
    question = f"It is {start // 60:02d}:{start % 60:02d}. What time is it {plus} minutes later?"
    return Draft(question, f"{end // 60:02d}:{end % 60:02d}")


def _running_sum(rng: np.random.Generator, level: int) -> Draft:
    values = [_between(rng, (1, (9, 9, 20, 50, 99, 999)[level - 1])) for _ in range((3, 4, 5, 6, 8, 10)[level - 1])]
    steps, total = [], values[0]
    for value in values[1:]:
        steps.append(f"{total}+{value}={total + value}")
        total += value
    return Draft(f"Add one after the other: {' '.join(map(str, values))}", str(total), " ".join(steps))


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("addition", _addition, "sum of two whole numbers"),
        Task("subtraction", _subtraction, "difference of two whole numbers, never negative"),
        Task("multiplication", _multiplication, "product, with the partial products shown"),
        Task("gcd", _gcd, "greatest common divisor, with Euclid's steps shown"),
        Task("sorting", _sorting, "`level` + 2 numbers in ascending order", "sequence"),
        Task("word_reversal", _word_reversal, "two to eleven words in reverse order", "sequence"),
        Task("letter_counting", _letter_counting, "occurrences of a letter, counted word by word"),
        Task("spelling_backward", _spelling_backward, "3 to 12 letters backward, spelled out first", "word"),
        Task("base_conversion", _base_conversion, "a number in another base, with the divisions shown"),
        Task("linear_equation", _linear_equation, "ax + b = c, with one step shown"),
        Task("modulo", _modulo, "remainder, with the multiple shown"),
        Task("leap_year", _leap_year, "is it a leap year, with the remainders shown", "yes_no"),
        Task("maximum", _maximum, "largest of 2 * `level` + 1 numbers"),
        Task("roman", _roman, "a number as a Roman numeral", "word"),
        Task("clock", _clock, "a time of day some minutes later", "word"),
        Task("running_sum", _running_sum, "three to ten numbers added one after the other, every total shown"),
    )
}
