"""Every wire format, and the traps of the engines, read from lines in the shape that the servers emit."""

import gzip
import json
import math
import zipfile

import numpy as np
import pytest

from nilometer.errors import ConfigError, TraceFormatError
from nilometer.traces import read_traces, write_traces


def _token(logprob=-0.1, top=((" 4", -0.1), (" 5", -2.5)), text=" 4"):
    return {
        "token": text,
        "logprob": logprob,
        "bytes": None,
        "top_logprobs": [{"token": t, "logprob": v, "bytes": None} for t, v in top],
    }


def _chat(tokens=None, **choice):
    logprobs = None if tokens is None else {"content": tokens}
    first = {
        "index": 0,
        "message": {"role": "assistant", "content": "4"},
        "logprobs": logprobs,
        "finish_reason": "stop",
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [{**first, **choice}],
    }


def _read(tmp_path, *lines, name="t.jsonl", **options):
    file = tmp_path / name
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    stream = read_traces(file, **options)
    return stream.read_all(), stream.report


def _one(tmp_path, *lines, **options):
    table, report = _read(tmp_path, *lines, **options)
    assert report.n_bad == 0, report.bad_lines
    assert len(table) == 1
    return {name: table[name][0].as_py() for name in table.column_names}, report.files[0].format


CHAT = _chat([_token()])
LISTED = {
    "openai_chat": CHAT,
    "openai_completions": {
        "id": "c",
        "object": "text_completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "text": " 4",
                "finish_reason": "stop",
                "logprobs": {
                    "tokens": [" 4"],
                    "token_logprobs": [-0.1],
                    "top_logprobs": [{" 4": -0.1, " 5": -2.5}],
                    "text_offset": [0],
                },
            }
        ],
    },
    "openai_responses": {
        "id": "resp_1",
        "object": "response",
        "created_at": 1700000000,
        "model": "m",
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": " 4", "logprobs": [_token()]}]}],
    },
    "sglang": {
        "text": " 4",
        "meta_info": {
            "id": "s",
            "finish_reason": {"type": "stop", "matched": 2},
            "completion_tokens": 1,
            "output_token_logprobs": [[-0.1, 19, None]],
            "output_top_logprobs": [[[-0.1, 19, None], [-2.5, 20, None]]],
        },
    },
    "llama_cpp": {
        "content": " 4",
        "model": "m",
        "stop": True,
        "stop_type": "eos",
        "tokens_predicted": 1,
        "generation_settings": {"n_probs": 2},
        "completion_probabilities": [
            {
                "id": 19,
                "token": " 4",
                "bytes": [52],
                "logprob": -0.1,
                "top_logprobs": [
                    {"id": 19, "token": " 4", "logprob": -0.1},
                    {"id": 20, "token": " 5", "logprob": -2.5},
                ],
            }
        ],
    },
    "ollama": {
        "model": "m",
        "created_at": "2025-11-01T10:00:00.1Z",
        "message": {"role": "assistant", "content": "4"},
        "done": True,
        "done_reason": "stop",
        "eval_count": 1,
        "logprobs": [_token()],
    },
    "openinference": {"name": "llm", "context": {"span_id": "sp1"}, "attributes": {"output.value": json.dumps(CHAT)}},
    "inspect": {
        "id": 1,
        "epoch": 1,
        "input": "2+2?",
        "target": "4",
        "scores": {"match": {"value": "C"}},
        "output": {
            "model": "m",
            "choices": [
                {
                    "message": {"role": "assistant", "content": "4"},
                    "stop_reason": "stop",
                    "logprobs": {"content": [_token()]},
                }
            ],
        },
    },
    "plain": {
        "trace_id": "a",
        "k": 2,
        "chosen_logprobs": [-0.1],
        "top_logprobs": [[-0.1, -2.5]],
        "answer": "4",
        "domain": "sums",
        "correct": "yes",
    },
}


@pytest.mark.parametrize("name", LISTED)
def test_format_is_recognised_and_read(tmp_path, name):
    row, found = _one(tmp_path, LISTED[name])
    assert found == name
    assert row["chosen_logprobs"] == pytest.approx([-0.1])
    assert row["top_logprobs"] == pytest.approx([-0.1, -2.5])
    assert row["k"] == 2
    assert row["n_tokens"] == 1


@pytest.mark.parametrize("name", [name for name in LISTED if name != "plain"])
def test_texts_of_the_alternatives_come_where_they_are_asked_for(tmp_path, name):
    assert "top_tokens" not in _one(tmp_path, LISTED[name])[0]
    row, _ = _one(tmp_path, LISTED[name], keep=["top_tokens"])
    assert row["top_tokens"] == (["token_id:19", "token_id:20"] if name == "sglang" else [" 4", " 5"])
    assert row["top_logprobs"] == pytest.approx([-0.1, -2.5])


def test_texts_of_the_alternatives_follow_their_order_and_survive_the_store(tmp_path):
    line = _chat([_token(-0.1, top=((" b", -2.5), (" 4", -0.1), (" gone", -9999.0)))])
    table, _ = _read(tmp_path, line, keep=["top_tokens"])
    assert table["top_tokens"].to_pylist() == [[" 4", " b", None]]
    write_traces(tmp_path / "t.parquet", table)
    assert read_traces(tmp_path / "t.parquet", keep=["top_tokens"]).read_all()["top_tokens"] == table["top_tokens"]
    assert "top_tokens" not in read_traces(tmp_path / "t.parquet").read_all().column_names


def test_only_known_columns_can_be_kept():
    with pytest.raises(ConfigError, match="`keep` must hold 'attention' or 'top_tokens', got"):
        read_traces(".", keep=["tokens"])


def test_chunks_and_server_sent_events_are_joined(tmp_path):
    def chunk(text, reason=None, tokens=None):
        choice = {
            "index": 0,
            "delta": {"content": text},
            "logprobs": {"content": tokens} if tokens else None,
            "finish_reason": reason,
        }
        return {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}

    chunks = [chunk("4", tokens=[_token()]), chunk("2", tokens=[_token(-0.2)]), chunk("", "stop")]
    plain, _ = _one(tmp_path, *chunks)
    raw = "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n"
    events, _ = _one(tmp_path, raw, name="stream.sse")
    for row in (plain, events):
        assert row["answer"] == "42"
        assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2])


def test_broken_stream_is_kept_without_a_finish_reason(tmp_path):
    choice = {"index": 0, "delta": {"content": "4"}, "logprobs": {"content": [_token()]}, "finish_reason": None}
    row, _ = _one(tmp_path, {"id": "x", "object": "chat.completion.chunk", "choices": [choice]})
    assert row["finish_reason"] is None


def test_several_choices_share_the_prompt(tmp_path):
    line = _chat([_token()])
    line["choices"].append({**line["choices"][0], "index": 1})
    table, _ = _read(tmp_path, line)
    assert table["trace_id"].to_pylist() == ["chatcmpl-1#0", "chatcmpl-1#1"]
    assert set(table["prompt_id"].to_pylist()) == {"chatcmpl-1"}


def test_batch_output_and_request_envelopes(tmp_path):
    batch = {"id": "b", "custom_id": "mine", "response": {"status_code": 200, "body": CHAT}, "error": None}
    assert _one(tmp_path, batch)[0]["trace_id"] == "mine"
    request = {
        "messages": [{"role": "user", "content": "2+2?"}],
        "temperature": 0.5,
        "top_logprobs": 2,
        "metadata": {"tenant": "t1"},
    }
    row, _ = _one(tmp_path, {"request": request, "response": CHAT, "correct": True})
    assert (row["prompt"], row["temperature"], row["correct"]) == ("2+2?", 0.5, 1.0)
    assert dict(row["attributes"]) == {"tenant": "t1"}


def test_inspect_archive_and_lm_eval_samples(tmp_path):
    archive = tmp_path / "log.eval"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("samples/1_epoch_1.json", json.dumps(LISTED["inspect"]))
    assert read_traces(archive).read_all()["correct"].to_pylist() == [1.0]
    sample = {
        "doc_id": 3,
        "doc_hash": "h",
        "target": "1",
        "filter": "none",
        "resps": [[["-1.0", "False"]], [["-0.5", "True"]]],
        "acc": 1.0,
    }
    row, found = _one(tmp_path, sample)
    assert (found, row["answer"], row["correct"]) == ("lm_eval", "1", 1.0)
    assert np.exp(row["top_logprobs"]).sum() == pytest.approx(1, abs=1e-6)


def test_llama_cpp_linear_probabilities_become_logarithms(tmp_path):
    old = {
        "content": " 4",
        "tokens_predicted": 1,
        "completion_probabilities": [
            {"content": " 4", "probs": [{"tok_str": " 4", "prob": 0.9}, {"tok_str": " 5", "prob": 0.0}]}
        ],
    }
    row, _ = _one(tmp_path, old)
    assert row["chosen_logprobs"] == pytest.approx([math.log(0.9)])
    assert math.isnan(row["top_logprobs"][1])


@pytest.mark.parametrize("sentinel", [-9999.0, -3.4e38, None, "-inf", -math.inf, math.nan])
def test_values_below_the_cut_off_are_unknown(tmp_path, sentinel):
    row, _ = _one(tmp_path, _chat([_token(sentinel, top=((" 5", -0.1), (" 6", sentinel)))]))
    assert math.isnan(row["chosen_logprobs"][0])
    assert math.isnan(row["top_logprobs"][1])


def test_sampled_token_listed_first_leaves_the_kth_unknown(tmp_path):
    row, _ = _one(tmp_path, _chat([_token(-5.0, top=((" z", -5.0), (" a", -0.1), (" b", -3.0)))]))
    assert row["top_logprobs"][:2] == pytest.approx([-0.1, -3.0])
    assert math.isnan(row["top_logprobs"][2])


def test_tokens_without_alternatives_and_mixed_k(tmp_path):
    row, _ = _one(tmp_path, _chat([_token(), _token(top=())]))
    assert row["k"] == 2
    assert np.isnan(row["top_logprobs"]).tolist() == [False, False, True, True]


def test_reasoning_tokens_count_and_token_ids_pass(tmp_path):
    line = _chat([_token(text="token_id:19")])
    line["choices"][0]["logprobs"]["reasoning_content"] = [_token(-0.7)]
    row, _ = _one(tmp_path, line)
    assert row["chosen_logprobs"] == pytest.approx([-0.7, -0.1])
    assert row["tokens"][1] == "token_id:19"


def test_tool_call_empty_and_truncated_answers_are_kept(tmp_path):
    call = _chat(None, message={"role": "assistant", "content": None, "tool_calls": []}, finish_reason="tool_calls")
    empty = _chat([], message={"role": "assistant", "content": ""})
    cut = _chat([_token()], finish_reason="length")
    table, report = _read(tmp_path, call, empty, cut)
    assert report.n_bad == 0
    assert table["finish_reason"].to_pylist() == ["tool_calls", "stop", "length"]
    assert table["chosen_logprobs"].is_null().to_pylist() == [True, False, False]
    assert table["n_tokens"].to_pylist() == [None, 0, 1]
    assert report.n_duplicates == 2


def test_positive_logprob_is_a_bad_line_with_its_place(tmp_path):
    _, report = _read(tmp_path, CHAT, _chat([_token(0.5)]))
    assert report.n_bad == 1
    assert "t.jsonl:2: " in report.bad_lines[0]
    assert "must be <= 0, got 0.5" in report.bad_lines[0]


def test_strict_stops_at_the_first_bad_line(tmp_path):
    with pytest.raises(TraceFormatError, match=r"t\.jsonl:2: not a JSON object"):
        _read(tmp_path, CHAT, "{broken", strict=True)


def test_gzip_byte_order_mark_and_json_document(tmp_path):
    file = tmp_path / "t.jsonl.gz"
    file.write_bytes(gzip.compress(("\ufeff" + json.dumps(CHAT) + "\r\n").encode()))
    assert len(read_traces(file).read_all()) == 1
    table, _ = _read(tmp_path, json.dumps([CHAT, CHAT], indent=1), name="all.json")
    assert len(table) == 2


def test_zstd_is_read_as_it_is(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    file = tmp_path / "t.jsonl.zst"
    file.write_bytes(zstandard.compress(json.dumps(CHAT).encode()))
    assert len(read_traces(file).read_all()) == 1


def test_unknown_format_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"`format` must be one of .*openai_chat"):
        read_traces(".", format="openai")


def test_streamed_text_completions_are_joined(tmp_path):
    def chunk(text, value, reason=None):
        logprobs = {"tokens": [text], "token_logprobs": [value], "top_logprobs": [{text: value}]}
        choice = {"index": 0, "text": text, "logprobs": logprobs, "finish_reason": reason}
        return {"id": "c", "object": "text_completion", "model": "m", "choices": [choice]}

    row, found = _one(tmp_path, chunk("4", -0.1), chunk("2", -0.2, "stop"))
    assert (row["answer"], found) == ("42", "openai_text_chunks")
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2])


def test_streamed_ollama_parts_are_joined(tmp_path):
    def part(text, value, **more):
        message = {"role": "assistant", "content": text}
        return {
            "model": "m",
            "created_at": "2025-11-01T10:00:00Z",
            "message": message,
            "done": False,
            "logprobs": [_token(value)],
            **more,
        }

    end = part("", -0.3, done=True, done_reason="stop", eval_count=3)
    row, _ = _one(tmp_path, part("4", -0.1), part("2", -0.2), end)
    assert (row["answer"], row["finish_reason"], row["n_tokens"]) == ("42", "stop", 3)
    assert row["chosen_logprobs"] == pytest.approx([-0.1, -0.2, -0.3])


def test_litellm_entry_keeps_its_id_time_and_request_and_no_bookkeeping(tmp_path):
    entry = {
        "id": "lite-1",
        "trace_id": "whole-conversation",
        "call_type": "acompletion",
        "stream": False,
        "response_cost": 0.01,
        "status": "success",
        "startTime": 1700000000.5,
        "endTime": 1700000001.5,
        "model": "gpt",
        "model_group": "small",
        "custom_llm_provider": "openai",
        "end_user": "u1",
        "metadata": {"tenant": "t1", "requester_metadata": None},
        "prompt_tokens": 3,
        "cache_hit": False,
        "messages": [{"role": "user", "content": "2+2?"}],
        "model_parameters": {"temperature": 0.3, "top_logprobs": 2, "logprobs": True},
        "response": CHAT,
    }
    row, _ = _one(tmp_path, entry)
    assert (row["trace_id"], row["prompt"], row["provider"]) == ("lite-1", "2+2?", "openai")
    assert row["temperature"] == pytest.approx(0.3)
    assert dict(row["attributes"]) == {"model_group": "small", "end_user": "u1", "tenant": "t1"}


def test_openinference_span_keeps_its_settings_and_other_spans_are_counted(tmp_path):
    span = {
        "context": {"span_id": "s"},
        "attributes": {
            "output.value": json.dumps(CHAT),
            "llm.invocation_parameters": json.dumps({"temperature": 0.7, "top_logprobs": 2}),
        },
    }
    other = {"context": {"span_id": "t"}, "attributes": {"output.value": "a retrieved text"}}
    table, report = _read(tmp_path, span, other)
    assert table["temperature"].to_pylist() == pytest.approx([0.7])
    assert report.n_skipped == 1


@pytest.mark.parametrize(("temperature", "mode"), [(None, "unknown"), (0.0, "raw"), (0.7, "processed")])
def test_sglang_logprobs_are_after_temperature_unless_greedy(tmp_path, temperature, mode):
    row, _ = _one(tmp_path, {"request": {"temperature": temperature}, "response": LISTED["sglang"]})
    assert row["logprobs_mode"] == mode


def test_a_label_word_that_is_no_verdict_is_an_attribute(tmp_path):
    row, _ = _one(tmp_path, {**CHAT, "label": "entailment"})
    assert dict(row["attributes"]) == {"label": "entailment"}
    _, report = _read(tmp_path, {**CHAT, "correct": "entailment"})
    assert report.n_bad == 1


def test_responses_fields_of_the_request_are_no_attributes(tmp_path):
    line = {**LISTED["openai_responses"], "top_logprobs": 2, "tool_choice": "auto", "metadata": {"tenant": "t1"}}
    assert dict(_one(tmp_path, line)[0]["attributes"]) == {"tenant": "t1"}


def test_invalid_utf8_is_a_bad_line(tmp_path):
    file = tmp_path / "t.jsonl"
    good = json.dumps(CHAT).encode()
    file.write_bytes(good + b"\n" + good.replace(b'"content": "4"', b'"content": "\xff\xfe"') + b"\n")
    stream = read_traces(file)
    assert len(stream.read_all()) == 1
    assert "t.jsonl:2: `choices` cannot be read: not JSON (the bytes are not UTF-8)." in stream.report.bad_lines[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b" \n\n", "is blank"),
        (b"PK\x03\x04 no archive", "is damaged"),
        (gzip.compress(b"{}" * 1000, mtime=0)[:20], "is damaged"),
        (b"[1, 2", "not a JSON document"),
    ],
)
def test_unreadable_file_is_named_with_its_fault(tmp_path, data, reason):
    file = tmp_path / "t.jsonl"
    file.write_bytes(data)
    with pytest.raises(TraceFormatError, match=rf"t\.jsonl: .*{reason}"):
        read_traces(file).read_all()


def test_globs_and_nested_folders_are_expanded_once(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/1.jsonl", "2.jsonl"):
        (tmp_path / name).write_text(json.dumps(CHAT))
    assert len(read_traces(tmp_path).read_all()) == 2
    assert len(read_traces([str(tmp_path / "*.jsonl"), tmp_path / "2.jsonl"]).read_all()) == 1
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_traces(tmp_path / "*.csv")
