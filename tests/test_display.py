"""Results show themselves, and only one module reaches from a result to the pages."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from nilometer import NotEnoughData, SliceEstimates
from nilometer.display import Displayed, finite, visible_text
from nilometer.estimators import Estimate

SRC = Path(__file__).parents[1] / "src" / "nilometer"


def _estimates():
    known = Estimate(slice="a", n=9, accuracy=0.5, low=0.25, high=0.75, confidence_level=0.95, method="m")
    return SliceEstimates([known, NotEnoughData(slice="b", n=1, reason="One response.", needed="More.")])


def test_a_result_has_a_short_repr_a_chart_a_frame_and_html():
    found = _estimates()
    assert repr(found) == "SliceEstimates(2 slices, 1 unknown)"
    assert found.plot().to_dict()["layer"]
    assert found.frame()["accuracy"].tolist()[0] == 0.5
    assert "0.250 to 0.750" in found._repr_html_()
    assert "One response." in found._repr_html_()


def test_a_result_without_a_view_says_which_there_are():
    class Other(Displayed):
        pass

    with pytest.raises(TypeError, match=r"`result` must be one of Decisions, Diagnosis, .* got Other"):
        Other().plot()


def test_making_a_result_loads_no_page():
    code = "import sys; from nilometer import SliceEstimates; repr(SliceEstimates([])); print('altair' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_only_the_display_module_looks_the_pages_up():
    found = [
        path.name for path in SRC.rglob("*.py") if 'import_module("nilometer.pages' in path.read_text(encoding="utf-8")
    ]
    assert found == ["display.py"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202eab", "\\u202eab"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("\uffff", "\\uffff"),
        ("a\r\nb\rc", "a\nb\\rc"),
        ("\u2028", "\\u2028"),
    ],
)
def test_characters_that_act_become_escapes(text, shown):
    assert visible_text(text) == shown


def test_numbers_that_are_not_finite_become_none_at_any_depth():
    assert finite({"a": [1.0, math.inf, {"b": (math.nan, "x")}]}) == {"a": [1.0, None, {"b": [None, "x"]}]}
