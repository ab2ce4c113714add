"""What holds for every estimator of the library: same seed, unchanged inputs, clone, order, refusal of too little."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from nilometer.errors import NotEnoughDataError
from nilometer.estimators import Sentinel

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


@pytest.mark.parametrize("sentinel", SENTINELS, ids=NAMES)
def test_fitting_twice_gives_the_same_estimates_and_changes_no_input(sentinel):
    X, y, groups = _data()
    before = (X.to_pydict(), y.copy(), groups.copy())
    first, second = (clone(sentinel).fit(X, y, groups=groups).estimate(X, by=groups) for _ in range(2))
    assert first == second
    assert X.to_pydict() == before[0]
    np.testing.assert_array_equal(y, before[1])
    np.testing.assert_array_equal(groups, before[2])


@pytest.mark.parametrize("sentinel", SENTINELS, ids=NAMES)
def test_the_order_of_the_responses_does_not_matter(sentinel):
    X, y, groups = _data()
    order = np.random.default_rng(1).permutation(N)
    one = clone(sentinel).fit(X, y, groups=groups)
    two = clone(sentinel).fit(X.take(pa.array(order)), y[order], groups=groups[order])
    fresh = _data(5)[0]
    a, b = one.estimate(fresh, by=groups), two.estimate(fresh, by=groups)
    tolerance = (
        1e-6 if "classifier" not in sentinel.feature and sentinel.method != "pcc" else 0.05
    )  # folds are shuffled
    for x, z in zip(a, b, strict=True):
        assert x.accuracy == pytest.approx(z.accuracy, abs=tolerance)


@pytest.mark.parametrize("sentinel", SENTINELS, ids=NAMES)
def test_estimates_are_ordered_shares_and_survive_json(sentinel):
    import json

    X, y, groups = _data()
    estimates = clone(sentinel).fit(X, y, groups=groups).estimate(_data(3)[0], by=groups)
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
