"""Joining answers by prompt, and lines with several models' outputs."""

import json

import numpy as np
import pyarrow as pa
import pytest

from nilometer.errors import ConfigError, NotEnoughDataError
from nilometer.traces import Trace, corpus_path, read_panel, read_traces, trace_batch


def traces(*rows):
    """Rows of (prompt id, model, answer, prompt, correct)."""
    made = [
        Trace(
            trace_id=f"t{i}",
            prompt_id=p,
            model=m,
            answer=a,
            prompt=text,
            correct=c,
            attributes={"template": str(i % 2)},
        )
        for i, (p, m, a, text, c) in enumerate(rows)
    ]
    return pa.Table.from_batches([trace_batch(made)])


def test_answers_are_joined_by_id_whatever_their_order():
    panel = read_panel(
        traces(
            ("q", "b", "1", "Q", 1.0), ("p", "a", "2", "P", 0.0), ("p", "b", "3", "P", None), ("q", "a", "4", "Q", 1.0)
        )
    )
    assert panel.prompt_ids == ("q", "p")
    assert panel.answers() == [[["4"], ["1"]], [["2"], ["3"]]]
    assert panel.prompts() == ["Q", "P"]
    means = panel.means(panel.table["correct"].to_numpy())
    np.testing.assert_array_equal(means, [[1.0, 1.0], [0.0, np.nan]])
    np.testing.assert_array_equal(panel.model_means(panel.table["correct"].to_numpy()), [0.5, 1.0])
    np.testing.assert_array_equal(panel.model_means([1.0, 3.0, np.nan, 2.0]), [2.5, 1.0])
    np.testing.assert_array_equal(panel.model_means([np.nan, 3.0, np.nan, 2.0]), [2.5, np.nan])


def test_several_answers_of_a_model_are_generations_and_their_labels_are_averaged():
    panel = read_panel(traces(("p", "a", "1", "P", 1.0), ("p", "a", "2", "P", 0.0), ("p", "b", "3", "P", 1.0)))
    assert panel.answers() == [[["1", "2"], ["3", None]]]
    assert panel.means(panel.table["correct"].to_numpy()).tolist() == [[0.5, 1.0]]


def test_without_ids_the_text_joins():
    panel = read_panel(traces((None, "a", "1", "P", None), (None, "b", "2", "P", None)))
    assert panel.prompt_ids == ("P",)


def test_empty_answers_and_lone_prompts_are_left_out_and_counted():
    panel = read_panel(
        traces(
            ("p", "a", "1", "P", None),
            ("p", "b", "2", "P", None),
            ("q", "a", " ", "Q", None),
            ("q", "b", "3", "Q", None),
        )
    )
    assert panel.prompt_ids == ("p",)
    assert panel.notes == (
        "1 empty answers count as missing",
        "1 of 2 prompts were answered by one model only and left out",
    )


def test_ids_that_stand_for_different_prompts_are_pointed_out():
    panel = read_panel(traces(("p", "a", "1", "P", None), ("p", "b", "2", "other", None)))
    assert "1 prompt ids stand for different prompt texts" in panel.notes[0]


def test_any_attribute_can_tell_the_voters_apart():
    panel = read_panel(traces(("p", "m", "1", "P", None), ("p", "m", "2", "P", None)), voter="template")
    assert panel.models == ("0", "1")


def test_nothing_to_join_is_said():
    with pytest.raises(ConfigError, match="neither `prompt_id` nor `prompt`"):
        read_panel(traces((None, "a", "1", None, None)))
    with pytest.raises(NotEnoughDataError, match="No trace holds an answer"):
        read_panel(traces(("p", "a", "", "P", None)))
    with pytest.raises(NotEnoughDataError, match="No prompt was answered by two models"):
        read_panel(traces(("p", "a", "1", "P", None), ("q", "b", "1", "Q", None)))


def test_the_recorded_models_share_the_first_level():
    panel = read_panel(read_traces([corpus_path(name) for name in ("specialist", "smollm2", "gemma3")]).read_all())
    assert panel.models == ("gemma3", "smollm2", "specialist")
    assert len(panel.prompt_ids) == 1200


def write(path, *lines):
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_wide_lines_give_a_trace_per_model_and_output(tmp_path):
    line = {
        "id": "p1",
        "prompt": "2 + 2?",
        "outputs": {"a": "4", "b": ["4", "5"], "c": None},
        "correct": {"a": True, "b": [1, 0]},
        "costs": {"a": 0.5},
        "domain": "sums",
    }
    stream = read_traces(write(tmp_path / "w.jsonl", line))
    table = stream.read_all()
    assert stream.report.files[0].format == "wide"
    assert table["trace_id"].to_pylist() == ["p1/a", "p1/b#0", "p1/b#1"]
    assert table["prompt"].to_pylist() == ["2 + 2?"] * 3
    assert table["correct"].to_pylist() == [1.0, 1.0, 0.0]
    assert dict(table["attributes"][0].as_py()) == {"domain": "sums", "cost": "0.5"}
    assert read_panel(table).models == ("a", "b")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"correct": {"z": 1}}, "must name models of `outputs`, got 'z'"),
        ({"outputs": {"a": 4}}, "must be a text or a list of texts, got 4"),
        ({"correct": {"a": [1, 0, 1]}}, "must be one label or 1, got 3"),
        ({"costs": {"a": "dear"}}, "the cost of 'a' must be a number >= 0, got 'dear'"),
    ],
)
def test_bad_wide_lines_are_named(tmp_path, change, text):
    stream = read_traces(write(tmp_path / "w.jsonl", {"id": "p", "outputs": {"a": "4"}, **change}))
    stream.read_all()
    assert stream.report.n_bad == 1
    assert text in stream.report.bad_lines[0]
    assert "w.jsonl:1:" in stream.report.bad_lines[0]
