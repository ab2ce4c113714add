import pytest

from nilometer.errors import ConfigError
from nilometer.traces import corpus_names, corpus_path


def test_every_name_has_a_file():
    assert all(corpus_path(name).is_file() for name in corpus_names())


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="got 'nothing'"):
        corpus_path("nothing")
