"""Final answers."""

import pytest

from nilometer.signals import final_answer, read_answer


def test_last_of_several_answers_counts():
    assert final_answer("Answer: 3 no, Answer: 4.\n") == "4"


@pytest.mark.parametrize(
    ("text", "kind", "read"),
    [
        ("The total is 1,200.0 in all", "number", "1200"),
        ("It rose by -3 and then 4.5.", "number", ""),
        ("nothing here", "number", ""),
        ("I would say (B), not a or C.", "choice", "b"),
        ("Answer: B", "choice", "b"),
        ("Yes, since no other divides it: yes", "yes_no", "yes"),
        ("sorted: 1, 2,  30", "sequence", "1 2 30"),
        ("  So  BE it ", "text", "so be it"),
        ("the time is 10:30", "word", "10:30"),
        (None, "word", ""),
    ],
)
def test_what_is_compared_is_read_off_the_text(text, kind, read):
    assert read_answer(text, kind) == read


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="`kind` must be one of choice, number"):
        read_answer("4", "digits")
