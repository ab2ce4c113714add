"""What tools and services write, in the variants that their versions and exports have."""

import json

import pytest
from wire_shapes import ANSWER, CHOSEN, CONTENT, GEMINI, TOKEN_LIST, chat, check_row, gemini, lines, one_of, rows_of

METADATA = {"logprobs": CONTENT, "finish_reason": "stop", "model_name": "m"}
RUN = {"id": "1", "run_type": "llm", "inputs": {}, "start_time": "2026-01-01T00:00:00"}
GENERATION = {"type": "GENERATION", "id": "o", "traceId": "t", "model": "m", "input": "q"}
VERTEX = {**gemini(), "candidates": [{**gemini()["candidates"][0], "finishReason": "FinishReason.STOP"}]}
MESSAGE = {"type": "ai", "content": ANSWER, "id": "x"}
SPAN = {"spanId": "a", "attributes": [{"key": "output.value", "value": {"stringValue": json.dumps(chat())}}]}
VARIANTS = {
    "Together ends with eos": chat(choice={"finish_reason": "eos"}),
    "DashScope": {"status_code": 200, "output": {"choices": chat()["choices"]}, "usage": {"output_tokens": 3}},
    "Gemini with an enumeration": VERTEX,
    "Gemini of LangChain": {**MESSAGE, "response_metadata": {"finish_reason": "STOP", "logprobs_result": GEMINI}},
    "Vertex of LangChain": {**MESSAGE, "response_metadata": {"finish_reason": "STOP", "logprobs_result": TOKEN_LIST}},
    "Ollama of LangChain": {**MESSAGE, "response_metadata": {"done_reason": "stop", "logprobs": TOKEN_LIST}},
    "LangSmith, one level of generations": {
        **RUN,
        "outputs": {"generations": [{"text": ANSWER, "generation_info": METADATA, "message": {"content": ANSWER}}]},
    },
    "LangSmith, a run below another": {
        "run_type": "chain",
        "inputs": {},
        "outputs": {},
        "child_runs": [{**RUN, "outputs": chat()}],
    },
    "OTLP": {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]},
    "Langfuse, choices as the output": {**GENERATION, "output": chat()["choices"]},
    "Langfuse, the response as metadata": {**GENERATION, "output": ANSWER, "metadata": {"response": chat()}},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_tools_are_read(tmp_path, name):
    row = one_of(tmp_path, lines([VARIANTS[name]]))
    check_row(row)
    assert row["finish_reason"] == "stop"


def test_a_message_of_langsmith_without_a_finish_reason_is_read(tmp_path):
    outputs = {"output": {"role": "assistant", "content": ANSWER, "logprobs": CONTENT}}
    check_row(one_of(tmp_path, lines([{**RUN, "outputs": outputs}])))


def test_rows_of_uqlm_are_read(tmp_path):
    row = one_of(tmp_path, lines([{"prompt": "q", "response": ANSWER, "logprob": TOKEN_LIST, "confidence": 0.9}]))
    check_row(row)
    assert row["prompt"] == "q"


def test_a_run_below_another_has_its_own_id(tmp_path):
    rows, _ = rows_of(tmp_path, lines([VARIANTS["LangSmith, a run below another"]]))
    assert rows[0]["trace_id"] == "1"


@pytest.mark.parametrize(
    "line",
    [
        {"name": "c", "attributes": {"openinference.span.kind": "CHAIN"}, "context": {}},
        {"vars": {}, "provider": {"id": "p"}, "success": False, "error": "x", "response": {"error": "y"}},
        {"run_type": "chain", "inputs": {}, "outputs": {}, "child_runs": [{"run_type": "tool", "inputs": {}}]},
    ],
    ids=["span of another kind", "failed test", "tools alone"],
)
def test_what_holds_no_answer_by_design_is_skipped(tmp_path, line):
    rows, report = rows_of(tmp_path, lines([line, chat()]))
    assert (len(rows), report.n_bad, report.n_skipped) == (1, 0, 1)


def test_every_text_that_lm_eval_drew_is_read_and_the_first_carries_the_label(tmp_path):
    sample = {"doc_id": 1, "doc_hash": "h", "resps": [["a", "b"], ["c"]], "exact_match": 1.0}
    rows, _ = rows_of(tmp_path, lines([sample]))
    assert [row["answer"] for row in rows] == ["a", "b", "c"]
    assert [row["correct"] for row in rows] == [1.0, None, None]
    assert len({row["trace_id"] for row in rows}) == 3
    assert {row["prompt_id"] for row in rows} == {"1"}


def test_promptfoos_numbers_stay_with_their_answer(tmp_path):
    result = {"vars": {}, "provider": "p", "success": True, "response": {"output": ANSWER, "logProbs": CHOSEN}}
    check_row(one_of(tmp_path, lines([result])), k=0, tokens=None)
