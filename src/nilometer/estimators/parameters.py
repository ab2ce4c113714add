"""The parameters of an estimator as scikit-learn handles them, without loading scikit-learn."""

import inspect
from typing import Any, Self

__all__ = ["Parameters"]


class Parameters:
    """Estimator whose constructor stores its parameters; ``clone`` and ``set_params`` of scikit-learn work on it.

    scikit-learn's own base loads pandas where that is installed, two seconds that a process which only routes can do
    without.
    """

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - scikit-learn's signature
        """Return the parameters by name."""
        return {name: getattr(self, name) for name in sorted(self._names())}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        for name, value in parameters.items():
            if name not in self._names():
                raise ValueError(f"`{name}` must be one of {', '.join(self._names())}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Parameters that differ from their defaults."""
        known = inspect.signature(type(self)).parameters
        changed = [f"{name}={value!r}" for name, value in self.get_params().items() if value != known[name].default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """Say to scikit-learn what this is."""
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()
