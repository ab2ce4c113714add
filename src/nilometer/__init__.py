"""How accurate is your LLM on every slice of its traffic.

The names here answer the five questions: how accurate is the model, what to label, which answer to give, which model
to ask, and where an answer is uncertain. Everything else is in ``nilometer.traces``, ``nilometer.signals``,
``nilometer.estimators``, ``nilometer.decisions``, ``nilometer.pages`` and ``nilometer.models``.
"""

from typing import Any

from .facades import attach

_attached, __dir__, __all__ = attach(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("nilometer")
    return _attached(name)
