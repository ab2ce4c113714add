"""The router as a custom routing strategy of LiteLLM."""

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nilometer.errors import ConfigError
from nilometer.models import make_embedder
from nilometer.traces import last_user_text

from ..capture.recorder import OpenRequests
from .routing import LiveRouter

__all__ = ["LiteLLMStrategy", "route_litellm"]


class LiteLLMStrategy:
    """Picks, among the deployments of a group, the one that the router chooses for the prompt.

    The methods and their arguments are those of LiteLLM's ``CustomRoutingStrategyBase``.

    Parameters
    ----------
    litellm_router
        Whose deployments are picked.
    path
        Made by ``nilometer route fit``; loaded again when it changes.
    """

    def __init__(self, litellm_router: Any, path: Path) -> None:
        self._deployments = litellm_router.get_model_list
        known = {_name(one) for one in self._deployments() or ()}
        self.router = LiveRouter(path, known, lambda name, own: make_embedder(name, model=own))
        self._n_picks: OpenRequests[int] = OpenRequests()

    async def async_get_available_deployment(
        self,
        model: str,
        messages: list[dict[str, Any]] | None = None,
        input: Any = None,
        *,
        specific_deployment: bool | None = False,
        request_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Pick a deployment; a retry of the same request gets the next best."""
        self.router.look()
        return await self._pick(model, messages, request_kwargs or {})

    def get_available_deployment(
        self,
        model: str,
        messages: list[dict[str, Any]] | None = None,
        input: Any = None,
        *,
        specific_deployment: bool | None = False,
        request_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Pick as the asynchronous method does, by the router that is loaded."""
        with ThreadPoolExecutor(1) as pool:  # the caller may run in a loop of its own
            return pool.submit(asyncio.run, self._pick(model, messages, request_kwargs or {})).result()

    async def _pick(self, model: str, messages: Any, given: dict[str, Any]) -> dict[str, Any]:
        """Return a deployment of the group, in the order of the router; those that it does not know come last."""
        group = self._deployments(model_name=model) or []
        if not group:
            raise ConfigError(f"`model` must name a group of deployments, got {model!r}.")
        choice = await self.router.choose(last_user_text(messages or []) or "")
        rank = {name: place for place, name in enumerate(choice.models)}
        ordered = sorted(group, key=lambda one: rank.get(_name(one), len(rank)))
        picked: dict[str, Any] = ordered[self._n_before(given) % len(ordered)]
        return picked

    def _n_before(self, given: dict[str, Any]) -> int:
        """How often a deployment was picked for the same request before."""
        trace = given.get("litellm_trace_id")
        if not isinstance(trace, str):
            return 0
        before = self._n_picks.take(trace) or 0
        self._n_picks.put(trace, before + 1)
        return before


def route_litellm(litellm_router: Any, path: str | Path) -> LiteLLMStrategy:
    """Let a router of ``nilometer route fit`` pick the deployment of every request to a ``litellm.Router``.

    Give the deployments one ``model_name``, the group that clients name. A deployment is the router's model of the same
    name: its ``model_info.id`` if that is one, else its ``litellm_params.model`` without the provider.

    Parameters
    ----------
    litellm_router
        A ``litellm.Router`` with its deployments.
    path
        Made by ``nilometer route fit``; loaded again when it changes.

    Returns
    -------
    LiteLLMStrategy
        What was registered.

    Raises
    ------
    ConfigError
        If the router knows none of the deployments.
    """
    strategy = LiteLLMStrategy(litellm_router, Path(path))
    if hasattr(litellm_router, "register_plugin"):
        litellm_router.register_plugin(strategy)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            litellm_router.set_custom_routing_strategy(strategy)
    return strategy


def _name(deployment: dict[str, Any]) -> str:
    """Name by which the router knows a deployment."""
    own = (deployment.get("model_info") or {}).get("id")
    model = str(deployment["litellm_params"]["model"])
    plain = model.partition("/")[2] or model
    return str(own) if own and not _is_made(str(own)) else plain


def _is_made(identity: str) -> bool:
    """Whether an id is one of the hashes that LiteLLM gives to deployments without one."""
    return len(identity) == 64 and all(char in "0123456789abcdef" for char in identity)
