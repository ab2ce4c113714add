import math
import re
from collections import Counter

import numpy as np
import pytest

from nilometer.errors import ConfigError
from nilometer.models import TASKS, Problem, verify
from nilometer.traces import corpus_names, corpus_path, read_traces, slice_names

SLICES = {"specialist": 72, "specialist_samples": 72, "smollm2": 12, "gemma3": 12}
SOLVE = {
    r"What is (\d+) \+ (\d+)\?": lambda a, b: a + b,
    r"What is (\d+) - (\d+)\?": lambda a, b: a - b,
    r"What is (\d+) \* (\d+)\?": lambda a, b: a * b,
    r"greatest common divisor of (\d+) and (\d+)": math.gcd,
}


@pytest.fixture(scope="module", params=sorted(SLICES))
def recording(request):
    return request.param, read_traces(corpus_path(request.param)).read_all()


def test_the_corpus_is_small_and_whole():
    assert set(corpus_names()) == set(SLICES)
    assert sum(corpus_path(name).stat().st_size for name in corpus_names()) <= 8e6


def test_every_slice_holds_100_responses_with_20_alternatives(recording):
    name, table = recording
    counts = Counter(slice_names(table, ["domain", "level"]).to_pylist())
    assert len(counts) == SLICES[name]
    assert set(counts.values()) == {100}
    assert set(table["k"].to_pylist()) == {20}
    assert len(set(table["trace_id"].to_pylist())) == len(table)
    assert len(set(table["prompt_id"].to_pylist())) == len(table) / (4 if "samples" in name else 1)


def test_labels_are_the_verifiers(recording):
    for row in recording[1].select(["attributes", "prompt", "answer", "correct", "trace_id"]).to_pylist():
        known = dict(row["attributes"])
        problem = Problem(
            known["domain"], known["level"], row["prompt"], known["gold"], "", TASKS[known["domain"]].kind
        )
        assert row["correct"] == verify(problem, row["answer"]), row["trace_id"]


def test_gold_answers_solve_the_prompts(recording):
    n_solved = 0
    for row in recording[1].select(["attributes", "prompt"]).to_pylist():
        for pattern, solve in SOLVE.items():
            if found := re.search(pattern, row["prompt"]):
                assert dict(row["attributes"])["gold"] == str(solve(*map(int, found.groups())))
                n_solved += 1
    assert n_solved >= len(recording[1]) / 4


def test_cards_state_the_accuracies_of_their_files(recording):
    name, table = recording
    text = corpus_path(name).with_suffix(".md").read_text(encoding="utf-8")
    domains, levels = (np.asarray(slice_names(table, [key]).to_pylist()) for key in ("domain", "level"))
    correct = table["correct"].to_numpy()
    for domain in np.unique(domains):
        own = domains == domain
        cells = [f"{correct[own & (levels == level)].mean():.2f}" for level in np.unique(levels)]
        assert f"| {domain} | {' | '.join(cells)} |" in text


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="got 'nothing'"):
        corpus_path("nothing")
