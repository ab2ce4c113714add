"""What each name of the gateway does with a request."""

import json
import time

import numpy as np
import pytest

from nilometer.decisions import AnswerTable, fit_router, save_router
from nilometer.errors import ConfigError
from nilometer.service import read_gateway_config
from nilometer.signals import ngram_embeddings

DOWN = {"status": 503}


def text(response):
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"]


def table(best, *, n=60, costs=(1.0, 2.0, 3.0)):
    """Labelled answers in which the model with the number ``best`` is right most often."""
    rng = np.random.default_rng(0)
    p = np.where(np.arange(3) == best, 0.9, 0.5)
    right = (rng.random((n, 3)) < p).astype(float)
    return AnswerTable(
        models=("a", "b", "c"), embeddings=rng.normal(size=(n, 3, 2)), scores=right, costs=np.array(costs)
    )


def by_topic(n=160):
    """Model a is right on questions of rivers, model c on those of sums."""
    rng = np.random.default_rng(1)
    texts = [f"how long is river number {i}" if i % 2 else f"what is {i} + {i}" for i in range(n)]
    truth = rng.normal(size=(n, 1, 2))
    noise = np.array([[0.1, 2.0, 2.0] if i % 2 else [2.0, 2.0, 0.1] for i in range(n)])
    answers = truth + noise[:, :, None] * rng.normal(size=(n, 3, 2))
    return AnswerTable(models=("a", "b", "c"), embeddings=answers, prompts=ngram_embeddings(texts))


@pytest.fixture
def router(tmp_path):
    path = tmp_path / "router.nilo"
    save_router(path, fit_router(table(1)))
    return path


def test_route_asks_the_model_of_the_router_and_says_why(router, gateway, fakes, chat):
    fakes.replies = {"a": "from a", "b": "from b", "c": "from c"}
    with gateway("abc", router=str(router)) as client:
        seen = chat(client, "nilometer/route")
    assert text(seen) == "from b"
    assert seen.headers["x-nilometer-reason"].startswith("b has expected accuracy")
    assert fakes.bodies["b"][0] == {"model": "b", "messages": [{"role": "user", "content": "7 + 5?"}]}


def test_route_goes_to_the_next_best_model_when_the_chosen_one_fails(router, gateway, fakes, chat):
    fakes.replies = {"a": "from a", "b": DOWN, "c": "from c"}
    with gateway("abc", router=str(router)) as client:
        first = chat(client, "nilometer/route")
        second = chat(client, "nilometer/route")
    assert text(first) in {"from a", "from c"}
    assert first.headers["x-nilometer-tried"] == "b: status 503"
    assert "x-nilometer-tried" not in second.headers  # b rests, so the router leaves it out


def test_model_of_the_router_that_is_not_served_is_not_chosen(router, gateway, fakes, chat):
    fakes.replies = {"a": "from a", "c": "from c"}
    with gateway("ac", router=str(router)) as client:
        assert text(chat(client, "nilometer/route")) in {"from a", "from c"}


def test_prompts_go_to_the_model_of_their_neighbours(tmp_path, gateway, fakes, chat):
    path = tmp_path / "router.nilo"
    save_router(path, fit_router(by_topic(), n_neighbors=9))
    fakes.replies = {"a": "from a", "b": "from b", "c": "from c"}
    with gateway("abc", router=str(path)) as client:
        river = chat(client, "nilometer/route", prompt="how long is river number 500")
        total = chat(client, "nilometer/route", prompt="what is 500 + 500")
    assert (text(river), text(total)) == ("from a", "from c")


def test_budget_of_the_router_is_kept_over_requests(tmp_path, gateway, fakes, chat):
    path = tmp_path / "router.nilo"
    save_router(path, fit_router(table(2)).for_budget(2.0))
    fakes.replies = {"a": "from a", "b": "from b", "c": "from c"}
    with gateway("abc", router=str(path)) as client:
        seen = [text(chat(client, "nilometer/route")) for _ in range(12)]
    spent = sum({"from a": 1, "from b": 2, "from c": 3}[one] for one in seen)
    assert spent <= 2.0 * len(seen)


def _until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_router_file_is_loaded_again_when_it_changes(router, gateway, fakes, chat):
    fakes.replies = {"a": "from a", "b": "from b", "c": "from c"}
    with gateway("abc", router=str(router)) as client:
        assert text(chat(client, "nilometer/route")) == "from b"
        aside = router.with_suffix(".new")
        save_router(aside, fit_router(table(0)))
        aside.replace(router)
        _until(lambda: text(chat(client, "nilometer/route")) == "from a")
        assert client.get("/api/gateway").json()["router"] == {"loaded": 2, "problem": None}


def test_router_file_that_is_broken_leaves_the_router_before_it(router, gateway, fakes, chat):
    fakes.replies = {"a": "from a", "b": "from b", "c": "from c"}
    with gateway("abc", router=str(router)) as client:
        router.write_bytes(b"half a file")
        chat(client, "nilometer/route")
        _until(lambda: client.get("/api/gateway").json()["router"]["problem"])
        assert text(chat(client, "nilometer/route")) == "from b"
        assert client.get("/healthz").status_code == 503


def test_router_file_that_is_gone_for_a_moment_is_no_lasting_problem(router, gateway, fakes, chat):
    fakes.replies = {"a": "from a", "b": "from b", "c": "from c"}
    aside = router.with_suffix(".aside")
    with gateway("abc", router=str(router)) as client:
        router.rename(aside)
        assert text(chat(client, "nilometer/route")) == "from b"
        assert "No such file" in client.get("/api/gateway").json()["router"]["problem"]
        aside.rename(router)
        assert text(chat(client, "nilometer/route")) == "from b"
        assert client.get("/api/gateway").json()["router"]["problem"] is None


CASCADE = {"cascade": {"first": ["a", "b"], "last": "c"}, "compare": "number"}


def test_cascade_stops_where_the_cheap_models_agree(gateway, fakes, chat):
    fakes.replies = {"a": "The answer is 12.", "b": "That makes 12", "c": "99"}
    with gateway("abc", **CASCADE) as client:
        seen = chat(client, "nilometer/cascade")
    assert text(seen) == "The answer is 12."
    assert fakes.calls == {"a": 1, "b": 1}
    assert seen.headers["x-nilometer-reason"].startswith("a, b agree")


@pytest.mark.parametrize("stream", [False, True])
def test_cascade_asks_the_last_model_where_they_do_not(stream, gateway, fakes, chat):
    fakes.replies = {"a": "The answer is 12.", "b": "That makes 13", "c": "12!"}
    with gateway("abc", **CASCADE) as client:
        seen = chat(client, "nilometer/cascade", stream=stream)
    assert seen.headers["x-nilometer-model"] == "c"
    assert seen.headers["x-nilometer-calls"] == "3"
    assert [bool(fakes.bodies[name][0].get("stream")) for name in "abc"] == [False, False, stream]


@pytest.mark.parametrize(
    ("replies", "given", "calls"),
    [
        ({"a": "12", "b": DOWN, "c": "13"}, "13", 3),  # one answer is no agreement
        ({"a": "12", "b": "13", "c": DOWN}, "12", 3),  # nothing better than a disputed answer
        ({"a": DOWN, "b": None, "c": "13"}, "13", 3),
        ({"a": DOWN, "b": "13", "c": DOWN}, "13", 3),
    ],
)
def test_cascade_survives_models_that_fail(replies, given, calls, gateway, fakes, chat):
    fakes.replies = replies
    with gateway("abc", **CASCADE) as client:
        seen = chat(client, "nilometer/cascade")
    assert (text(seen), seen.headers["x-nilometer-calls"]) == (given, str(calls))


VOTE = {"vote": {"models": ["a", "b", "c"]}, "compare": "number"}


def test_vote_gives_the_answer_that_most_models_state(gateway, fakes, chat):
    fakes.replies = {"a": "The answer is 13.", "b": "12", "c": "7 + 5 = 12"}
    with gateway("abc", **VOTE) as client:
        assert text(chat(client, "nilometer/vote")) == "12"
        fakes.replies = {"a": "The answer is 13.", "b": DOWN, "c": None}
        assert text(chat(client, "nilometer/vote")) == "The answer is 13."


def test_vote_counts_models_by_their_labelled_accuracy(tmp_path, gateway, fakes, chat):
    rng = np.random.default_rng(0)
    right = (rng.random((400, 3)) < [0.97, 0.6, 0.6]).astype(float)
    path = tmp_path / "router.nilo"
    made = AnswerTable(models=("a", "b", "c"), embeddings=rng.normal(size=(400, 3, 2)), scores=right)
    save_router(path, fit_router(made))
    fakes.replies = {"a": "13", "b": "12", "c": "12"}
    with gateway("abc", router=str(path), **VOTE) as client:
        assert text(chat(client, "nilometer/vote")) == "13"


def test_vote_of_texts_gives_the_one_nearest_to_the_others(gateway, fakes, chat):
    fakes.replies = {"a": "the Nile rose in June", "b": "the Nile rose in July", "c": "no idea at all"}
    with gateway("abc", vote={"models": ["a", "b", "c"]}) as client:
        assert text(chat(client, "nilometer/vote")).startswith("the Nile rose")


def test_whole_answers_are_streamed_to_those_who_ask_for_a_stream(gateway, fakes, chat):
    fakes.replies = {"a": "12", "b": "12", "c": "13"}
    with gateway("abc", **VOTE) as client:
        seen = chat(client, "nilometer/vote", stream=True, stream_options={"include_usage": True})
    events = [json.loads(event[6:]) for event in seen.text.split("\n\n")[:-2]]
    assert seen.text.endswith("data: [DONE]\n\n")
    assert "".join(one["delta"].get("content", "") for event in events for one in event["choices"]) == "12"
    assert events[-1]["usage"]["total_tokens"] == 15
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert "stream" not in fakes.bodies["a"][0]


DECIDE = {"decide": {"model": "a", "samples": 5, "labels": "1-5"}}


def scores(*values):
    return lambda body, n: f"Score: {values[(n - 1) % len(values)]}"


@pytest.mark.parametrize(("metric", "value"), [("mae", "2"), ("mse", "2.4"), ("accuracy", "1"), ("rounded_mean", "2")])
def test_decision_is_the_best_answer_for_its_metric(metric, value, gateway, fakes, chat):
    fakes.replies = {"a": scores(1, 1, 2, 3, 5)}
    with gateway("a", **DECIDE) as client:
        seen = chat(client, f"nilometer/decide:{metric}", seed=7)
    assert text(seen) == value
    assert seen.json()["nilometer"]["n_samples"] == 5
    assert seen.json()["usage"]["completion_tokens"] == 25
    assert sorted(body["seed"] for body in fakes.bodies["a"]) == [7, 8, 9, 10, 11]
    assert {body["temperature"] for body in fakes.bodies["a"]} == {1.0}


def test_decision_by_class_gives_the_words_of_a_draw(gateway, fakes, chat):
    fakes.replies = {"a": lambda body, n: ["The answer is Oslo.", "I say: Answer: oslo", "Answer: Bergen"][n % 3]}
    with gateway("a", decide={"model": "a", "samples": 3}) as client:
        assert text(chat(client, "nilometer/decide:accuracy")) in {"The answer is Oslo.", "I say: Answer: oslo"}


def test_decision_counts_failed_draws_and_fails_when_all_do(gateway, fakes, chat):
    fakes.replies = {"a": lambda body, n: DOWN if n % 2 else "Score: 4"}
    with gateway("a", **DECIDE) as client:
        seen = chat(client, "nilometer/decide:mae")
        assert (text(seen), seen.json()["nilometer"]["n_samples"]) == ("4", 2)
        fakes.replies = {"a": "no score"}
        lost = chat(client, "nilometer/decide:mae")
        fakes.replies = {"a": {"status": 400}}
        refused = chat(client, "nilometer/decide:mae")
        batch = chat(client, "nilometer/decide:qwk")
        wrong = chat(client, "nilometer/decide:maee")
    assert (lost.status_code, lost.json()["error"]["type"]) == (422, "undecided")
    assert "none of the 5 samples can be read" in lost.json()["error"]["message"]
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "a says no")
    assert batch.status_code == 400
    assert "Did you mean mae?" in wrong.json()["error"]["message"]


GOOD = '[[models]]\nname = "a"\nurl = "http://127.0.0.1:1/v1"\n'


def test_configuration_is_read_from_toml_with_paths_beside_it(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(f'folder = "data"\nrouter = "r.nilo"\n{GOOD}')
    config = read_gateway_config(path)
    assert (config.folder, config.router) == (str(tmp_path / "data"), str(tmp_path / "r.nilo"))
    assert config.models[0].served_name == "a"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "missing required field `models`"),
        ("models = []", "length >= 1"),
        (f"x = 1\n{GOOD}", "unknown field `x`"),
        (GOOD.replace("http:", "ftp:"), "`url` of a must start with http://"),
        (GOOD.replace('"a"', '"nilometer/a"'), "do not start with nilometer/"),
        (GOOD + GOOD, "models must have different names"),
        (GOOD + 'key_env = "NO_SUCH_KEY"', "the environment variable NO_SUCH_KEY of a is empty"),
        (GOOD + 'fallback = ["z"]', "`fallback` names 'z', which is no model of this file (a)"),
        (GOOD + "price = [1.0]", "length 2"),
        (f'compare = "smell"\n{GOOD}', "`compare` must be one of embedding, choice"),
        (GOOD + '[decide]\nmodel = "a"\nparse = "label"', "needs the scale"),
        (GOOD + '[cascade]\nfirst = ["a", "a"]\nlast = "a"', "`cascade.last` must not be among `first`"),
        ("a = = 1", "gateway.toml: "),
    ],
)
def test_wrong_configuration_is_refused_by_name(written, said, tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(written)
    with pytest.raises(ConfigError) as refused:
        read_gateway_config(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
