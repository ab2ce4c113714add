"""What holds for every estimator of the library: same seed, unchanged inputs, clone, order, refusal of too little."""

import inspect
from dataclasses import fields, is_dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from nilometer import decisions, estimators, models
from nilometer.decisions import AnswerTable
from nilometer.errors import NilometerError, NotEnoughDataError
from nilometer.estimators import (
    Agreement,
    Calibrator,
    Posterior,
    Profiles,
    Sentinel,
    Smoothie,
    TokenConfidence,
    pair_matrix,
)
from nilometer.signals import DistanceSums
from nilometer.traces import corpus_path, index_slices, read_traces

N, SLICES = 240, 6


def _data(seed=0):
    rng = np.random.default_rng(seed)
    hard = np.repeat(np.linspace(0.2, 1.5, SLICES), N // SLICES)
    entropy = rng.gamma(2.0, hard)
    features = {"max": entropy, "se_sum": 3 * entropy + rng.gamma(1.0, 0.1, N), "nll_sum": 2 * entropy}
    features |= {"log_length": rng.normal(3, 0.2, N), "mean": entropy / 3, "q10": entropy / 5}
    return pa.table(features), (rng.random(N) < np.exp(-entropy)).astype(float), hard.astype(str)


SENTINELS = [
    Sentinel(bootstraps=4),
    Sentinel(method="atc", feature="se_sum", bootstraps=4),
    Sentinel(method="atc_classifier", classifier="logistic", features=3, bootstraps=4),
    Sentinel(method="pcc", classifier="logistic", features=3, bootstraps=4),
    Sentinel(method="constant"),
]
NAMES = [f"{s.method}-{s.feature}-{s.classifier}" for s in SENTINELS]


@cache
def _fitted_once(place):
    X, y, groups = _data()
    return clone(SENTINELS[place]).fit(X, y, groups=groups)


@pytest.mark.parametrize("place", range(len(SENTINELS)), ids=NAMES)
def test_fitting_twice_gives_the_same_estimates_and_changes_no_input(place):
    X, y, groups = _data()
    before = (X.to_pydict(), y.copy(), groups.copy())
    again = clone(SENTINELS[place]).fit(X, y, groups=groups)
    first, second = (one.estimate(X, by=groups) for one in (_fitted_once(place), again))
    assert first == second
    assert X.to_pydict() == before[0]
    np.testing.assert_array_equal(y, before[1])
    np.testing.assert_array_equal(groups, before[2])


@pytest.mark.parametrize("place", range(len(SENTINELS)), ids=NAMES)
def test_the_order_of_the_responses_does_not_matter(place):
    sentinel = SENTINELS[place]
    X, y, groups = _data()
    order = np.random.default_rng(1).permutation(N)
    one = _fitted_once(place)
    two = clone(sentinel).fit(X.take(pa.array(order)), y[order], groups=groups[order])
    fresh = _data(5)[0]
    a, b = one.estimate(fresh, by=groups), two.estimate(fresh, by=groups)
    tolerance = (
        1e-6 if "classifier" not in sentinel.feature and sentinel.method != "pcc" else 0.05
    )  # folds are shuffled
    for x, z in zip(a, b, strict=True):
        assert x.accuracy == pytest.approx(z.accuracy, abs=tolerance)


@pytest.mark.parametrize("place", range(len(SENTINELS)), ids=NAMES)
def test_estimates_are_ordered_shares_and_survive_json(place):
    import json

    estimates = _fitted_once(place).estimate(_data(3)[0], by=_data()[2])
    for row in json.loads(json.dumps(estimates.to_dicts())):
        assert 0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1


@pytest.mark.parametrize("sentinel", SENTINELS, ids=NAMES)
def test_an_unfitted_or_empty_one_says_so(sentinel):
    X, y, groups = _data()
    with pytest.raises(NotFittedError):
        clone(sentinel).estimate(X)
    with pytest.raises(NotEnoughDataError):
        clone(sentinel).fit(X.slice(0, 0), y[:0], groups=groups[:0])


@pytest.mark.parametrize("sentinel", SENTINELS, ids=NAMES)
def test_parameters_can_be_read_set_and_cloned(sentinel):
    changed = clone(sentinel).set_params(confidence_level=0.5)
    assert changed.get_params() == {**sentinel.get_params(), "confidence_level": 0.5}


def _posteriors():
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, 40)
    return [Posterior.from_samples(np.clip(t + rng.integers(-1, 2, 6), 1, 5)) for t in truth], truth


def _outputs():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 1, 3)) + rng.normal(size=(40, 4, 3)) * np.linspace(0.5, 1.5, 4)[:, None]


def _tokens():
    rng = np.random.default_rng(0)
    X = rng.exponential(1.0, (300, 2))
    return X, (rng.random(300) < np.exp(-X[:, 0])).astype(float)


ESTIMATORS = {
    "Sentinel": (Sentinel(bootstraps=2), lambda: _data()[:2], lambda X, y: (X.slice(0, 0), y[:0])),
    "Calibrator": (Calibrator("affine"), _posteriors, lambda X, y: (X[:0], y[:0])),
    "Smoothie": (Smoothie(1), lambda: (_outputs(), None), lambda X, y: (X[:0], y)),
    "TokenConfidence": (TokenConfidence(names=("nll", "worst_nll")), _tokens, lambda X, y: (X[:0], y[:0])),
}


def _fitted(estimator):
    """What fitting left: every attribute that ends in an underscore."""
    return {name: _content(value) for name, value in sorted(vars(estimator).items()) if name.endswith("_")}


def _content(value):
    """All that a value holds, in plain values that can be compared."""
    if isinstance(value, np.ndarray):
        return repr(value.tolist())
    if isinstance(value, pa.Table | pa.RecordBatch):
        return repr(value.to_pydict())
    if isinstance(value, dict):
        return {repr(name): _content(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_content(item) for item in value]
    if is_dataclass(value):
        return {field.name: _content(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Profiles):
        return {name: _content(value.column(name)) for name in value.names}
    is_own = type(value).__module__.startswith(("nilometer.", "sklearn."))
    return _content(vars(value)) if is_own and hasattr(value, "__dict__") else repr(value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_keeps_the_contract_of_scikit_learn(name):
    estimator, data, none = ESTIMATORS[name]
    parameters = estimator.get_params()
    assert set(parameters) == {one for one in inspect.signature(type(estimator).__init__).parameters if one != "self"}
    assert all(getattr(estimator, one) is value for one, value in parameters.items())
    assert not _fitted(estimator)
    X, y = data()
    before = _content((X, y))
    one, other = clone(estimator), clone(estimator)
    assert one.fit(X, y) is one
    assert one.get_params() == parameters
    assert _content((X, y)) == before
    other.fit(*data())
    assert _fitted(one) == _fitted(other)
    assert not _fitted(clone(one))
    with pytest.raises((NilometerError, ValueError)) as caught:
        clone(estimator).fit(*none(X, y))
    assert str(caught.value).endswith(".") or "need" in str(caught.value)


def test_every_estimator_of_the_facade_is_under_contract():
    from sklearn.base import BaseEstimator

    found = {n for n in estimators.__all__ if inspect.isclass(getattr(estimators, n))}
    found = {n for n in found if issubclass(getattr(estimators, n), BaseEstimator)}
    assert found <= set(ESTIMATORS)


def _shares():
    return np.array([0.5, 0.7, 0.2, 0.4]), np.array([0.6, 0.6, 0.2, 0.5])


def _sums():
    rng = np.random.default_rng(0)
    right = rng.random((60, 3)) < (0.9, 0.6, 0.4)
    return DistanceSums(rng.normal(3.0, 0.5, (60, 3)) - right, np.ones((60, 3), dtype=bool)), right.astype(float)


def _agreement():
    sums, _ = _sums()
    state = Agreement(pair_matrix(3))
    return estimators.update_agreement(state, sums.sums, sums.present)


def _table():
    right = _sums()[1]
    vectors = np.random.default_rng(1).normal(size=(60, 3, 4)) * (2 - right[..., None])
    return AnswerTable(models=("a", "b", "c"), embeddings=vectors, scores=right)


def _traces():
    return (next(iter(read_traces(corpus_path("smollm2")))).slice(0, 100),)


def _responses():
    X, y, groups = _data()
    return (estimators.as_responses(X, groups, correct=y),)


def _none(*given):
    """None of the rows."""
    return tuple(one[:0] for one in given)


FITS = {  # what is given, and the same without any row, None where that has a meaning of its own
    "fit_residuals": (lambda: (*_shares(), np.full(4, 50.0)), _none),
    "fit_threshold": (
        lambda: (_shares()[0], np.array([1.0, 1.0, 0.0, 0.0])),
        _none,
    ),
    "fit_level_slope": (lambda: (*_shares(), np.array([0, 0, 1, 1])), None),
    "fit_known_slices": (
        lambda: (_shares()[0], np.array([1.0, 1.0, 0.0, 0.0]), index_slices(np.array(list("aabb")))),
        None,
    ),
    "fit_sentinel": (
        lambda: (estimators.as_responses(*_data()[::2], correct=_data()[1]),),
        lambda given: (given.rows(np.array([], dtype=int)),),
    ),
    "fit_errors": (lambda: (_agreement(),), lambda state: (Agreement(pair_matrix(3)),)),
    "fit_answer_scorer": (_sums, lambda sums, y: (DistanceSums(sums.sums[:0], sums.present[:0]), y[:0])),
    "fit_router": (lambda: (_table(),), lambda table: (table.rows(np.zeros(60, dtype=bool)),)),
    "fit_thresholds": (lambda: (_traces(),), lambda batches: ((),)),
}
UPDATES = {
    "update_monitor": lambda: (estimators.start_monitor(0.5), np.array([1.0, 0.0, np.nan, 1.0]), _shares()[0]),
    "update_agreement": lambda: (_agreement(), *_sums()[0]),
}
STAGES = (estimators, decisions, models)


def _named(name):
    return next(getattr(stage, name) for stage in STAGES if hasattr(stage, name))


def test_every_public_function_that_fits_or_updates_is_under_contract():
    found = {name for stage in STAGES for name in stage.__all__ if name.startswith(("fit_", "update_"))}
    assert found == {*FITS, *UPDATES}


@pytest.mark.parametrize("name", [*FITS, *UPDATES])
def test_functions_that_fit_or_update_repeat_themselves_and_leave_their_inputs(name):
    function, make = _named(name), FITS[name][0] if name in FITS else UPDATES[name]
    given, before = make(), _content(make())
    chance = [
        {"rng": np.random.default_rng(0)} if "rng" in inspect.signature(function).parameters else {} for _ in "ab"
    ]
    assert _content(function(*given, **chance[0])) == _content(function(*make(), **chance[1]))
    assert _content(given) == before


@pytest.mark.parametrize("name", [name for name, (_, none) in FITS.items() if none is not None])
def test_functions_that_fit_say_that_nothing_is_too_little(name):
    make, none = FITS[name]
    with pytest.raises((NilometerError, ValueError), match=r"[a-z]"):
        _named(name)(*none(*make()))


def test_the_order_of_what_is_summed_does_not_matter():
    sums, y = _sums()
    order = np.random.default_rng(3).permutation(60)
    start = Agreement(pair_matrix(3))
    one = estimators.update_agreement(start, *sums)
    two = estimators.update_agreement(start, sums.sums[order], sums.present[order])
    for a, b in zip(estimators.fit_errors(one), estimators.fit_errors(two), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    again = DistanceSums(sums.sums[order], sums.present[order])
    scores = estimators.fit_answer_scorer(sums, y).p_correct(sums)
    np.testing.assert_allclose(estimators.fit_answer_scorer(again, y[order]).p_correct(sums), scores, atol=1e-3)
