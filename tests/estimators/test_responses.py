"""Responses as one value, and the families that their slices lie in."""

import numpy as np
import pyarrow as pa
import pytest

from nilometer.estimators import as_responses, cut_responses, fit_sentinel
from nilometer.estimators.responses import usable_families


def _nested(**columns):
    n = 40
    task = np.repeat(["gcd", "sum", "max", "min", "mod"], 8)
    level = np.tile(["1", "2"], 20)
    table = {"max": np.linspace(0.1, 2, n), "domain": task, "level": level, "slice": np.char.add(task, level)}
    return pa.table({**table, **columns})


def test_one_key_finds_the_usual_attribute_that_nests_its_slices():
    responses = cut_responses(_nested(), ["slice"], correct=np.tile([1.0, 0.0], 20))
    assert responses.family_key == "domain"
    assert responses.families.names == ("gcd", "max", "min", "mod", "sum")
    assert fit_sentinel(responses)[1] == "intervals are made from 5 labelled values of domain, each left out whole"


def test_an_attribute_that_does_not_nest_or_is_unusual_is_no_family():
    crossed = cut_responses(_nested(domain=np.roll(_nested()["domain"].to_pylist(), 1)), ["slice"])
    assert crossed.family_key == ""
    assert crossed.families.names == crossed.slices.names
    levels = cut_responses(_nested().drop_columns(["domain"]), ["slice"])
    assert levels.family_key == ""


def test_of_several_keys_a_usual_one_is_the_family_whatever_their_order():
    assert cut_responses(_nested(), ["level", "domain"]).family_key == "domain"
    assert (
        cut_responses(_nested().rename_columns(["max", "kind", "level", "slice"]), ["level", "kind"]).family_key
        == "level"
    )


def test_accuracies_are_shares_by_slice():
    table = pa.table({"max": np.ones(5)})
    responses = as_responses(table, ["a", "b", "a", "a", "b"], correct=np.array([1.0, 0.5, 0.0, 1.0, 0.0]))
    assert responses.accuracies == pytest.approx({"a": 2 / 3, "b": 0.25})


def test_too_few_labelled_families_leave_each_slice_on_its_own_and_say_so():
    table = _nested(domain=["a", "b"] * 20)
    responses = cut_responses(table, ["domain", "level"], correct=np.tile([1.0, 0.0], 20))
    kept, note = usable_families(responses)
    assert kept.families.names == responses.slices.names
    assert note.startswith("only 2 values of domain have labels")
    assert "intervals may be too narrow for a new domain" in note


def test_every_slice_has_the_family_it_was_cut_in():
    responses = cut_responses(_nested(), ["domain", "level"])
    tasks = ("gcd", "max", "min", "mod", "sum")
    assert responses.family_of == {f"domain={task}, level={level}": task for task in tasks for level in "12"}


def test_a_slice_by_name_of_a_column_needs_a_table():
    profiles = as_responses(pa.table({"max": [0.1, 0.2, 0.3]}), ["a", "a", "b"]).profiles
    with pytest.raises(ValueError, match="slices can be named by a column only where X is a table, got 'domain'"):
        as_responses(profiles, "domain")
