import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("nilometer", deadline=None, derandomize=True)
settings.load_profile("nilometer")


@pytest.fixture(autouse=True)
def _strict_arithmetic():
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        yield
