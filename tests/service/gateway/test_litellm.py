"""The router in LiteLLM: real calls of a `litellm.Router`, where it is installed; `.ci/run` installs it."""

import asyncio

import numpy as np
import pytest

from nilometer.decisions import AnswerTable, fit_router, save_router
from nilometer.errors import ConfigError
from nilometer.models import make_embedder
from nilometer.service import route_litellm

PROMPTS = [f"add {i} and {i + 1}" for i in range(20)] + [f"spell the word river{i} backward" for i in range(20)]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def litellm(monkeypatch):
    """LiteLLM with the list of prices that it ships."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return pytest.importorskip("litellm")


@pytest.fixture
def router_file(tmp_path):
    """Model a is best at sums, c at words; b is never best."""
    rng = np.random.default_rng(0)
    spread = np.array([[0.1, 0.5, 2.0]] * 20 + [[2.0, 0.5, 0.1]] * 20)
    answers = rng.normal(size=(40, 1, 4)) + rng.normal(size=(40, 3, 4)) * spread[:, :, None]
    vectors = np.asarray(make_embedder("ngrams").embed(PROMPTS))
    router = fit_router(AnswerTable(models=("a", "b", "c"), embeddings=answers, prompts=vectors), n_neighbors=8)
    save_router(tmp_path / "router.nilo", router)
    return tmp_path / "router.nilo"


def deployments(url, names, group="smart"):
    return [
        {
            "model_name": group,
            "litellm_params": {"model": f"openai/{name}", "api_base": f"{url}/{name}/v1", "api_key": "x"},
            **({"model_info": {"id": "a"}} if name == "first" else {}),
        }
        for name in names
    ]


def ask(router, prompt):
    answer = router.completion(model="smart", messages=[{"role": "user", "content": prompt}])
    return answer.choices[0].message.content


def ask_async(router, prompt):
    answer = asyncio.run(router.acompletion(model="smart", messages=[{"role": "user", "content": prompt}]))
    return answer.choices[0].message.content


@pytest.mark.parametrize("asked", [ask, ask_async])
def test_every_prompt_goes_to_the_deployment_that_the_router_chooses(asked, litellm, router_file, fakes, running):
    fakes.replies = {"first": "from a", "b": "from b", "c": "from c"}
    with running(fakes) as url:
        router = litellm.Router(model_list=deployments(url, ("b", "c", "first")))
        route_litellm(router, router_file)
        assert asked(router, "add 3 and 4") == "from a"
        assert asked(router, "spell the word river3 backward") == "from c"


def test_retry_goes_to_the_next_best(litellm, router_file, fakes, running):
    fakes.replies = {"a": {"status": 500}, "b": "from b", "c": "from c"}
    with running(fakes) as url:
        router = litellm.Router(model_list=deployments(url, ("a", "b", "c")), num_retries=1, retry_after=0)
        route_litellm(router, router_file)
        assert ask_async(router, "add 3 and 4") == "from b"


def test_router_without_a_known_deployment_is_refused(litellm, router_file):
    with pytest.raises(ConfigError, match="none of which can be asked"):
        route_litellm(litellm.Router(model_list=deployments("http://127.0.0.1:9", ("x", "y"))), router_file)
