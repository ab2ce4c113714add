"""What a text states as its answer, and what stands in it by chance."""

import pytest
from hypothesis import given, strategies as st

from nilometer.errors import ConfigError
from nilometer.signals import find_place, parse_items, parse_label, parse_number, placed
from nilometer.signals.answers.numbers import find_numbers

LETTERS = list("ABCDEFGHIJ")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("I would give this a score of 4.", 4),
        ("I give it 4 stars. The summary covers 3 facts, so a rating of 4.", 4),
        ("Of the 5 facts 2 are wrong: a score of 3", 3),
        ("This deserves a rating of 5 because 2 of 3 claims hold", 5),
        ("There are 5 reasons why this is a score of 9", 9),
        ("The score is 9. There are 5 reasons.", 9),
        ("On 2026/04/19 the score is 0.8", 0.8),
        ("Score: 4 out of 5, as 2 of 3 claims hold", 4),
        ("Rating (from 1 to 10) - 7", 7),
        ("4 of 5", 4),
        ("three out of 5", 3),
        ("**4**/5", 4),
        ("Overall, I rate this response 7 out of 10.", 7),
        ("x = 1/4", 0.25),
        (r"So $\boxed{\frac{3}{4}}$, not 7.", 0.75),
        (r"\boxed{1{,}234}", 1234),
        ("She sells 9 eggs.\n#### 18", 18),
        ("<think>3? No, 7.</think>The answer is 4.", 4),
        ('{"rating": "4", "of": 5}', 4),
        ("[[7]]", 7),
        ("Answer: 20 - 5 = 15", 15),
        ("12 * 3 = 36\n\nI am glad to help with 2 more.", 36),
        ("The greatest common divisor of 10 and 20 is 10.", 10),
        ("12 is the answer.", 12),
        ("答案是 12", 12),
    ],
)
def test_an_announced_number_is_the_answer(text, number):
    assert parse_number()(text) == pytest.approx(number)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,8", 0.8),
        ("1.000,5", 1000.5),
        ("1,000.5", 1000.5),
        ("1 000", 1000),
        ("1\u202f234,5", 1234.5),
        ("1'234", 1234),
        ("12,34,567", 1234567),
        (".8", 0.8),
        ("-.8", -0.8),
        ("−3", -3),
        ("-$3.50", -3.5),
        ("2,50 €", 2.5),
        ("42km", 42),
        ("85 %", 85),
        ("2 million", 2e6),
        ("3×10^5", 3e5),
        ("3 ½", 3.5),
        ("twenty-five", 25),
        ("٣", 3),
    ],
)
def test_numbers_of_the_main_locales_are_read(text, number):
    assert parse_number()(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text",
    [
        "There are 3 facts.",
        "The score is low because 2 facts are wrong",
        "I give 3 reasons",
        "I'd say 4-5",
        "between 3 and 4",
        "The score is 4 or 5.",
        "x=3 or x=4",
        "Answer: 1, 2, 3",
        "10/8",
        "1,2,3,4",
        "version 1.2.3",
        "gpt-4",
        "<think>it may be 3",
        "Score: N/A. There were 4 facts",
        "1e999",
        "",
    ],
)
def test_a_number_in_prose_a_range_or_a_list_is_no_answer(text):
    assert parse_number()(text) is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("A is better than B.", "A"),
        ("B is worse than A", None),
        ("I prefer A over B", "A"),
        ("Answer A, not B", "A"),
        ("Both A and B are fine; A", "A"),
        ("Assistant A wins", "A"),
        ("I would say it is a tie", None),
        ("The better response is A. B lacks detail.", "A"),
        ("Neither A nor B", None),
        ("A or B", None),
        ("The answer is C. It is a noble gas.", "C"),
        ("B. I am sure.", "B"),
        ("A it is a guess.", None),
        ("A cat is an animal.", None),
        ("The answer is a noble gas.", None),
        ("Answer: A/ the first", "A"),
        ("Answer: A second look is needed", None),
        ("(E) because this is a standard result.", "E"),
        ("The correct option is **C) Paris**", "C"),
    ],
)
def test_a_letter_is_an_answer_only_where_it_is_announced(text, label):
    assert parse_label(LETTERS)(text) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("No, 2229 is not a leap year.", "no"),
        ("There is no evidence.", None),
        ("There is no evidence. Yes.", "yes"),
        ("No idea", None),
    ],
)
def test_labels_that_are_everyday_words_need_an_announcement(text, label):
    assert parse_label(["yes", "no"])(text) == label


def test_a_number_outside_the_scale_is_not_replaced_by_another():
    assert parse_label(range(1, 6))("Score: 8. There are 3 facts.") is None


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ('{"score": 3, "max_score": 5}', 10, 11),
        ('{"score": 3, "why": "a \\"score\\": 9 is too much"}', 10, 11),
        ("score: 3\nmax_score: 5", 7, 8),
        ('{"score": "3"}', 11, 12),
    ],
)
def test_a_field_is_the_key_of_that_name_and_no_other(text, start, end):
    assert find_place(text, field="score") == (start, end)


def test_a_missing_field_or_pattern_is_a_failure():
    assert parse_number(field="score")('{"points": 3}') is None
    assert parse_number(pattern=r"Grade (\d)")("Score 3") is None
    assert placed(parse_items, field="items")('{"items": ["b", "a"]}') == {"a", "b"}


def test_field_and_pattern_exclude_each_other_and_patterns_must_compile():
    with pytest.raises(ConfigError, match="must not both be given"):
        find_place("4", field="a", pattern="b")
    with pytest.raises(ConfigError, match="must be a regular expression"):
        find_place("4", pattern="(")


@given(st.floats(-1e9, 1e9).map(lambda value: round(value, 3)))
def test_every_number_that_is_written_plainly_is_read_back(value):
    assert parse_number()(f"The answer is {value:.3f}.") == pytest.approx(value)


@given(st.text(max_size=60))
def test_no_text_makes_a_reader_fail(text):
    parse_number()(text)
    parse_label(LETTERS)(text)
    parse_items(text)


@given(st.integers(0, 10**12))
def test_thousands_are_read_in_every_locale(value):
    english = f"{value:,}"
    for text in (english, english.replace(",", " "), english.replace(",", "'"), f"{english.replace(',', '.')},0"):
        assert parse_number()(text) == value


def test_a_fraction_over_zero_is_no_number():
    assert find_numbers(r"\frac{1}{0}") == []
    assert [one.value for one in find_numbers(r"\frac{1}{4}")] == [0.25]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Answer: 3 apples each = 12", 12),
        ("score 3 = 12", 12),
        ("0,123", 0.123),
        ("1234,567", 1234.567),
        ("1,234", 1234),
    ],
)
def test_sums_end_behind_the_equals_sign_and_commas_group_whole_thousands_alone(text, number):
    assert parse_number().find(text).value == number
