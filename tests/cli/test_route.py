"""The routing verbs on recorded models and on files as users have them."""

import io
import json

import pytest
from servers import FakeServer

from nilometer.cli import main
from nilometer.traces import corpus_path

RECORDED = [corpus_path(name) for name in ("specialist", "smollm2", "gemma3")]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main(["route", *map(str, arguments)])
    out = capsys.readouterr()
    return caught.value.code, out.out, out.err


def wide(path, n=40, models=("a", "b", "c", "d"), *, labels=True, **extra):
    """Model a is always right, b and c mostly, d seldom; wrong answers differ."""
    lines = []
    for i in range(n):
        outputs = {m: str(i) if (i * (7 + j)) % 10 >= 2.5 * j else f"wrong {i} {m}" for j, m in enumerate(models)}
        line = {"id": f"p{i}", "prompt": f"What is number {i}?", "outputs": outputs, "domain": "xy"[i % 2], **extra}
        if labels:
            line["correct"] = {m: outputs[m] == str(i) for m in models}
        lines.append(json.dumps(line))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_recorded_models_end_to_end(capsys, tmp_path):
    router, page = tmp_path / "r.nilo", tmp_path / "r.html"
    code, out, err = run(capsys, "fit", *RECORDED, "--by", "domain", "--neighbors", 10, "--out", router, "--html", page)
    assert code == 0, err
    assert "specialist has expected accuracy" in out
    assert "6,000 of 7,200 prompts were answered by one model only" in err
    assert page.read_text(encoding="utf-8").count('class="for-screen"') == 3
    code, out, err = run(capsys, "explain", "--router", router, "What is 3 + 4?", "Sort in ascending order: 3 2")
    assert code == 0, err
    assert [line.split("\t")[0] for line in out.splitlines()] == ["specialist", "specialist"]
    code, out, err = run(capsys, "eval", *RECORDED, "--router", router, "--json")
    assert code == 0, err
    points = {point["name"]: point for point in json.loads(out)["policies"]}
    assert points["route, one call"]["quality"] > points["random"]["quality"]


def test_wide_files_labels_costs_and_a_budget(capsys, tmp_path):
    file = wide(tmp_path / "w.jsonl", labels=False)
    labels, costs = tmp_path / "l.csv", tmp_path / "c.json"
    rows = [f"p{i}/{m},{int(m == 'a')}" for i in range(20) for m in "abcd"]
    labels.write_text("trace_id,correct\n" + "\n".join(rows))
    costs.write_text(json.dumps({"a": 10, "b": 2, "c": 1, "d": 1}))
    code, out, err = run(capsys, "fit", file, "--compare", "text", "--labels", labels, "--cost", costs, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["best"] == "a"
    assert found["models"][0]["n_labels"] == 20
    assert found["cost_unit"] == "cost"
    code, out, err = run(capsys, "fit", file, "--compare", "text", "--cost", costs, "--budget", 2)
    assert code == 0, err
    assert "b has expected quality" in out


def test_eval_splits_in_halves_and_names_the_point(capsys, tmp_path):
    file = wide(tmp_path / "w.jsonl", costs={"a": 3.0, "b": 1.0, "c": 1.0, "d": 0.5})
    code, out, err = run(capsys, "eval", file, "--compare", "text", "--budget", 1, "--target", 1)
    assert code == 0, err
    assert "Fitted on 20 prompts, judged on 20 others (seed 0)." in err
    assert "labels alone would choose a" in err
    assert "For the budget 1:" in err
    assert "For the target 1:" in err
    assert "cascade of 2" in out


def test_prompts_come_from_standard_input_too(capsys, tmp_path, monkeypatch):
    router = tmp_path / "r.nilo"
    assert run(capsys, "fit", wide(tmp_path / "w.jsonl"), "--neighbors", 3, "--out", router)[0] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("What is number 3?\n\nWhat is number 4?\n"))
    code, out, _ = run(capsys, "explain", "--router", router, "--json")
    assert code == 0
    assert [row["prompt"] for row in json.loads(out)] == ["What is number 3?", "What is number 4?"]
    assert len(json.loads(out)[0]["alternatives"]) == 3


def test_prompt_templates_can_be_the_voters(capsys, tmp_path):
    lines = [
        {
            "trace_id": f"{i}{t}",
            "prompt_id": str(i),
            "prompt": f"{t} {i}",
            "model": "m",
            "answer": str(i),
            "template": t,
        }
        for i in range(12)
        for t in ("short", "long", "steps")
    ]
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    code, out, err = run(capsys, "fit", file, "--voter", "template", "--compare", "number", "--json")
    assert code == 0, err
    assert sorted(row["model"] for row in json.loads(out)["models"]) == ["long", "short", "steps"]


@pytest.mark.parametrize(("models", "labels"), [(("a",), True), (("a",), False), (("a", "b"), False)])
def test_one_model_or_two_without_labels_are_not_enough(capsys, tmp_path, models, labels):
    code, _, err = run(capsys, "fit", wide(tmp_path / "w.jsonl", models=models, labels=labels))
    assert code == 2
    assert "models" in err
    assert "Traceback" not in err


def test_two_models_with_labels_are_ranked_by_them(capsys, tmp_path):
    file, router = wide(tmp_path / "w.jsonl", models=("b", "a")), tmp_path / "r.nilo"
    code, out, err = run(capsys, "fit", file, "--compare", "number", "--out", router, "--json")
    assert code == 0, err
    found = {row["model"]: row for row in json.loads(out)["models"]}
    assert (found["b"]["accuracy"], found["a"]["accuracy"]) == (1.0, 0.6)
    assert {row["name"]: row["quality"] for row in json.loads(out)["policies"][:2]} == {"a": 0.6, "b": 1.0}
    code, out, err = run(capsys, "explain", "--router", router, "What is number 3?")
    assert code == 0, err
    assert out.split("\t")[0] == "b"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--compare", "colour"), "`--compare` must be one of embedding, choice"),
        (("--neighbors", "41"), "`n_neighbors` must be <= 40"),
        (("--label-key", "prompt_id"), "must tell models apart"),
        (("--embedder", "bert"), "`--embedder` must be ngrams"),
        (("--budget", "1"), "The models have no costs"),
        (("--voter", "colour"), "`by` must be a column"),
        (("--sentinel", "nothing.nilo"), "nothing.nilo"),
    ],
)
def test_mistakes_in_options_are_one_line(capsys, tmp_path, arguments, text):
    code, _, err = run(capsys, "fit", wide(tmp_path / "w.jsonl"), *arguments)
    assert code == 2, err
    assert text in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("c.json", '{"a": 1}', "no cost for b, c, d"),
        ("c.json", '{"a": -1, "b": 1, "c": 1, "d": 1}', "a: the cost must be a number >= 0, got -1"),
        ("c.json", "[1]", "costs must be a JSON object"),
        ("c.csv", "name,price\na,1", "columns `model` and `cost`"),
        ("c.csv", "model,cost\na,x\nb,1\nc,1\nd,1", "a: the cost must be a number >= 0, got 'x'"),
        ("c.csv", "model,per_million_tokens\na,1\nb,1\nc,1\nd,1", "a has answers without `n_tokens`"),
    ],
)
def test_bad_costs_are_named(capsys, tmp_path, name, content, text):
    costs = tmp_path / name
    costs.write_text(content)
    code, _, err = run(capsys, "fit", wide(tmp_path / "w.jsonl"), "--cost", costs)
    assert code == 2
    assert text in err


def test_labels_that_match_nothing_and_empty_files_are_said(capsys, tmp_path):
    labels = tmp_path / "l.csv"
    labels.write_text("trace_id,correct\nunknown/model,1\n")
    code, _, err = run(capsys, "fit", wide(tmp_path / "w.jsonl"), "--labels", labels)
    assert code == 2
    assert "none of the 1 labels matches" in err
    (tmp_path / "empty.jsonl").write_text("")
    assert run(capsys, "fit", tmp_path / "empty.jsonl")[0] == 2
    assert run(capsys, "fit", tmp_path / "absent.jsonl")[0] == 2
    code, _, err = run(capsys, "eval", wide(tmp_path / "w.jsonl", labels=False))
    assert code == 2
    assert "No answer has a label. Give --labels." in err


def test_a_model_without_outputs_is_no_voter(capsys, tmp_path):
    file = wide(tmp_path / "w.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        line["outputs"]["d"] = ""
        del line["correct"]
    file.write_text("\n".join(map(json.dumps, lines)))
    code, out, _ = run(capsys, "fit", file, "--json")
    assert code == 0
    assert [row["model"] for row in json.loads(out)["models"]].count("d") == 0
    assert "40 empty answers count as missing" in str(json.loads(out)["notes"])


def flat(path, n=12, models=("a", "b", "c"), *, answer=str, **extra):
    """One response a line, with its length in tokens."""
    lines = [
        {
            "trace_id": f"{i}{m}",
            "prompt_id": f"p{i}",
            "prompt": f"number {i}",
            "model": m,
            "answer": answer(i),
            "n_tokens": 1000 * (j + 1),
            "chosen_logprobs": None,
            **{name: value(m) for name, value in extra.items()},
        }
        for i in range(n)
        for j, m in enumerate(models)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_prices_of_tokens_are_those_of_answers_of_mean_length(capsys, tmp_path):
    costs = tmp_path / "c.csv"
    costs.write_text("model,per_million_tokens\na,3\nb,3\nc,6\nd,1\n")
    code, out, err = run(capsys, "fit", flat(tmp_path / "f.jsonl"), "--compare", "text", "--cost", costs, "--json")
    assert code == 0, err
    assert [row["cost"] for row in json.loads(out)["models"]] == pytest.approx([0.003, 0.006, 0.018])
    assert "c.csv: d gave no answer and is left out." in err


@pytest.mark.parametrize(("costs", "known"), [({"a": 1, "b": 2, "c": 3}, True), ({"a": 1, "b": "free", "c": 3}, False)])
def test_costs_of_the_responses_count_where_every_model_has_some(capsys, tmp_path, costs, known):
    file = flat(tmp_path / "f.jsonl", attributes=lambda m: {"cost": str(costs[m])})
    code, out, err = run(capsys, "fit", file, "--compare", "text", "--json")
    assert code == 0, err
    assert [row["cost"] for row in json.loads(out)["models"]] == ([1, 2, 3] if known else [None] * 3)


def test_answers_that_state_no_number_are_counted(capsys, tmp_path):
    file = flat(tmp_path / "f.jsonl", answer=lambda i: str(i) if i else "I do not know")
    code, _, err = run(capsys, "fit", file, "--compare", "number")
    assert code == 0
    assert "3 of 36 answers state no number and count as missing, for example 'I do not know'." in err


def test_models_that_err_together_are_a_family(capsys, tmp_path):
    def answer(i, m):
        return str(i) if (i * 7 + ord(m)) % 10 >= 3 else f"wrong {i} {m}"

    lines = []
    for i in range(150):
        outputs = {m: answer(i, m) for m in "abc"}
        shared = str(i) if i % 2 else f"wrong {i}"
        lines.append(json.dumps({"id": f"p{i}", "prompt": f"{i}?", "outputs": {**outputs, "d": shared, "e": shared}}))
    file = tmp_path / "w.jsonl"
    file.write_text("\n".join(lines))
    code, out, err = run(capsys, "fit", file, "--compare", "text")
    assert code == 0, err
    assert "Family: d, e agree more than independent errors allow." in out


def test_a_router_without_neighbors_says_that_prompts_do_not_matter(capsys, tmp_path, monkeypatch):
    router = tmp_path / "r.nilo"
    assert run(capsys, "fit", wide(tmp_path / "w.jsonl"), "--compare", "text", "--out", router)[0] == 0
    code, out, err = run(capsys, "explain", "--router", router, "one", "two")
    assert code == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a", "a"]
    assert "one model for all prompts; fit it with --neighbors" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert "There is no prompt" in run(capsys, "explain", "--router", router)[2]


def test_prompts_are_embedded_by_the_model_that_the_router_was_fitted_with(capsys, tmp_path):
    def reply(body, n):
        data = [{"index": i, "embedding": [float(len(text)), 1.0]} for i, text in enumerate(body["input"])]
        return 200, {"data": data}, {}

    router, cache = tmp_path / "r.nilo", tmp_path / "cache.sqlite"
    with FakeServer(reply) as server:
        named = ("--embedder", f"openai:{server.url}", "--embedder-model", "e", "--cache", cache)
        code, _, err = run(
            capsys, "fit", wide(tmp_path / "w.jsonl"), "--compare", "text", "--neighbors", 3, "--out", router, *named
        )
        assert code == 0, err
        code, out, _ = run(capsys, "explain", "--router", router, "What is number 3?")
        assert (code, out.split("\t")[0]) == (0, "a")
        assert server.bodies[-1] == {"model": "e", "input": ["What is number 3?"], "encoding_format": "float"}
        code, _, err = run(capsys, "explain", "--router", router, "--embedder-model", "f", "What is number 3?")
    assert code == 2
    assert "the router was fitted with the embedder model 'e', got 'f'" in err


def test_a_budget_below_every_policy_is_said(capsys, tmp_path):
    file = wide(tmp_path / "w.jsonl", costs={"a": 3.0, "b": 1.0, "c": 1.0, "d": 0.5})
    code, _, err = run(capsys, "eval", file, "--compare", "text", "--budget", 0.1)
    assert code == 0
    assert "0.1" in err.splitlines()[-1]
