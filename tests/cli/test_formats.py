"""A file in every wire format goes through doctor and report."""

import json

import pytest

from nilometer.cli import main

TOP = [{"token": "4", "logprob": -0.2, "bytes": [52]}, {"token": "5", "logprob": -2.0, "bytes": [53]}]
TOKEN = {**TOP[0], "top_logprobs": TOP}
LOGPROBS = {"content": [TOKEN, TOKEN]}
MESSAGE = {"role": "assistant", "content": "44"}
CHAT = {
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "logprobs": LOGPROBS, "finish_reason": "stop"}],
}
OLD = {"tokens": ["4"], "token_logprobs": [-0.2], "top_logprobs": [{"4": -0.2, "5": -2.0}], "text_offset": [0]}
LINES = {
    "openai_chat": CHAT,
    "openai_chunks": {
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "44"}, "logprobs": LOGPROBS, "finish_reason": "stop"}],
    },
    "openai_completions": {
        "object": "text_completion",
        "model": "m",
        "choices": [{"index": 0, "text": "4", "logprobs": OLD, "finish_reason": "stop"}],
    },
    "openai_responses": {
        "object": "response",
        "model": "m",
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "44", "logprobs": [TOKEN, TOKEN]}]}],
    },
    "sglang": {
        "text": "4",
        "meta_info": {
            "finish_reason": {"type": "stop"},
            "completion_tokens": 1,
            "output_token_logprobs": [[-0.2, 9, None]],
            "output_top_logprobs": [[[-0.2, 9, None], [-2.0, 8, None]]],
        },
    },
    "llama_cpp": {
        "content": "4",
        "model": "m",
        "stop": True,
        "tokens_predicted": 1,
        "completion_probabilities": [{"id": 1, "token": "4", "bytes": [52], "logprob": -0.2, "top_logprobs": TOP}],
    },
    "ollama": {"model": "m", "message": MESSAGE, "done": True, "done_reason": "stop", "logprobs": [TOKEN, TOKEN]},
    "inspect": {
        "epoch": 1,
        "input": "2+2?",
        "target": "4",
        "output": {"model": "m", "choices": [{"message": MESSAGE, "stop_reason": "stop", "logprobs": LOGPROBS}]},
    },
    "openinference": {"name": "llm", "attributes": {"output.value": json.dumps(CHAT)}},
    "lm_eval": {"filter": "none", "target": "1", "resps": [[["-1.0", "False"]], [["-0.5", "True"]]]},
    "plain": {"k": 2, "chosen_logprobs": [-0.2], "top_logprobs": [[-0.2, -2.0]], "answer": "4"},
    "litellm": {"call_type": "acompletion", "model_parameters": {"temperature": 0}, "response": CHAT},
}
IDS = {"openinference": "context", "lm_eval": "doc_id", "plain": "trace_id"}


@pytest.mark.parametrize("name", LINES)
def test_doctor_and_report_take_it(tmp_path, capsys, name):
    key = IDS.get(name, "id")
    rows = [{key: {"span_id": f"r{i}"} if key == "context" else f"r{i}", **LINES[name]} for i in range(30)]
    file = tmp_path / "traces.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(SystemExit) as ended:
        main(["doctor", str(file), "--json"])
    assert ended.value.code in {0, 3}
    assert json.loads(capsys.readouterr().out)["n_traces"] == 30
    with pytest.raises(SystemExit) as ended:
        main(["report", str(file), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["ranking"]
