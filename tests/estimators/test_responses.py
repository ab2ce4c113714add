"""Responses as one value, and the families that their slices lie in."""

import numpy as np
import pyarrow as pa

from nilometer.estimators import cut_responses, fit_sentinel


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
