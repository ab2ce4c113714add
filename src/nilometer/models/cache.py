"""What the calls of a transformers model need to know of it: the name of its cache, how many positions it has."""

import inspect
from typing import Any

from nilometer.errors import ConfigError

__all__ = ["cache_name", "check_positions", "position_limit"]


def cache_name(model: Any) -> str:
    """Name of the cache in a model's arguments and output: ``cache`` from transformers 5.24 on."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def position_limit(model: Any) -> int | None:
    """Positions that a model was made for; None if it names none or stretches them by itself (dynamic RoPE)."""
    config = model.config.get_text_config()
    scaling = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if "dynamic" in str(scaling):
        return None
    limit: int | None = getattr(config, "max_position_embeddings", None)
    return limit


def check_positions(model: Any, n_prompt: int, max_tokens: int) -> None:
    """Refuse what a model has no positions for: it would answer, and wrongly.

    Raises
    ------
    ConfigError
        If the longest prompt and what may follow exceed the limit.
    """
    limit = position_limit(model)
    if limit is not None and n_prompt + max_tokens > limit:
        raise ConfigError(
            f"the model has {limit:,} positions, the longest prompt has {n_prompt:,} tokens and {max_tokens:,} may "
            "follow. Shorten it, or lower `max_tokens`."
        )
