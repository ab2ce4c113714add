"""Formats of which nothing could be recorded here: lines made after the documentation or source of each."""

import json

import pytest

from nilometer.traces import FORMATS, read_traces

TOP = [{"token": " 4", "logprob": -0.1}, {"token": " 5", "logprob": -2.5}]
TOKEN = {**TOP[0], "bytes": None, "top_logprobs": TOP}
GEMINI = {
    "candidates": [
        {
            "content": {"role": "model", "parts": [{"text": "thinking", "thought": True}, {"text": "4"}]},
            "finishReason": "MAX_TOKENS",
            "logprobsResult": {
                "chosenCandidates": [{"token": " 4", "tokenId": 19, "logProbability": -0.1}],
                "topCandidates": [
                    {
                        "candidates": [
                            {"token": " 4", "tokenId": 19, "logProbability": -0.1},
                            {"token": " 5", "tokenId": 20, "logProbability": -2.5},
                        ]
                    }
                ],
            },
        }
    ],
    "usageMetadata": {"candidatesTokenCount": 1},
    "modelVersion": "m",
}
MESSAGE = {"role": "assistant", "content": "4"}
DOCUMENTED = {
    "together chat": (
        "openai_chat",
        {
            "choices": [
                {
                    "message": MESSAGE,
                    "logprobs": {
                        "tokens": [" 4"],
                        "token_ids": [19],
                        "token_logprobs": [-0.1],
                        "top_logprobs": [{" 4": -0.1, " 5": -2.5}],
                    },
                }
            ]
        },
    ),
    "MLX chat": (
        "openai_chat",
        {
            "system_fingerprint": "0.31-0.31-Linux",
            "choices": [
                {
                    "message": {**MESSAGE, "reasoning": "", "tool_calls": []},
                    "logprobs": {
                        "content": [
                            {"id": 19, **TOP[0], "top_logprobs": [{"id": i, **row} for i, row in enumerate(TOP)]}
                        ]
                    },
                }
            ],
        },
    ),
    "MLX completions": (
        "openai_completions",
        {"choices": [{"text": "4", "finish_reason": "stop", "logprobs": {"content": [TOKEN]}}]},
    ),
    "MLX completions, old": (
        "openai_completions",
        {
            "choices": [
                {
                    "text": "4",
                    "finish_reason": "stop",
                    "logprobs": {
                        "token_logprobs": [-0.1],
                        "tokens": [19],
                        "top_logprobs": [[[19, -0.1], [20, -2.5]]],
                    },
                }
            ]
        },
    ),
    "OpenRouter's SDK": (
        "openai_chat",
        {
            "choices": [
                {"message": MESSAGE, "logprobs": {"content": [{**TOP[0], "topLogprobs": TOP}]}, "finishReason": "stop"}
            ]
        },
    ),
    "Gemini": ("gemini", GEMINI),
    "Vertex batch": ("gemini", {"status": "", "request": {"contents": []}, "response": GEMINI}),
    "Gemini batch": ("gemini", {"key": "q-1", "response": GEMINI}),
    "TGI": (
        "tgi",
        [
            {
                "generated_text": "4",
                "details": {
                    "finish_reason": "eos_token",
                    "generated_tokens": 1,
                    "prefill": [],
                    "tokens": [{"id": 19, "text": " 4", "logprob": -0.1, "special": False}],
                    "top_tokens": [
                        [{"id": 19, "text": " 4", "logprob": -0.1}, {"id": 20, "text": " 5", "logprob": -2.5}]
                    ],
                },
            }
        ],
    ),
    "vLLM RequestOutput": (
        "vllm",
        {
            "request_id": "0",
            "prompt": "2+2?",
            "prompt_token_ids": [1],
            "outputs": [
                {
                    "index": 0,
                    "text": "4",
                    "token_ids": [19],
                    "cumulative_logprob": -0.1,
                    "logprobs": [
                        {
                            "19": {"logprob": -0.1, "rank": 1, "decoded_token": " 4"},
                            "20": {"logprob": -2.5, "rank": 2, "decoded_token": " 5"},
                        }
                    ],
                    "finish_reason": "stop",
                }
            ],
            "finished": True,
        },
    ),
    "watsonx": (
        "watsonx",
        {
            "model_id": "m",
            "created_at": "2026-01-01T00:00:00.000Z",
            "results": [
                {
                    "generated_text": "4",
                    "generated_token_count": 1,
                    "stop_reason": "max_tokens",
                    "generated_tokens": [
                        {
                            "text": " 4",
                            "logprob": -0.1,
                            "rank": 1,
                            "top_tokens": [{"text": " 4", "logprob": -0.1}, {"text": " 5", "logprob": -2.5}],
                        }
                    ],
                }
            ],
        },
    ),
    "AI21 on Bedrock": (
        "ai21",
        {
            "id": 7,
            "prompt": {"text": "2+2?", "tokens": []},
            "completions": [
                {
                    "data": {
                        "text": "4",
                        "tokens": [
                            {
                                "generatedToken": {"token": " 4", "logprob": -0.1, "raw_logprob": -0.2},
                                "topTokens": TOP,
                                "textRange": {"start": 0, "end": 1},
                            }
                        ],
                    },
                    "finishReason": {"reason": "endoftext"},
                }
            ],
        },
    ),
    "HELM": (
        "helm",
        {
            "instance": {"id": "id0", "input": {"text": "2+2?"}, "split": "test"},
            "request": {"model": "m", "prompt": "2+2?", "temperature": 0.0, "top_k_per_token": 2},
            "result": {
                "success": True,
                "completions": [
                    {
                        "text": "4",
                        "logprob": -0.1,
                        "tokens": [{"text": " 4", "logprob": -0.1, "top_logprobs": {" 4": -0.1, " 5": -2.5}}],
                        "finish_reason": {"reason": "stop"},
                    }
                ],
            },
        },
    ),
    "Langfuse, whole response": (
        "langfuse",
        {
            "id": "o1",
            "traceId": "t1",
            "type": "GENERATION",
            "startTime": "2026-01-01T00:00:00.000Z",
            "model": "m",
            "modelParameters": {"temperature": 0.7},
            "input": [{"role": "user", "content": "2+2?"}],
            "output": {"choices": [{"message": MESSAGE, "logprobs": {"content": [TOKEN]}}]},
            "metadata": {"tenant": "a"},
        },
    ),
    "Langfuse, JSON text and metadata": (
        "langfuse",
        {
            "id": "o1",
            "trace_id": "t1",
            "type": "GENERATION",
            "start_time": "2026-01-01T00:00:00.000Z",
            "provided_model_name": "m",
            "input": json.dumps({"messages": [{"role": "user", "content": "2+2?"}]}),
            "output": json.dumps(MESSAGE),
            "metadata": json.dumps({"tenant": "a", "logprobs": {"content": [TOKEN]}}),
        },
    ),
    "promptfoo, raw response": (
        "promptfoo",
        {
            "results": {
                "version": 3,
                "results": [
                    {
                        "vars": {"sum": "2+2"},
                        "prompt": {"raw": "2+2?", "label": "sums"},
                        "provider": {"id": "openai:m"},
                        "promptIdx": 0,
                        "testIdx": 0,
                        "success": True,
                        "response": {
                            "output": "4",
                            "raw": {"choices": [{"message": MESSAGE, "logprobs": {"content": [TOKEN]}}]},
                        },
                    }
                ],
            }
        },
    ),
    "UQLM": (
        "uqlm",
        {
            "data": {"prompts": ["2+2?"], "responses": ["4"], "logprob": [[TOKEN]], "sequence_probability": [0.9]},
            "metadata": {"temperature": 0.7},
        },
    ),
    "UQLM, older": (
        "uqlm",
        {"prompts": ["2+2?"], "responses": ["4"], "logprobs": [[TOKEN]], "normalized_probability": [0.9]},
    ),
    "DSPy, response kept": (
        "dspy",
        {
            "messages": [{"role": "user", "content": "2+2?"}],
            "kwargs": {"temperature": 0.7},
            "outputs": ["4"],
            "response": {"choices": [{"message": MESSAGE, "logprobs": {"content": [TOKEN]}}]},
        },
    ),
}
ELSEWHERE = {
    "test_formats.py": ["sglang", "llama_cpp", "ollama", "plain", "wide"],
    "test_cases.py": ["cohere", "cohere_generations"],
    "test_recorded.py": [
        "openai_chat",
        "openai_completions",
        "openai_responses",
        "inspect",
        "litellm",
        "openinference",
    ],
    "test_recorded.py, logs": ["langchain", "langsmith", "lm_eval"],
    "test_langgraph.py": ["langgraph"],
}


def _read(tmp_path, line):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(line) + "\n")
    stream = read_traces(file, keep=["top_tokens"])
    (row,) = stream.read_all().to_pylist()
    assert stream.report.n_bad == 0
    return row, stream.report.files[0].format


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_line_is_read(tmp_path, name):
    found, line = DOCUMENTED[name]
    row, read = _read(tmp_path, line)
    assert read == found
    assert (row["answer"], row["k"], row["n_tokens"]) == ("4", 2, 1)
    assert row["chosen_logprobs"] == pytest.approx([-0.1])
    assert row["top_logprobs"] == pytest.approx([-0.1, -2.5])
    assert row["top_tokens"] == (
        [" 4", " 5"] if "old" not in name or "older" in name else ["token_id:19", "token_id:20"]
    )


def test_every_format_is_covered():
    covered = {found for found, _ in DOCUMENTED.values()} | {name for names in ELSEWHERE.values() for name in names}
    assert covered == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("Gemini", {"finish_reason": "length", "model": "m", "provider": "google"}),
        ("Gemini batch", {"trace_id": "q-1"}),
        ("TGI", {"finish_reason": "stop", "provider": "tgi"}),
        ("watsonx", {"finish_reason": "length", "model": "m"}),
        ("AI21 on Bedrock", {"trace_id": "7", "prompt": "2+2?", "logprobs_mode": "processed", "finish_reason": "stop"}),
        ("vLLM RequestOutput", {"trace_id": "0", "prompt": "2+2?", "finish_reason": "stop"}),
        ("HELM", {"trace_id": "id0", "temperature": 0.0, "model": "m", "prompt": "2+2?"}),
        ("Langfuse, whole response", {"trace_id": "o1", "prompt": "2+2?", "model": "m"}),
        ("Langfuse, JSON text and metadata", {"trace_id": "o1", "prompt": "2+2?", "model": "m"}),
        ("promptfoo, raw response", {"prompt": "2+2?", "correct": 1.0, "prompt_id": "test 0"}),
        ("UQLM", {"prompt": "2+2?", "temperature": pytest.approx(0.7)}),
        ("DSPy, response kept", {"prompt": "2+2?", "temperature": pytest.approx(0.7)}),
    ],
)
def test_what_stands_around_an_answer_is_kept(tmp_path, name, columns):
    row, _ = _read(tmp_path, DOCUMENTED[name][1])
    assert {column: row[column] for column in columns} == columns


def test_slice_keys_come_from_where_each_tool_keeps_them(tmp_path):
    found = {name: dict(_read(tmp_path, DOCUMENTED[name][1])[0]["attributes"]) for name in DOCUMENTED}
    assert found["Langfuse, whole response"] == {"tenant": "a"}
    assert found["HELM"] == {"split": "test"}
    assert found["promptfoo, raw response"] == {"sum": "2+2", "provider_id": "openai:m"}
    assert found["UQLM"] == {}
    assert found["Vertex batch"] == {}


def test_promptfoos_numbers_alone_are_chosen_ones(tmp_path):
    result = {"vars": {}, "provider": "echo", "success": False, "response": {"output": "4!", "logProbs": [-0.1, -0.2]}}
    row, _ = _read(tmp_path, result)
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2])
    assert (row["k"], row["correct"]) == (0, 0.0)


def test_uqlms_samples_share_the_prompt(tmp_path):
    file = tmp_path / "t.json"
    data = {
        "prompts": ["2+2?"],
        "responses": ["4"],
        "logprob": [[TOKEN]],
        "sampled_responses": [["4", "5"]],
        "sampled_logprob": [[[TOKEN], [TOKEN, TOKEN]]],
    }
    file.write_text(json.dumps({"data": data}))
    table = read_traces(file).read_all()
    assert table["answer"].to_pylist() == ["4", "4", "5"]
    assert len(set(table["prompt_id"].to_pylist())) == 1
    assert [len(row) for row in table["chosen_logprobs"].to_pylist()] == [1, 1, 2]


def test_uqlms_columns_of_unequal_length_are_a_bad_line(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps({"prompts": ["a", "b"], "responses": ["4"]}) + "\n")
    stream = read_traces(file)
    stream.read_all()
    assert "`prompts` must have one entry per response, got 2 for 1." in stream.report.bad_lines[0]


@pytest.mark.parametrize(
    "line",
    [
        {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"], "kwargs": {}},
        {"type": "human", "data": {"content": "2+2?"}},
        {"run_type": "chain", "inputs": {}, "outputs": {"x": 1}},
        {"run_type": "llm", "inputs": {}, "outputs": None, "error": "no"},
        {"id": "o", "traceId": "t", "type": "SPAN", "output": "x"},
        {"call_type": "completion", "model_parameters": {}, "status": "failure", "response": {}},
    ],
)
def test_what_is_no_answer_is_skipped(tmp_path, line):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps(line) + "\n")
    stream = read_traces(file)
    assert len(stream.read_all()) == 0
    assert (stream.report.n_bad, stream.report.n_skipped) == (0, 1)


def test_sums_of_choices_that_are_no_numbers_are_a_bad_line(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(json.dumps({"doc_id": 1, "resps": [[["nan", "False"]], [["-1.0", "True"]]]}) + "\n")
    stream = read_traces(file)
    stream.read_all()
    assert "the sums of the choices must be finite numbers." in stream.report.bad_lines[0]


def test_an_echoed_prompt_is_cut_off_by_the_usage(tmp_path):
    listed = {
        "tokens": ["2", "+2?", " 4"],
        "token_logprobs": [None, -3.0, -0.1],
        "top_logprobs": [None, {"+2?": -3.0, "x": -0.1}, {" 4": -0.1, " 5": -2.5}],
    }
    line = {"choices": [{"text": "2+2? 4", "logprobs": listed}], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
    row, _ = _read(tmp_path, line)
    assert (row["answer"], row["tokens"]) == (" 4", [" 4"])
    assert row["chosen_logprobs"] == pytest.approx([-0.1])
