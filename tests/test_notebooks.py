"""Every notebook of the documentation runs from top to bottom, and its results show themselves."""

import ast
import json
from functools import cache
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def _code(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@cache
def _run(path):
    """Run the cells as a kernel does: in one name space, the last expression of each is what is shown."""
    names, shown = {}, []
    for cell in _code(path):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), names)
        if last is not None:
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
    return shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_is_stored_without_output(path, capsys):
    cells = _code(path)
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    shown = _run(path)
    assert shown
    html = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert all(html)
    capsys.readouterr()


def test_there_is_a_notebook_for_each_question_and_one_from_a_table():
    assert {path.stem for path in NOTEBOOKS} == {"accuracy", "answers", "change", "labels", "models", "own_table"}


def test_a_data_scientist_reaches_the_numbers_in_a_few_lines(capsys):
    """The walk of a newcomer: a table of their own, a report, its table, its chart, its verdict."""
    report = next(value for value in _run(NOTEBOOKS[-1]) if type(value).__name__ == "Report")
    assert repr(report).startswith("Report(by='customer', n=1800, n_labels=300")
    assert len(repr(report)) < 500
    assert list(report.frame()["slice"])[:2] == ["addition", "base_conversion"]
    assert {"n", "accuracy", "low", "high"} <= set(report.frame().columns)
    assert "rests on" in report._repr_html_()
    assert report.plot() is not None
    assert report.overall.low < 0.4 < report.overall.high
