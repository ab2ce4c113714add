"""Limits of saved files."""

import numpy as np
import pyarrow as pa
import pytest

from nilometer.errors import NilometerError
from nilometer.estimators import Sentinel, load_sentinel, save_sentinel
from nilometer.models import read_canary
from nilometer.traces import saved


@pytest.fixture
def sentinel(tmp_path):
    data = pa.table({"max": np.random.default_rng(0).gamma(2.0, 0.5, 60)})
    fitted = Sentinel(bootstraps=0).fit(data, np.arange(60) % 3 > 0, groups=np.arange(60) % 6)
    save_sentinel(tmp_path / "s.nilo", fitted)
    return tmp_path / "s.nilo"


def test_head_of_a_table_has_its_limit(sentinel, monkeypatch):
    monkeypatch.setattr(saved, "_MOST_HEAD", 10)
    with pytest.raises(NilometerError, match=r"s\.nilo: the head must be <= 0 MB, got 0"):
        load_sentinel(sentinel)


def test_file_of_json_has_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "_MOST_JSON", 10)
    (tmp_path / "c.json").write_text('{"format_version": 2}')
    with pytest.raises(NilometerError, match=r"c\.json: a canary must be <= 0 MB"):
        read_canary(tmp_path / "c.json")
