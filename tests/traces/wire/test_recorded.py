"""Files as real servers and loggers wrote them: llama-cpp-python 0.3.36's server by curl, the others by
scripts/record_wire.py with vLLM 0.32.0, inspect-ai 0.3.285, litellm 1.110.2, openinference-instrumentation-openai
0.1.66 and lm-eval 0.4.13; the model is SmolLM2-135M-Instruct.
"""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nilometer.errors import TraceFormatError
from nilometer.traces import read_traces

WIRE = Path(__file__).parent
SUM, CAPITAL = "What is 7 + 5? Reply with the number.", "What is the capital of France?"


def _read(name):
    stream = read_traces(WIRE / name)
    rows = stream.read_all().to_pylist()
    assert stream.report.n_bad == 0
    return rows, stream.report


def _attributes(row):
    return dict(row["attributes"])


@pytest.mark.parametrize(
    ("name", "found", "n", "k"),
    [
        ("llama_cpp_python_chat.jsonl", "openai_chat", 1, 20),
        ("llama_cpp_python_completions.jsonl", "openai_completions", 1, 20),
        ("llama_cpp_python_stream.jsonl", "openai_chunks", 1, 20),
        ("vllm_chat.jsonl", "openai_chat", 2, 5),
        ("vllm_chat.sse", "openai_chunks", 1, 5),
        ("vllm_chat_two_choices.jsonl", "openai_chat", 2, 5),
        ("vllm_chat_token_ids.jsonl", "openai_chat", 1, 5),
        ("vllm_completions.jsonl", "openai_completions", 2, 3),
        ("vllm_responses.jsonl", "openai_responses", 1, 5),
        ("vllm_responses.sse", "openai_responses", 1, 5),
        ("inspect.json", "inspect", 2, 5),
        ("inspect.eval", "inspect", 2, 5),
        ("litellm.jsonl", "litellm", 2, 5),
        ("openinference.jsonl", "openinference", 3, 5),
        ("langchain.jsonl", "langchain", 4, 5),
        ("langsmith.jsonl", "langsmith", 2, 5),
        ("dspy.jsonl", "dspy", 1, 5),
        ("google_genai.jsonl", "gemini", 3, 5),
    ],
)
def test_every_token_is_read_with_all_its_alternatives(name, found, n, k):
    rows, report = _read(name)
    assert report.files[0].format == found
    assert len(rows) == n
    for row in rows:
        assert row["k"] == k
        assert row["n_tokens"] == len(row["chosen_logprobs"]) > 0
        top = np.array(row["top_logprobs"]).reshape(row["n_tokens"], k)
        assert np.nanmax(np.exp(top).sum(axis=1)) <= 1 + 1e-5
        assert (np.diff(top, axis=1)[~np.isnan(np.diff(top, axis=1))] <= 0).all()


@pytest.mark.parametrize(
    ("whole", "streamed"),
    [("llama_cpp_python_chat.jsonl", "llama_cpp_python_stream.jsonl"), ("vllm_chat.jsonl", "vllm_chat.sse")],
)
def test_streaming_loses_nothing(whole, streamed):
    one, two = _read(whole)[0][0], _read(streamed)[0][0]
    assert one["answer"] == two["answer"]
    assert one["model_fingerprint"] == two["model_fingerprint"]
    for name in ("chosen_logprobs", "top_logprobs"):  # NaN where the server lists fewer, batches differ by rounding
        np.testing.assert_allclose(one[name], two[name], atol=0.15)


def test_tokens_spell_the_answer_unless_they_are_ids():
    for name in ("vllm_chat.jsonl", "vllm_completions.jsonl", "vllm_responses.jsonl", "inspect.json"):
        for row in _read(name)[0]:
            assert "".join(row["tokens"]).strip() == row["answer"].strip()
    assert _read("vllm_chat_token_ids.jsonl")[0][0]["tokens"][0].startswith("token_id:")


def test_vllm_is_known_by_its_fingerprint():
    for name in ("vllm_chat.jsonl", "vllm_chat.sse", "vllm_completions.jsonl", "litellm.jsonl", "openinference.jsonl"):
        assert {row["provider"] for row in _read(name)[0]} == {"vllm"}


def test_completions_that_list_the_sampled_token_as_well_have_k_alternatives():
    lines = [json.loads(line) for line in (WIRE / "vllm_completions.jsonl").read_text().splitlines()]
    listed = [len(top) for top in lines[1]["choices"][0]["logprobs"]["top_logprobs"]]
    assert set(listed) == {4}
    assert {row["k"] for row in _read("vllm_completions.jsonl")[0]} == {3}


def test_a_sampled_token_outside_the_best_hides_the_kth_in_vllms_chat():
    for row in _read("inspect.json")[0]:
        top = np.array(row["top_logprobs"]).reshape(-1, row["k"])
        outside = np.array(row["chosen_logprobs"]) < np.nanmin(top, axis=1) - 1e-3
        assert (np.isnan(top[:, -1]) == outside).all()


def test_events_of_a_responses_stream_before_its_end_are_no_responses():
    rows, report = _read("vllm_responses.sse")
    assert report.n_skipped == 15
    assert _attributes(rows[0]) == {}


def test_inspect_archive_holds_what_the_json_log_holds():
    for rows in (_read("inspect.eval")[0], _read("inspect.json")[0]):
        assert [(row["prompt_id"], row["prompt"], row["correct"]) for row in rows] == [
            ("capital", CAPITAL, 0.0),
            ("sum", SUM, 1.0),
        ]
        assert _attributes(rows[1]) == {"target": "12", "task": "questions"}
        assert rows[0]["temperature"] == pytest.approx(0.8)
        assert rows[0]["time"] is not None


def test_damaged_member_of_an_inspect_archive_is_named(tmp_path):
    with zipfile.ZipFile(WIRE / "inspect.eval") as archive:
        info = next(info for info in archive.infolist() if info.filename.startswith("samples/"))
    assert info.compress_type == 93
    data = bytearray((WIRE / "inspect.eval").read_bytes())
    data[info.header_offset + 200] ^= 0xFF
    (tmp_path / "log.eval").write_bytes(data)
    with pytest.raises(TraceFormatError, match=r"log\.eval: the compressed file is damaged"):
        read_traces(tmp_path / "log.eval").read_all()


def test_litellm_keeps_request_and_requesters_metadata():
    rows, _ = _read("litellm.jsonl")
    assert [row["prompt"] for row in rows] == [SUM, CAPITAL]
    assert rows[0]["temperature"] == pytest.approx(0.8)
    assert _attributes(rows[0]) == {"tenant": "t1"}


def test_openinference_keeps_prompt_session_user_and_metadata():
    rows, _ = _read("openinference.jsonl")
    assert [row["prompt"] for row in rows] == [SUM, CAPITAL, SUM]
    assert _attributes(rows[0]) == {"session": "s1", "user": "u1", "tenant": "t1"}
    assert not rows[0]["trace_id"].startswith("0x")


def test_lm_eval_samples_keep_task_prompt_and_label():
    rows, _ = _read("samples_choice_2026-11-25T00-00-00.000000.jsonl")
    assert [(row["prompt"], row["correct"], row["k"]) for row in rows] == [
        ("7 + 5 =", 0.0, 3),
        ("The capital of France is", 1.0, 3),
    ]
    assert _attributes(rows[1])["task"] == "choice"
    assert _attributes(rows[1])["subject"] == "cities"
    assert np.exp(rows[0]["top_logprobs"]).sum() == pytest.approx(1, abs=1e-6)
    written, _ = _read("samples_written_2026-11-25T00-00-00.000000.jsonl")
    assert [(row["answer"], row["correct"]) for row in written] == [(" 10.", 0.0), (" Paris.", 0.0)]
    assert not {row["trace_id"] for row in rows} & {row["trace_id"] for row in written}


@pytest.mark.parametrize("name", ["langchain.jsonl", "langsmith.jsonl", "dspy.jsonl"])
def test_what_clients_keep_of_a_response_has_its_numbers(name):
    served = _read("vllm_chat.jsonl")[0][0]
    for row in _read(name)[0]:
        assert row["answer"] == served["answer"]
        assert row["tokens"] == served["tokens"]
        for column in ("chosen_logprobs", "top_logprobs"):
            np.testing.assert_array_equal(row[column], served[column])


def test_openinference_spans_of_responses_and_completions_hold_them():
    rows = _read("openinference_others.jsonl")[0]
    for row, name in zip(rows, ("vllm_responses.jsonl", "vllm_completions.jsonl"), strict=True):
        served = _read(name)[0][0]
        assert (row["answer"], row["prompt"]) == (served["answer"], SUM)
        np.testing.assert_array_equal(row["chosen_logprobs"], served["chosen_logprobs"])


def test_langsmith_keeps_time_prompt_settings_and_metadata():
    for row in _read("langsmith.jsonl")[0]:
        assert row["prompt"] == SUM
        assert row["time"] is not None
        assert row["temperature"] == pytest.approx(0.8)
        assert _attributes(row)["tenant"] == "t1"


def test_dspy_keeps_time_and_prompt():
    (row,) = _read("dspy.jsonl")[0]
    assert (row["prompt"], row["model"]) == (SUM, "smollm2")
    assert row["time"] is not None
