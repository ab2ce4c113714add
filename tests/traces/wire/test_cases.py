"""Files in the shapes that servers and users really write: each gives what is right, or says why not."""

from pathlib import Path

import numpy as np
import pytest

from nilometer.errors import TraceFormatError
from nilometer.signals import profile_batch
from nilometer.traces import Layout, read_traces

CASES = Path(__file__).parent / "cases"
BASE = [4, 5, 6]


def _read(name, **options):
    stream = read_traces(CASES / name, **options)
    return stream.read_all(), stream.report


def _lengths(table):
    return [None if row is None else len(row) for row in table["chosen_logprobs"].to_pylist()]


@pytest.mark.parametrize(
    ("name", "found", "k"),
    [
        ("07_llama_cpp_v1_completions.jsonl", "openai_completions", 5),
        ("09_chat_legacy_logprobs.jsonl", "openai_chat", 5),
        ("13_tgi_generate.jsonl", "tgi", 5),
        ("15_gemini.jsonl", "gemini", 5),
        ("17_cohere_v2.jsonl", "cohere", 0),
        ("18_bedrock_cohere.jsonl", "cohere_generations", 0),
        ("19_watsonx.jsonl", "watsonx", 5),
        ("20_langchain_dumps.jsonl", "langchain", 5),
        ("21_langsmith_runs.jsonl", "langsmith", 5),
        ("24_empty_id.jsonl", "openai_chat", 5),
        ("24b_same_id.jsonl", "openai_chat", 5),
        ("26j_wrapper_data.json", "openai_chat", 5),
        ("26n_id_keyed_object.json", "openai_chat", 5),
        ("27_batch_output.jsonl", "openai_chat", 5),
        ("27b_batch_with_error.jsonl", "openai_chat", 5),
        ("27c_raw_response.jsonl", "openai_chat", 5),
        ("27e_batch_responses_api.jsonl", "openai_responses", 5),
        ("36_openinference_responses.jsonl", "openinference", 5),
        ("38_helm_scenario_state.json", "helm", 5),
        ("39_dashscope.jsonl", "openai_chat", 5),
        ("46_llama_cpp_chat_post_sampling.jsonl", "openai_chat", 5),
    ],
)
def test_three_responses_of_4_5_and_6_tokens_are_read(name, found, k):
    table, report = _read(name)
    assert (report.files[0].format, report.n_bad) == (found, 0)
    assert _lengths(table) == table["n_tokens"].to_pylist() == BASE
    assert table["k"].to_pylist() == [k] * 3
    assert table["answer"].to_pylist()[0].strip().startswith("The lamp is blue")
    assert [len(tokens) for tokens in table["tokens"].to_pylist()] == BASE
    for row, tokens in zip(table["top_logprobs"].to_pylist(), BASE, strict=True):
        assert np.all(np.diff(np.array(row).reshape(tokens, k)) <= 0)


@pytest.mark.parametrize(
    "name",
    [
        "07_llama_cpp_v1_completions.jsonl",
        "13_tgi_generate.jsonl",
        "15_gemini.jsonl",
        "19_watsonx.jsonl",
        "21_langsmith_runs.jsonl",
        "38_helm_scenario_state.json",
        "46_llama_cpp_chat_post_sampling.jsonl",
    ],
)
def test_every_shape_gives_the_numbers_of_the_plain_one(name):
    table, plain = _read(name)[0], _read("27_batch_output.jsonl")[0]
    for column in ("chosen_logprobs", "top_logprobs"):
        for row, other in zip(table[column].to_pylist(), plain[column].to_pylist(), strict=True):
            np.testing.assert_allclose(row, other, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("01_openrouter_stream.sse", BASE),
        ("02_azure_stream.sse", BASE),
        ("05_responses_stream_cut.sse", [4]),
        ("06_llama_cpp_stream.sse", BASE),
        ("11_completions_stream_finish_empty.sse", BASE),
        ("11b_chat_stream_finish_empty.sse", BASE),
        ("24c_stream_empty_id.sse", BASE),
        ("24d_stream_no_id.sse", BASE),
        ("26_bom.jsonl", BASE),
        ("26b_crlf.jsonl", BASE),
        ("26c_gzip_concat.jsonl.gz", BASE),
        ("26d_array.json", BASE),
        ("26f_pretty_concat.json", BASE),
        ("26i_blank_first_pretty.json", [4]),
        ("26l_last_line_cut.jsonl", [4, 5]),
        ("28_n2_interleaved.sse", [4, 5]),
        ("40b_ollama_stream.jsonl", BASE),
        ("42_reasoning_delta.sse", [4]),
    ],
)
def test_streams_and_files_of_every_make_are_read_whole(name, lengths):
    table, report = _read(name)
    assert report.n_bad == 0
    assert _lengths(table) == table["n_tokens"].to_pylist() == lengths
    assert report.n_duplicates == 0


def test_a_stream_without_log_probabilities_keeps_its_count():
    table, _ = _read("40_ollama_stream_no_logprobs.jsonl")
    assert (table["n_tokens"].to_pylist(), table["chosen_logprobs"].null_count) == ([4], 1)
    assert profile_batch(table.to_batches()[0])["no_answer"].to_pylist() == [0.0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("26e_array_trailing_comma.json", "not a JSON document"),
        ("26g_utf16.jsonl", "the file is in UTF-16"),
    ],
)
def test_files_that_cannot_be_read_say_why(name, reason):
    with pytest.raises(TraceFormatError, match=reason):
        _read(name)


def test_a_printed_response_is_named():
    assert "It is a Python repr" in _read("23_pydantic_repr.txt")[1].bad_lines[0]


def test_every_case_is_in_the_tables():
    tested = Path(__file__).read_text(encoding="utf-8")
    assert [file.name for file in CASES.iterdir() if file.name != "README.md" and file.name not in tested] == []


def test_repeated_ids_are_counted():
    assert _read("24b_same_id.jsonl")[1].n_duplicates == 2


def test_requests_that_failed_are_skipped_and_counted():
    report = _read("27b_batch_with_error.jsonl")[1]
    assert (report.n_bad, report.n_skipped) == (0, 2)


def test_an_empty_list_beside_an_answer_was_not_asked_for():
    table, _ = _read("04_responses_empty_logprobs.jsonl")
    assert table["n_tokens"].to_pylist() == [5, 5, 5]
    assert table["chosen_logprobs"].null_count == 3


def test_the_response_of_an_operation_is_read_once():
    assert _lengths(_read("16c_gemini_operation.json")[0]) == [4]


def test_what_a_provider_did_not_list_stays_counted():
    table, _ = _read("33_lost_logprobs.jsonl")
    assert table["n_tokens"].to_pylist() == [6] * 4
    assert _lengths(table) == [1] * 4


@pytest.mark.parametrize(
    ("name", "n", "lengths"),
    [
        ("25_plain_answer_number.jsonl", 2, [1, 1]),
        ("25c_plain_prompt_messages.jsonl", 2, [1, 1]),
        ("30_below_cutoff.jsonl", 6, [4] * 6),
        ("31_completions_collapsed.jsonl", 1, [5]),
        ("32_speculative_all_zero.jsonl", 8, [12] * 8),
        ("34_lone_surrogate.jsonl", 1, [4]),
        ("35_chosen_only.jsonl", 3, [5] * 3),
        ("37_lm_eval_mutual_info.jsonl", 1, [1]),
        ("43_refusal.jsonl", 1, [4]),
        ("44_chat_k_plus_1.jsonl", 1, [4]),
        ("50_logprobs_is_list.jsonl", 1, [4]),
    ],
)
def test_odd_values_are_read(name, n, lengths):
    table, report = _read(name)
    assert (len(table), report.n_bad) == (n, 0)
    assert _lengths(table) == lengths


def test_odd_values_become_what_they_mean():
    assert _read("25_plain_answer_number.jsonl")[0]["answer"].to_pylist() == ["42", "42"]
    assert _read("25c_plain_prompt_messages.jsonl")[0]["prompt"].to_pylist() == [None, "hi"]
    assert _read("34_lone_surrogate.jsonl")[0]["tokens"][0][0].as_py() == "\ufffd"
    assert _read("37_lm_eval_mutual_info.jsonl")[0]["k"].to_pylist() == [3]
    assert _read("46_llama_cpp_chat_post_sampling.jsonl")[0]["logprobs_mode"].to_pylist() == ["processed"] * 3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("25g_model_object.jsonl", "`model` must be a text, got {'id'"),
        ("29_first_logprob_positive.jsonl", "a `logprob` must be <= 0, got 0.699707"),
        ("47_sglang_fewer_lists_than_tokens.jsonl", "`top_logprobs` must have one entry per token, got 1 for 2 tokens"),
    ],
)
def test_a_wrong_value_costs_its_line_and_says_why(name, reason):
    table, report = _read(name)
    assert (len(table), report.n_bad) == (0, 1)
    assert reason in report.bad_lines[0]


def test_a_foreign_table_is_refused_with_the_way_to_read_it():
    with pytest.raises(
        TraceFormatError, match=r"has the columns prompt, response.*--columns answer=response,logprobs="
    ):
        _read("48_foreign.parquet")
    table, _ = _read("48_foreign.parquet", format=Layout(columns={"answer": "response", "prompt": "prompt"}))
    assert len(table) == 3
    assert table["answer"].null_count == table["prompt"].null_count == 0
