"""The canary on a schedule."""

import threading

import numpy as np
import pytest

from nilometer.errors import MissingLogprobsError
from nilometer.models import Canary
from nilometer.service import CanaryWatch, Store, open_alerts

HOUR = 3600.0


def _canary(shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    logprobs = {
        prompt: (-np.sort(rng.normal(3 + shift, 0.1, (10, 4)) ** 2)).tolist() for prompt in ("one", "two", "three")
    }
    return Canary("m", 4, "raw", ["2026-01-01T00:00:00Z"], logprobs)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path)
    yield store
    store.close()


def test_changed_model_opens_one_alert_and_the_old_one_closes_it(store):
    given = {"shift": 0.5}
    watch = CanaryWatch(store, _canary(), lambda: _canary(given["shift"], seed=1), every_hours=6)
    for hour in (0, 6):
        watch.step(now=hour * HOUR)
        watch.wait()
    (alert,) = open_alerts(store.reader())
    assert (alert.kind, alert.model) == ("model_changed", "m")
    assert alert.p_value <= 0.1 * 6 / 720
    assert "m: the first tokens of fixed prompts changed by" in alert.text
    given["shift"] = 0.0
    watch.step(now=12 * HOUR)
    watch.wait()
    assert open_alerts(store.reader()) == []


def test_same_model_is_silent(store):
    watch = CanaryWatch(store, _canary(), lambda: _canary(seed=2))
    watch.step(now=0)
    watch.wait()
    assert open_alerts(store.reader()) == []
    assert store.problems == {}


def test_model_is_asked_once_in_so_many_hours_also_after_a_restart(store):
    asked = []

    def ask():
        asked.append(1)
        return _canary(seed=3)

    for hour in (1, 2, 23, 25.5):
        watch = CanaryWatch(store, _canary(), ask)
        watch.step(now=hour * HOUR)
        watch.wait()
    assert len(asked) == 2


@pytest.mark.parametrize("error", [MissingLogprobsError("no log-probabilities"), RuntimeError("closed")])
def test_model_that_cannot_be_asked_is_a_problem_that_passes(error, store):
    answers = [error, _canary(seed=4)]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = CanaryWatch(store, _canary(), ask)
    watch.step(now=0)
    watch.wait()
    assert "the model cannot be asked" in store.problems["canary"]
    watch.step(now=25 * HOUR)
    watch.wait()
    assert store.problems == {}


def test_step_does_not_wait_for_the_answers(store):
    answered = threading.Event()
    watch = CanaryWatch(store, _canary(), lambda: answered.wait(20) and _canary(seed=5))
    watch.step(now=0)
    watch.step(now=50 * HOUR)  # the round in progress is not begun again
    answered.set()
    watch.wait()
    assert store.problems == {}
