import os
import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("nilometer", deadline=None, derandomize=True)
settings.load_profile("nilometer")

if find_spec("jaxtyping") and find_spec("beartype"):  # development only: the package runs without them
    from checked import install

    install("nilometer.signals", "nilometer.estimators", "nilometer.decisions")


def pytest_configure(config):
    """Spare the processes that the tests start what they would each do again, and the workers each other."""
    if sys.dont_write_bytecode and hasattr(config, "cache"):  # compiling what a verb imports takes seconds
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(config.cache.mkdir("bytecode"))
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _strict_arithmetic():
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        yield


@pytest.fixture(scope="module")
def browser():
    """Chromium, closed at the end of each file: two that are open at once in a process get in each other's way."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium here: pages are not driven in a browser")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()
