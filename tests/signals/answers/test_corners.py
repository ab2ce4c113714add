"""Answers in forms that are seldom seen."""

import pytest

from nilometer.signals import parse_items
from nilometer.signals.answers.fields import find_place


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('Answer: ["tea", "milk"]', {"tea", "milk"}),
        ("['tea', 'milk']", {"tea", "milk"}),
        ("[tea, milk]", {"tea", "milk"}),
        ("[]", set()),
        (r"The set is \boxed{tea, milk}", {"tea", "milk"}),
        ("- tea\n- milk", {"tea", "milk"}),
        ("tea; and milk", {"tea", "milk"}),
    ],
)
def test_lists_are_read_in_every_form(text, items):
    assert parse_items(text) == items


@pytest.mark.parametrize("text", ['["tea, milk]', "I would say that it could be tea or perhaps milk, who knows"])
def test_what_is_no_list_is_not_read(text):
    assert parse_items(text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"score": 3, "max": 5}', "3"),
        ('{"score": high, "max": 5}', "high"),
        ('{"score": "half', "half"),
        ("score: 4\nmax: 5", "4"),
    ],
)
def test_a_field_of_broken_json_ends_where_the_next_begins(text, value):
    place = find_place(text, field="score")
    assert text[place.start : place.end].startswith(value[:5])
    assert "max" not in text[place.start : place.end]
