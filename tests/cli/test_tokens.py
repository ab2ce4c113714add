import json
import re
from pathlib import Path

import numpy as np
import pytest

from nilometer.cli import main
from nilometer.pages import AnswerView, TokenView, render_tokens
from nilometer.signals import attention_statistics
from nilometer.traces import Trace, corpus_path, trace_batch, write_traces


def _run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


@pytest.fixture
def file(tmp_path):
    """Sixty answers with attention, half of them wrong at an unsure second token."""
    rng = np.random.default_rng(0)
    traces = []
    for i in range(60):
        p = np.float32([[0.9, 0.1], [0.9, 0.1] if i % 2 else [0.5, 0.4], [0.8, 0.2]])
        tokens = ["a", "b" if i % 2 else "<x>", "c"]
        statistics = attention_statistics(rng.normal(size=(3, 2, 2, 5)))
        traces.append(
            Trace(
                trace_id=f"t{i}",
                k=2,
                n_tokens=3,
                chosen_logprobs=np.log(p[:, 0]),
                top_logprobs=np.log(p),
                tokens=tokens,
                prompt="</script>spell",
                answer="".join(tokens),
                attributes={"worked": "abc", "domain": f"d{i % 3}"},
                attention=np.stack(statistics, -1).astype(np.float32),
                attention_prompt=2,
                correct=float(i % 2),
                top_tokens=["a", "z", "b", "y", "c", "x"],
            )
        )
    path = tmp_path / "traces.parquet"
    write_traces(path, [trace_batch(traces)])
    return str(path)


def test_learned_confidence_is_low_where_answers_went_wrong(file, tmp_path, capsys):
    model = str(tmp_path / "c.json")
    assert _run("tokens", file, "--learn", model, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_tokens"] == 150
    assert _run("tokens", file, "--confidence", model, "--n", "2", "--json") == 0
    wrong, right = json.loads(capsys.readouterr().out)
    assert wrong["tokens"][1]["confidence"] < 0.5 < right["tokens"][1]["confidence"]
    assert [name for name, _ in right["tokens"][1]["alternatives"]] == ["b", "y"]


def test_page_holds_every_token_escaped_and_reachable(file, tmp_path):
    page = tmp_path / "page.html"
    assert _run("tokens", file, "--id", "t0", "--out", str(page)) == 0
    html = page.read_text(encoding="utf-8")
    assert html.count('role="listbox"') == 1
    assert html.count('role="option"') == 3
    assert html.count('tabindex="0"') == 1
    assert "<x>" not in re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert "&lt;/script&gt;spell" in html
    assert "not calibrated" in html
    data = json.loads(re.search(r'id="numbers">(.*?)</script>', html, re.S).group(1))
    assert data[0]["map"]["shape"] == [3, 2, 2]
    assert data[0]["lowest"] == 1


def test_a_token_that_is_a_line_break_can_be_seen():
    token = TokenView("\n", 0.9, 0.9, 0.1, 0.1, ())
    answer = AnswerView("a", None, (token, token._replace(text="x")), None, None)
    page = render_tokens([answer], calibrated=True)
    assert re.findall(r'class="t s\d+(?: low)?( line)?"', page) == [" line", ""]


def test_terminal_shows_the_least_sure_tokens(file, capsys):
    assert _run("tokens", file, "--id", "t0") == 0
    said = capsys.readouterr()
    assert "least sure: '<x>' 0.50" in said.out
    assert "not calibrated" in said.err


def test_traces_without_attention_are_shown_too(tmp_path, capsys):
    assert _run("tokens", str(corpus_path("smollm2")), "--n", "1", "--json", "--out", str(tmp_path / "p.html")) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["tokens"][0]["alternatives"][0][0] is None


def test_mistakes_are_named(file, tmp_path, capsys):
    model = str(tmp_path / "c.json")
    _run("tokens", file, "--learn", model)
    assert _run("tokens", str(corpus_path("smollm2")), "--confidence", model) == 2
    assert "Record the traces with --attention" in capsys.readouterr().err
    assert _run("tokens", file, "--id", "nobody") == 2
    assert "has that id" in capsys.readouterr().err
    assert _run("tokens", file, "--learn", model, "--wanted", "gold") == 2
    assert "no response has the attribute 'gold'" in capsys.readouterr().err
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    assert _run("tokens", str(empty)) == 2


CASES = Path(__file__).parents[1] / "traces" / "wire" / "cases"


def test_chosen_tokens_alone_are_shaded_by_their_probability(tmp_path, capsys):
    file, page = str(CASES / "35_chosen_only.jsonl"), tmp_path / "page.html"
    assert _run("tokens", file, "--n", "1", "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    first = answer["tokens"][0]
    assert (first["entropy"], first["alternatives"]) == (None, [])
    assert first["confidence"] == first["probability"] == pytest.approx(np.exp(-0.912447), abs=1e-6)
    assert _run("tokens", file, "--n", "1") == 0
    assert "nats" not in capsys.readouterr().out
    assert _run("tokens", file, "--out", str(page)) == 0
    assert "entropy" not in re.sub(r"<script.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.S)


def test_a_learned_confidence_needs_alternatives(file, tmp_path, capsys):
    model = str(tmp_path / "c.json")
    assert _run("tokens", file, "--learn", model) == 0
    assert _run("tokens", str(CASES / "35_chosen_only.jsonl"), "--confidence", model) == 2
    assert "the confidence needs alternatives. Ask for `top_logprobs=20`" in " ".join(capsys.readouterr().err.split())


def test_alternatives_of_a_server_are_named(capsys):
    assert _run("tokens", str(CASES / "15_gemini.jsonl"), "--n", "1", "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert [name for name, _ in answer["tokens"][0]["alternatives"]][:2] == ["The", "The1"]


def test_reading_stops_after_the_answers_asked_for(tmp_path, monkeypatch, capsys):
    file = tmp_path / "t.jsonl"
    row = {"k": 1, "answer": "4", "tokens": ["4"], "chosen_logprobs": [-0.1], "top_logprobs": [[-0.1]]}
    file.write_text("".join(json.dumps({"trace_id": str(i), **row}) + "\n" for i in range(5000)))
    seen = []
    monkeypatch.setattr("nilometer.pages.AnswerView", lambda *values: seen.append(values) or AnswerView(*values))
    assert not _run("tokens", str(file), "--n", "2", "--json")
    assert [row["trace_id"] for row in json.loads(capsys.readouterr().out)] == ["0", "1"]
    assert len(seen) == 2
