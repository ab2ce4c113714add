"""Second opinions from the command line: from files, from further draws, stated, and asked of a live server."""

import json
import random

import pytest
from servers import FakeServer, completion

from nilometer.cli import main

DOMAINS, EACH = tuple("abcdef"), 24


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments)])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def traces(path, *, labelled=DOMAINS, stated=False, prompts=True):
    """Answers to sums, right more often in some domains than in others."""
    rng, rows = random.Random(0), []
    for d, domain in enumerate(DOMAINS):
        for i in range(EACH):
            right = rng.random() < 0.2 + 0.12 * d
            answer = f"{i + 100 if right else i + 200}"
            row = {
                "trace_id": f"{domain}{i}",
                "prompt_id": f"p-{domain}{i}",
                "model": "own",
                "answer": f"{answer}. Confidence: {80 if right else 60}%" if stated else answer,
                "attributes": {"domain": domain},
                "chosen_logprobs": [-rng.gammavariate(2, 0.4 if right else 0.6)],
            }
            row |= {"prompt": f"{domain}: What is {i} + 100?"} if prompts else {}
            row |= {"correct": right} if domain in labelled else {}
            rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_finished_profiles_hold_nothing_to_ask(capsys, tmp_path):
    profiles = tmp_path / "p.parquet"
    assert run(capsys, "profile", traces(tmp_path / "t.jsonl"), "--out", profiles)[0] == 0
    code, _, err = run(
        capsys, "second", profiles, "--model", "openai:http://127.0.0.1:9", "--out", tmp_path / "o.jsonl"
    )
    assert (code, "finished profiles hold no prompts" in err) == (2, True)


def knows(body, n):
    """A model that is right."""
    number = int(body["messages"][-1]["content"].split("is ")[1].split(" +")[0])
    return 200, completion(f"The answer is {number + 100}."), {}


def asked(capsys, server, file, tmp_path, *more):
    base = ("second", file, "--model", f"openai:{server.url}", "--model-name", "big", "--by", "domain")
    return run(capsys, *base, "--out", tmp_path / "big.jsonl", "--journal", tmp_path / "j", *more)


def test_answers_of_a_live_server_are_asked_kept_and_used(capsys, tmp_path):
    file = traces(tmp_path / "t.jsonl", labelled="abcde")
    with FakeServer(knows) as server:
        code, out, err = asked(capsys, server, file, tmp_path, "--per-slice", "20", "--price", "1,2", "--json")
    assert code == 0, err
    assert server.n_calls == 20 * len(DOMAINS)
    assert "120 prompts in 6 slices, about" in err
    assert ": about 0.00" in err
    assert "120 answers of big" in err
    found = json.loads(out)
    assert found["error"] < found["error_without"]
    assert found["worth_labels"] > 0
    report = ("report", file, "--by", "domain", "--second", tmp_path / "big.jsonl", "--json")
    code, out, err = run(capsys, *report)
    assert code == 0, err
    assert "big answered 120 of 144 responses" in err
    row = next(one for one in json.loads(out)["estimates"] if one["slice"] == "f")
    assert row["method"] == "second opinions"
    assert row["note"].startswith("second opinions on 20 of 24 responses")


def test_a_run_that_died_is_not_paid_twice(capsys, tmp_path):
    file = traces(tmp_path / "t.jsonl")

    def dies(body, n):
        return (500, b"down", {}) if n > 12 else knows(body, n)

    more = ("--per-slice", "4", "--concurrency", "1", "--max-wait", "0")
    with FakeServer(dies) as server:
        server_url = server.url
        code, _, err = asked(capsys, server, file, tmp_path, *more, "--timeout", "0.5")
        first = server.n_calls
        assert code == 2
        assert "12 answers are kept" in err
        assert not (tmp_path / "big.jsonl").exists()
        server.reply = knows
        code, _, err = asked(capsys, server, file, tmp_path, *more)
    assert code == 0, err
    assert server.url == server_url
    assert server.n_calls - first == 4 * len(DOMAINS) - 12


def test_a_dry_run_asks_nobody(capsys, tmp_path):
    with FakeServer(knows) as server:
        code, _, err = asked(capsys, server, traces(tmp_path / "t.jsonl"), tmp_path, "--dry-run")
    assert code == 0
    assert server.n_calls == 0
    assert "144 prompts in 6 slices" in err
    assert not (tmp_path / "big.jsonl").exists()


def test_labelled_responses_are_asked_about_first(capsys, tmp_path):
    file = traces(tmp_path / "t.jsonl", labelled=())
    (tmp_path / "l.csv").write_text("trace_id,correct\n" + "".join(f"a{i},{i % 2}\n" for i in range(6)))
    with FakeServer(knows) as server:
        code, _, err = asked(capsys, server, file, tmp_path, "--per-slice", "6", "--labels", tmp_path / "l.csv")
    assert code == 0, err
    own = {body["messages"][-1]["content"] for body in server.bodies if body["messages"][-1]["content"][0] == "a"}
    assert own == {f"a: What is {i} + 100?" for i in range(6)}
    assert "What they are worth is not known without labels" in err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--model", "hf:x"), "`--model` must be openai:URL, got 'hf:x'."),
        (("--agree", "colour"), "`--agree` must be one of answer, exact, choice"),
        (("--price", "much"), "`--price` must be two numbers"),
    ],
    ids=["model", "agree", "price"],
)
def test_wrong_options_are_refused_before_anything_is_asked(capsys, tmp_path, more, said):
    with FakeServer(knows) as server:
        code, _, err = asked(capsys, server, traces(tmp_path / "t.jsonl"), tmp_path, *more)
    assert code == 2
    assert said in err
    assert server.n_calls == 0


def test_a_file_that_is_there_is_not_overwritten(capsys, tmp_path):
    (tmp_path / "big.jsonl").write_text("mine")
    with FakeServer(knows) as server:
        code, _, err = asked(capsys, server, traces(tmp_path / "t.jsonl"), tmp_path)
    assert code == 2
    assert "the file is there already" in err
    assert (tmp_path / "big.jsonl").read_text() == "mine"


def test_traces_without_prompts_cannot_be_asked_about(capsys, tmp_path):
    with FakeServer(knows) as server:
        code, _, err = asked(capsys, server, traces(tmp_path / "t.jsonl", prompts=False), tmp_path)
    assert code == 2
    assert "the traces hold no prompts" in err


def test_answers_of_other_prompts_are_refused(capsys, tmp_path):
    (tmp_path / "o.jsonl").write_text(json.dumps({"prompt_id": "elsewhere", "model": "big", "answer": "4"}) + "\n")
    code, _, err = run(capsys, "report", traces(tmp_path / "t.jsonl"), "--second", tmp_path / "o.jsonl")
    assert code == 2
    assert "none of the 1 second answers belongs to a response: responses have ids like p-a0, p-a1" in err


def test_stated_confidence_and_its_absence(capsys, tmp_path):
    file = traces(tmp_path / "t.jsonl", stated=True)
    code, _, err = run(capsys, "fit", file, "--by", "domain", "--second", "stated", "--out", tmp_path / "s.nilo")
    assert code == 0, err
    assert "144 of 144 answers state a confidence, 0.69" in err
    code, _, err = run(capsys, "estimate", file, "--by", "domain", "--sentinel", tmp_path / "s.nilo")
    assert code == 2
    assert "`X` must have the features stated_confidence" in err
    code, _, err = run(capsys, "report", traces(tmp_path / "u.jsonl"), "--second", "stated")
    assert code == 2
    assert "no answer states a confidence" in err


def test_further_draws_need_further_draws(capsys, tmp_path):
    code, _, err = run(capsys, "report", traces(tmp_path / "t.jsonl"), "--second", "draws")
    assert code == 2
    assert "no prompt has two answers of one model" in err


def test_profiles_keep_second_opinions_but_cannot_be_given_new_ones(capsys, tmp_path):
    file, other = traces(tmp_path / "t.jsonl"), tmp_path / "o.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    said = [{"prompt_id": row["prompt_id"], "model": "small", "answer": row["answer"]} for row in rows]
    other.write_text("".join(json.dumps(row) + "\n" for row in said))
    code, _, err = run(capsys, "profile", file, "--second", other, "--out", tmp_path / "p.parquet")
    assert code == 0, err
    assert "small answered 144 of 144 responses, 100% of them the same" in err
    code, _, err = run(capsys, "report", tmp_path / "p.parquet", "--by", "domain")
    assert "like the same model under another name" in err
    code, _, err = run(capsys, "report", tmp_path / "p.parquet", "--second", other)
    assert code == 2
    assert "files of profiles hold no answers" in err


def test_long_texts_agree_by_their_embeddings(capsys, tmp_path):
    file, other = traces(tmp_path / "t.jsonl"), tmp_path / "o.jsonl"
    other.write_text(json.dumps({"prompt_id": "p-a0", "model": "small", "answer": "quite another text"}) + "\n")
    code, _, err = run(capsys, "report", file, "--by", "domain", "--second", other, "--agree", "ngrams")
    assert code == 0, err
    assert "small answered 1 of 144 responses" in err


def test_responses_without_a_prompt_are_counted_and_not_asked_about(capsys, tmp_path):
    file = traces(tmp_path / "t.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows[:5]:
        del row["prompt"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FakeServer(knows) as server:
        code, _, err = asked(capsys, server, file, tmp_path, "--dry-run")
    assert code == 0
    assert "5 responses have no prompt and are not asked about." in err


def test_a_model_that_refuses_every_prompt_is_named(capsys, tmp_path):
    with FakeServer(lambda body, n: (400, b"content_filter: prompt was filtered", {})) as server:
        file = traces(tmp_path / "t.jsonl")
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:EACH]))
        code, _, err = asked(capsys, server, file, tmp_path, "--per-slice", "1")
    assert code == 2
    assert "big refused every prompt, for example: " in err
    assert "content_filter" in err
    assert not (tmp_path / "big.jsonl").exists()
