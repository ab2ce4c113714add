"""What the gateway does where nothing is left to answer with, and who may look."""

import asyncio

import numpy as np
import pytest

from nilometer.decisions import AnswerTable, fit_router, save_router
from nilometer.errors import ConfigError
from nilometer.models import FunctionEmbedder
from nilometer.service import make_token, open_database
from nilometer.service.gateway.answers import answer_text, answer_tokens
from nilometer.service.gateway.routing import LiveRouter
from nilometer.service.gateway.upstream import Whole, _said
from nilometer.signals import ngram_embeddings

DOWN = {"status": 503}


def _table(*, prompts=None, costs=None, n=60):
    rng = np.random.default_rng(0)
    right = (rng.random((n, 3)) < [0.5, 0.9, 0.4]).astype(float)
    embeddings = rng.normal(size=(n, 3, 2))
    return AnswerTable(models=("a", "b", "c"), embeddings=embeddings, scores=right, prompts=prompts, costs=costs)


@pytest.fixture
def live(tmp_path):
    """``live(router, **more)``: a router in use, from its file."""

    def make(router, *, models="abc", embedder=None):
        save_router(tmp_path / "r.nilo", router)
        return LiveRouter(tmp_path / "r.nilo", list(models), lambda name, own: embedder)

    return make


def test_router_that_knows_no_model_of_the_gateway_is_refused(live):
    with pytest.raises(ConfigError, match="the router knows a, b, c, none of which can be asked"):
        live(fit_router(_table()), models="xy")


def test_router_whose_file_goes_keeps_its_choice_and_says_so(live, tmp_path):
    router = live(fit_router(_table()))
    (tmp_path / "r.nilo").unlink()
    router.look()
    assert router.problem.endswith("r.nilo: No such file or directory")
    assert asyncio.run(router.choose("hm")).models[0] == "b"


def test_prompt_that_cannot_be_embedded_goes_by_the_average(live):
    def broken(texts):
        raise ConfigError("the server does not answer")

    prompts = ngram_embeddings([f"question {i}" for i in range(60)])
    router = live(fit_router(_table(prompts=prompts), n_neighbors=5), embedder=FunctionEmbedder("far", broken))
    choice = asyncio.run(router.choose("hm"))
    assert choice.models[0] == "b"
    assert choice.reason.startswith("the prompt could not be embedded; ")


def test_embedders_that_take_their_time_run_beside_the_requests(live):
    prompts = ngram_embeddings([f"question {i}" for i in range(60)])
    embedder = FunctionEmbedder("far", ngram_embeddings)
    router = live(fit_router(_table(prompts=prompts), n_neighbors=5), embedder=embedder)
    assert not asyncio.run(router.choose("question 3")).reason.startswith("the prompt could not")


def test_model_that_answered_in_place_of_the_chosen_one_is_what_the_budget_pays(live):
    router = live(fit_router(_table(costs=np.array([1.0, 2.0, 3.0]))).for_budget(2.0))
    before = router._pace.spent
    router.spent("a", "a")
    assert router._pace.spent == before
    router.spent("a", "c")
    assert router._pace.spent == before + 2.0


@pytest.mark.parametrize("model", ["nilometer/vote", "nilometer/decide:mse", "nilometer/cascade"])
def test_policies_without_any_answer_name_what_failed(model, gateway, fakes, chat):
    fakes.replies = {"a": DOWN, "b": DOWN, "c": DOWN}
    policies = {
        "vote": {"models": ["a", "b", "c"]},
        "decide": {"model": "a", "samples": 2, "labels": "1-5"},
        "cascade": {"first": ["a", "b"], "last": "c"},
    }
    with gateway("abc", **policies) as client:
        seen = chat(client, model)
    assert seen.status_code == 502
    assert "a: status 503" in seen.json()["error"]["message"]


def test_vote_without_a_readable_answer_gives_the_first(gateway, fakes, chat):
    fakes.replies = {"a": None, "b": "I do not know", "c": DOWN}
    with gateway("abc", vote={"models": ["a", "b", "c"]}, compare="number") as client:
        seen = chat(client, "nilometer/vote")
    assert seen.headers["x-nilometer-model"] == "a"
    assert seen.headers["x-nilometer-reason"] == "no answer could be read; the first is given"


def test_vote_by_vectors_of_empty_answers_gives_the_first(gateway, fakes, chat):
    fakes.replies = {"a": "", "b": ""}
    with gateway("ab", vote={"models": ["a", "b"]}, compare="embedding") as client:
        seen = chat(client, "nilometer/vote")
    assert (seen.status_code, seen.headers["x-nilometer-model"]) == (200, "a")


def test_metric_that_the_answers_do_not_fit_is_refused(gateway, fakes, chat):
    fakes.replies = {"a": "Paris"}
    with gateway("a", decide={"model": "a", "samples": 2, "parse": "text"}) as client:
        seen = chat(client, "nilometer/decide:mse")
    assert seen.status_code in {400, 422}
    assert "mse" in seen.json()["error"]["message"] or "number" in seen.json()["error"]["message"]


def test_sets_are_decided_as_lists_of_their_items(gateway, fakes, chat):
    fakes.replies = {"a": '["tea", "milk"]'}
    with gateway("a", decide={"model": "a", "samples": 2}) as client:
        seen = chat(client, "nilometer/decide:jaccard")
    assert seen.status_code == 200, seen.text
    assert seen.json()["choices"][0]["message"]["content"] == "milk, tea"


def test_rights_are_asked_for_at_every_door(gateway, fakes, chat, tmp_path):
    tokens = open_database(tmp_path / "tokens.db")
    read = {"authorization": f"Bearer {make_token(tokens, role='read', name='ann')}"}
    with gateway("a", tokens=tokens) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.get("/api/gateway").status_code == 401
        assert client.get("/api/gateway", headers=read).status_code == 200
        assert client.get("/v1/models", headers=read).status_code == 401


def test_body_that_is_too_large_is_refused_before_it_is_read_whole(gateway, fakes, monkeypatch):
    monkeypatch.setattr("nilometer.service.gateway.app._MOST_BODY", 100)
    with gateway("a") as client:
        seen = client.post("/v1/chat/completions", content=b"x" * 101)
    assert seen.status_code == 413
    assert seen.json()["error"]["message"] == "a body must be at most 100 bytes."


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"choices": [{"message": {"content": "hm"}, "finish_reason": "stop"}]}', ("hm", "stop")),
        (b'{"choices": []}', (None, None)),
        (b"half a bod", (None, None)),
        (b"\xff", (None, None)),
    ],
)
def test_text_of_an_answer_is_that_of_its_first_choice(body, text):
    assert answer_text(Whole("a", [], body, 200)) == text
    assert answer_tokens(body) is None


@pytest.mark.parametrize(("body", "said"), [(b'{"error": {"message": "no\\n room"}}', "no room"), (b"\xff<", "")])
def test_message_of_an_error_is_one_line(body, said):
    assert _said(body) == said
