"""The verb on files of every kind, on bad input, and against a live server that runs here."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from nilometer.cli import main
from nilometer.traces import corpus_path


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def scores(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        truth = int(rng.integers(1, 6))
        draws = np.clip(rng.normal(truth, 1.2, 7).round(), 1, 5).astype(int)
        rows.append({"prompt_id": f"p{i}", "samples": [f"Score: {d}/5" for d in draws], "truth": truth})
    return write(tmp_path / "scores.jsonl", rows)


def test_one_decision_per_prompt_comes_out(capsys, scores):
    code, out, err = run(capsys, "decide", scores, "--metric", "mse", "--labels", "1-5")
    assert code == 0, err
    rows = lines(out)
    assert [row["prompt_id"] for row in rows] == [f"p{i}" for i in range(60)]
    first = json.loads(scores.read_text().splitlines()[0])
    assert rows[0]["value"] == pytest.approx(np.mean([int(text[7]) for text in first["samples"]]))
    assert "differ from the mode, expected loss lower by" in err


def test_texts_of_several_lines_and_scripts_survive(capsys, tmp_path):
    texts = ["Zeile 1\nZeile 2", "Zeile 1\nZeile 2", "短い答え", ""]
    file = write(tmp_path / "t.jsonl", [{"id": "x", "samples": texts}, {"id": "y", "samples": ["", "", "a"]}])
    code, out, _ = run(capsys, "decide", file, "--metric", "accuracy", "--parse", "text")
    assert code == 0
    assert [row["value"] for row in lines(out)] == ["zeile 1 zeile 2", "a"]


def test_the_greedy_answer_is_compared_with(capsys, tmp_path):
    file = write(tmp_path / "g.jsonl", [{"id": i, "samples": ["1", "1", "1", "9"], "greedy": "1"} for i in range(3)])
    code, out, err = run(capsys, "decide", file, "--metric", "mse", "--json")
    summary = json.loads(out)["summary"]
    assert code == 0, err
    assert (summary["n_changed_from_greedy"], summary["n_changed_from_mode"]) == (3, 3)
    # the mean loses 12 in expectation, the greedy answer 64 / 4 = 16
    assert summary["expected_gain_over_greedy"] == pytest.approx(4.0)


def test_an_unreadable_prompt_keeps_its_place_and_reason(capsys, tmp_path):
    file = write(tmp_path / "u.jsonl", [{"id": "a", "samples": ["no"]}, {"id": "b", "samples": ["3", "x"]}])
    code, out, err = run(capsys, "decide", file, "--metric", "mae")
    rows = lines(out)
    assert code == 0
    assert (rows[0]["value"], rows[1]["value"]) == (None, 3.0)
    assert "none of the 1 samples can be read" in rows[0]["reason"]
    assert "Draw at least two" in rows[1]["stability_reason"]
    assert "1 answers could not be read" in err


def test_responses_are_read_at_the_score_token(capsys, tmp_path):
    def reply(i, p):
        top = [{"token": "4", "logprob": float(np.log(p))}, {"token": "5", "logprob": float(np.log(1 - p))}]
        choice = {"message": {"content": "4"}, "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}
        return {"custom_id": f"r{i}", "response": {"body": {"choices": [choice]}}, "truth": 4.4}

    file = write(tmp_path / "r.jsonl", [reply(i, p) for i, p in enumerate((0.6, 0.9))])
    code, out, err = run(capsys, "decide", file, "--metric", "rmse", "--labels", "1-5")
    assert code == 0, err
    assert [round(row["value"], 6) for row in lines(out)] == [4.4, 4.1]


def test_recorded_traces_are_grouped_by_prompt(capsys, tmp_path):
    out_file = tmp_path / "d.jsonl"
    code, out, err = run(capsys, "decide", corpus_path("specialist_samples"), "--metric", "accuracy", "--out", out_file)
    assert code == 0, err
    assert out == ""
    assert len(out_file.read_text().splitlines()) == 1800
    code, out, err = run(
        capsys, "decide", corpus_path("specialist_samples"), "--metric", "accuracy", "--compare", "--json"
    )
    cells = json.loads(out)["cells"]
    assert code == 0, err
    assert {cell["metric"] for cell in cells} == {"accuracy", "balanced accuracy"}


def test_rules_are_compared_on_known_truths(capsys, scores, tmp_path):
    code, out, err = run(capsys, "decide", scores, "--metric", "mae", "--labels", "1-5", "--compare", "--json")
    assert code == 0, err
    cells = {(cell["rule"], cell["metric"]): cell for cell in json.loads(out)["cells"]}
    assert cells["squared", "RMSE"]["value"] < cells["zero_one", "RMSE"]["value"]
    assert cells["squared", "RMSE"]["low"] <= cells["squared", "RMSE"]["gain"] <= cells["squared", "RMSE"]["high"]
    plain = write(
        tmp_path / "plain.jsonl", [{k: v for k, v in row.items() if k != "truth"} for row in lines(scores.read_text())]
    )
    truths = tmp_path / "truth.csv"
    truths.write_text(
        "prompt_id,truth\n" + "".join(f"{r['prompt_id']},{r['truth']}\n" for r in lines(scores.read_text()))
    )
    again = run(capsys, "decide", plain, "--metric", "mae", "--labels", "1-5", "--compare", "--truth", truths, "--json")
    assert json.loads(again[1]) == json.loads(out)
    code, out, err = run(capsys, "decide", scores, "--metric", "mae", "--labels", "1-5", "--compare")
    assert "RMSE" in out
    assert "60 prompts with a known truth" in err


def test_calibration_is_judged_on_the_other_half(capsys, scores):
    code, out, err = run(
        capsys, "decide", scores, "--metric", "rmse", "--labels", "1-5", "--compare", "--calibrate", "affine", "--json"
    )
    assert code == 0, err
    fitted = int(err.split("on ")[1].split(" prompts")[0])
    assert fitted + json.loads(out)["n"] == 60


def test_batch_metrics_and_abstention(capsys, scores):
    code, out, err = run(capsys, "decide", scores, "--metric", "qwk", "--labels", "1-5", "--json")
    assert code == 0, err
    assert {row["value"] for row in json.loads(out)["decisions"]} <= {1, 2, 3, 4, 5}
    code, out, err = run(capsys, "decide", scores, "--metric", "accuracy", "--labels", "1-5", "--abstain-cost", "0.5")
    assert code == 0
    assert any(row["abstained"] and row["value"] is None for row in lines(out))
    assert "better left unanswered" in err


@pytest.mark.parametrize(
    ("rows", "flags", "says"),
    [
        ([], (), "holds no JSON object"),
        ([{"samples": ["a"]}], ("--metric", "mea"), "Did you mean"),
        ([{"samples": ["a"]}], ("--labels", "7"), "must name at least two labels"),
        ([{"samples": ["a"]}], ("--parse", "xml"), "`--parse` must be one of"),
        ([{"samples": ["a"]}], ("--parse", "label"), "needs the scale"),
        ([{"samples": ["a"]}], (), "no prompt can be decided"),
        ([{"samples": ["a", "b"]}], ("--parse", "text"), "absolute needs numbers"),
        ([{"samples": ["1", "2"]}], ("--parameter", "2"), "absolute takes no parameter"),
        ([{"samples": ["1", "2"], "logprobs": [1.0, 2.0]}], (), "`logprobs` must be <= 0"),
        ([{"samples": ["1", "2"], "logprobs": ["NaN", 0]}], (), "must be numbers, got NaN"),
        ([{"samples": ["1", "2"]}], ("--compare",), "needs right answers"),
        ([{"samples": ["1"]}], ("--truth", "missing.csv"), "missing.csv"),
        ([{"samples": ["1"]}], ("--calibrate", "affine"), "0 labelled answers are too few"),
        ([{"choices": [{"message": {"content": "4"}}]}], ("--labels", "1-5"), "--fallback samples"),
        ([{"samples": ["1"]}], ("--live", "grpc:x"), "`--live` must be openai:URL"),
        ([{"samples": ["1"]}], ("--live", "openai:http://x"), "`--model-name` must name"),
    ],
)
def test_mistakes_get_one_line_and_exit_2(capsys, tmp_path, rows, flags, says):
    file = write(tmp_path / "f.jsonl", rows)
    metric = () if "--metric" in flags else ("--metric", "mae")
    code, out, err = run(capsys, "decide", file, *metric, *flags)
    assert (code, out) == (2, "")
    assert says in err


def test_bad_lines_are_named(capsys, tmp_path):
    file = tmp_path / "b.jsonl"
    file.write_text('{"samples": ["1"]}\nnot json\n[1]\n')
    code, _, err = run(capsys, "decide", file, "--metric", "mae")
    assert code == 2
    assert f"{file}:2: not a JSON object" in err
    assert "2 of 3 lines are bad" in err


class _Server(BaseHTTPRequestHandler):
    """A server of OpenAI's shape: sure of questions with "sure" in them, of two minds otherwise."""

    n_calls = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).n_calls += 1
        rng = np.random.default_rng(body["seed"])
        said = "4" if "sure" in body["messages"][0]["content"] else str(rng.integers(1, 6))
        token = {"token": said, "logprob": -0.5, "top_logprobs": [{"token": said, "logprob": -0.5}]}
        choice = {
            "index": 0,
            "message": {"content": f"Answer: {said}"},
            "finish_reason": "stop",
            "logprobs": {"content": [token]},
        }
        reply = json.dumps({"id": "x", "choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    _Server.n_calls = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"openai:http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_a_live_server_is_asked_until_the_decision_stands(capsys, tmp_path, url):
    file = write(tmp_path / "p.jsonl", [{"id": "easy", "prompt": "sure?"}, {"id": "hard", "prompt": "hm?"}])
    arguments = ("--metric", "accuracy", "--live", url, "--model-name", "m", "--samples", "16")
    code, out, err = run(capsys, "decide", file, *arguments)
    assert code == 0, err
    easy, hard = lines(out)
    assert (easy["prompt_id"], easy["value"], easy["is_settled"]) == ("easy", "4", True)
    assert easy["n_samples"] < hard["n_samples"] == 16
    assert hard["is_settled"] is False
    assert _Server.n_calls == easy["n_samples"] + hard["n_samples"]
    assert f"{32 - _Server.n_calls} fewer than 16 each" in err


def test_live_scores_with_a_scale(capsys, tmp_path, url):
    file = write(tmp_path / "p.jsonl", [{"id": "easy", "prompt": "sure?"}])
    arguments = ("--metric", "mae", "--labels", "1-5", "--live", url, "--model-name", "m", "--json")
    code, out, err = run(capsys, "decide", file, *arguments)
    assert code == 0, err
    found = json.loads(out)
    assert found["decisions"][0]["value"] == 4.0
    assert found["summary"]["n_calls_saved"] == 32 - found["summary"]["n_calls"]


def test_a_field_is_read_from_draws_too(capsys, tmp_path):
    rows = [{"id": "f", "samples": ['{"score": 3, "max_score": 5}'] * 3}]
    rows += [{"id": "g", "samples": ['{"score": 2, "confidence": 5}'] * 3, "truth": 2}]
    code, out, err = run(
        capsys, "decide", write(tmp_path / "f.jsonl", rows), "--metric", "mse", "--labels", "1-5", "--field", "score"
    )
    assert code == 0, err
    assert [row["value"] for row in lines(out)] == [3, 2]


def test_null_empty_and_cut_off_answers_are_failed_draws(capsys, tmp_path):
    choices = [{"message": {"content": None, "refusal": "no"}}, {"message": {"content": ""}}]
    choices += [{"message": {"content": "Ams"}, "finish_reason": "length"}, {"message": {"content": "Oslo"}}]
    file = write(tmp_path / "n.jsonl", [{"prompt_id": "a", "choices": choices}])
    code, out, err = run(capsys, "decide", file, "--metric", "accuracy")
    assert (code, lines(out)[0]["value"], lines(out)[0]["n_failures"]) == (0, "oslo", 3), err
    assert "3 answers could not be read" in err


def test_null_answers_of_traces_are_counted(capsys, tmp_path):
    answers = enumerate([None, None, "Oslo"])
    rows = [{"prompt_id": "a", "trace_id": f"a{i}", "model": "m", "answer": text} for i, text in answers]
    code, out, err = run(capsys, "decide", write(tmp_path / "t.jsonl", rows), "--metric", "accuracy")
    assert (code, lines(out)[0]["value"], lines(out)[0]["n_failures"]) == (0, "oslo", 2), err


def test_lists_of_json_are_sets(capsys, tmp_path):
    file = write(tmp_path / "l.jsonl", [{"prompt_id": "c", "samples": [["oslo", "bergen"], ["oslo"], ["oslo"]]}])
    code, out, err = run(capsys, "decide", file, "--metric", "f1")
    assert (code, lines(out)[0]["value"]) == (0, ["oslo"]), err


def test_lines_may_bring_candidates_label_logprobs_and_temperature(capsys, tmp_path):
    rows = [
        {"prompt_id": "a", "samples": ["1", "2", "2", "5"], "candidates": ["1", "5"]},
        {"prompt_id": "b", "label_logprobs": {"1": -0.1, "5": None, "2": -2.4}, "temperature": 1.0},
    ]
    code, out, _ = run(capsys, "decide", write(tmp_path / "s.jsonl", rows), "--metric", "mae", "--labels", "1-5")
    found = {row["prompt_id"]: row["value"] for row in lines(out)}
    assert (code, found) == (0, {"a": 1, "b": 1})


def test_costs_go_with_their_metric_alone(capsys, tmp_path, scores):
    (tmp_path / "c.csv").write_text("answer,1,2,3,4,5\n1,0,1,2,3,4\n5,4,3,2,1,0\n")
    shared = ("decide", scores, "--labels", "1-5", "--costs", tmp_path / "c.csv")
    code, out, _ = run(capsys, *shared, "--metric", "cost")
    assert code == 0
    assert {row["value"] for row in lines(out)} <= {1, 5}
    code, _, err = run(capsys, *shared, "--metric", "mae")
    assert (code, "`--costs` goes with `--metric cost`" in err) == (2, True)


TOP = [{"token": "4", "logprob": float(np.log(0.6))}, {"token": "5", "logprob": float(np.log(0.4))}]
LISTED = {"content": [{**TOP[0], "top_logprobs": TOP}]}
GEMINI = {
    "candidates": [
        {
            "content": {"parts": [{"text": "4"}]},
            "finishReason": "STOP",
            "logprobsResult": {
                "chosenCandidates": [{"token": "4", "logProbability": TOP[0]["logprob"]}],
                "topCandidates": [{"candidates": [{"token": t["token"], "logProbability": t["logprob"]} for t in TOP]}],
            },
        }
    ],
    "responseId": "r",
}
CHUNK = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
CHOICE = {"message": {"content": "4"}, "logprobs": LISTED, "finish_reason": "stop"}


@pytest.mark.parametrize(
    "rows",
    [
        [{"prompt_id": "a", "choices": [CHOICE]}],
        [GEMINI],
        [{"type": "ai", "content": "4", "id": "x", "response_metadata": {"logprobs": LISTED}}],
        [
            {**CHUNK, "choices": [{"index": 0, "delta": {"content": "4"}, "logprobs": LISTED}]},
            {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        ],
    ],
    ids=["chat", "Gemini", "LangChain", "stream"],
)
def test_every_format_of_traces_is_read_at_the_score_token(capsys, tmp_path, rows):
    code, out, err = run(capsys, "decide", write(tmp_path / "r.jsonl", rows), "--metric", "rmse", "--labels", "1-5")
    assert code == 0, err
    assert [round(row["value"], 5) for row in lines(out)] == [4.4]


def test_responses_are_found_where_at_says_and_grouped_by_prompt(capsys, tmp_path):
    rows = [{"prompt_id": "p", "log": {"calls": [{"a": {"b": {"choices": [CHOICE]}}}]}, "truth": "4"} for _ in range(2)]
    file = write(tmp_path / "r.jsonl", rows)
    shared = ("decide", file, "--metric", "rmse", "--labels", "1-5")
    assert run(capsys, *shared)[0] == 2
    code, out, err = run(capsys, *shared, "--at", "log.calls[*].a.b")
    assert code == 0, err
    assert [(row["prompt_id"], round(row["value"], 5)) for row in lines(out)] == [("p", 4.4)]


def test_columns_name_where_draws_stand(capsys, tmp_path):
    rows = [{"q": "a", "said": text} for text in ("Oslo", "Oslo", "Rome")]
    file = write(tmp_path / "r.jsonl", rows)
    code, out, err = run(capsys, "decide", file, "--metric", "accuracy", "--columns", "prompt_id=q,answer=said")
    assert (code, lines(out)[0]["value"]) == (0, "oslo"), err


def test_where_responses_stand_has_no_meaning_live(capsys, tmp_path):
    file = write(tmp_path / "r.jsonl", [{"prompt": "2+2?"}])
    code, _, err = run(capsys, "decide", file, "--metric", "mae", "--live", "openai:http://x", "--at", "a")
    assert (code, "`--at` has no meaning with `--live`" in err) == (2, True)


def test_log_probabilities_are_moved_to_a_temperature(capsys, tmp_path):
    logprobs = {"1": float(np.log(0.8)), "2": float(np.log(0.2))}
    rows = [{"prompt_id": "a", "label_logprobs": logprobs, "temperature": 1.0}]
    rows += [{"prompt_id": "b", "label_logprobs": {"x": -0.1}, "temperature": 1.0}]
    file = write(tmp_path / "l.jsonl", rows)
    code, out, err = run(capsys, "decide", file, "--metric", "mse", "--labels", "1-2", "--temper", "0.5")
    assert code == 0, err
    first, second = lines(out)
    assert first["value"] == pytest.approx(1 + 0.2**2 / (0.8**2 + 0.2**2), abs=1e-6)
    assert second["value"] is None


def test_the_greedy_answers_are_a_rule_of_the_comparison(capsys, tmp_path):
    rows = [{"prompt_id": f"p{i}", "samples": ["1", "2", "2"], "greedy": "1", "truth": 1 + i % 2} for i in range(12)]
    arguments = ("decide", write(tmp_path / "g.jsonl", rows), "--metric", "accuracy", "--labels", "1-2", "--compare")
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    cells = {one["rule"]: one["value"] for one in json.loads(out)["cells"] if one["metric"] == "accuracy"}
    assert (cells["greedy"], cells["zero_one"]) == (0.5, 0.5)


def test_a_line_of_another_kind_among_many_is_named_and_left_out(capsys, tmp_path):
    rows = [{"prompt_id": f"p{i}", "samples": ["1", "2", "2"]} for i in range(200)]
    file = write(tmp_path / "s.jsonl", [*rows, {"prompt_id": "b", "question": "?"}])
    file.write_text(file.read_text() + "\n")
    code, out, err = run(capsys, "decide", file, "--metric", "accuracy")
    assert (code, len(lines(out))) == (0, 200)
    assert f"{file}:201: no samples, no label_logprobs, no resps." in err


def test_samples_of_the_harness_are_read(capsys, tmp_path):
    rows = [{"doc_id": i, "resps": [["4"], ["4"], ["5"]], "target": "4"} for i in range(2)]
    code, out, err = run(capsys, "decide", write(tmp_path / "h.jsonl", rows), "--metric", "accuracy")
    assert code == 0, err
    assert [(row["prompt_id"], row["value"]) for row in lines(out)] == [("0", "4"), ("1", "4")]


def test_pseudo_references_judge_the_candidates_of_their_line(capsys, tmp_path):
    row = {"prompt_id": "a", "samples": ["1", "9"], "pseudo_references": ["2", "2", "3"], "truth": [1]}
    code, out, err = run(capsys, "decide", write(tmp_path / "r.jsonl", [row]), "--metric", "mae", "--parse", "number")
    assert code == 0, err
    assert lines(out)[0]["value"] == 1


def test_every_bad_line_counts_and_a_hundred_are_kept(capsys, tmp_path):
    file = tmp_path / "b.jsonl"
    file.write_text('{"samples": ["1"]}\n' + "[1]\n" * 150)
    code, _, err = run(capsys, "decide", file, "--metric", "mae")
    assert code == 2
    assert "… and 130 more bad lines." in err
    assert "150 of 151 lines are bad" in err
