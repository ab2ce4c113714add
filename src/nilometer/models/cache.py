"""The key-value cache of transformers, whose name changed."""

import inspect
from typing import Any

__all__ = ["cache_name"]


def cache_name(model: Any) -> str:
    """Name of the cache in a model's arguments and output: ``cache`` from transformers 5.24 on."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
