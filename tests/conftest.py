from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("nilometer", deadline=None, derandomize=True)
settings.load_profile("nilometer")

if find_spec("jaxtyping") and find_spec("beartype"):  # development only: the package runs without them
    from checked import install

    decided = ("plans", "report", "routes", "watch")  # rules for answers take numbers where they say arrays
    install("nilometer.signals", "nilometer.estimators", *(f"nilometer.decisions.{name}" for name in decided))


@pytest.fixture(autouse=True)
def _strict_arithmetic():
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        yield
