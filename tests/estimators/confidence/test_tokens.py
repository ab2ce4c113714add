import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from nilometer.errors import IncompatibleModelError, NotEnoughDataError
from nilometer.estimators import TokenConfidence, load_token_confidence, save_token_confidence


def _data(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    X = np.stack([rng.exponential(1.0, n), rng.normal(size=n)], axis=1)
    p = 1 / (1 + np.exp(2 * X[:, 0] - 2 - X[:, 1]))
    return X, (rng.random(n) < p).astype(float), p


def test_probabilities_equal_scikit_learns_on_standardised_features():
    X, y, _ = _data()
    ours = TokenConfidence(names=("a", "b")).fit(X, y).predict_proba(X)[:, 1]
    scaled = StandardScaler().fit_transform(X)
    assert ours == pytest.approx(LogisticRegression(max_iter=2000).fit(scaled, y).predict_proba(scaled)[:, 1], abs=1e-6)


def test_probabilities_are_calibrated_on_new_tokens():
    X, y, _ = _data()
    fresh, right, p = _data(seed=1)
    found = TokenConfidence(names=("a", "b")).fit(X, y).predict_proba(fresh)[:, 1]
    assert np.abs(found - p).mean() < 0.03
    for low in (0.0, 0.25, 0.5, 0.75):
        own = (found >= low) & (found < low + 0.25)
        assert abs(right[own].mean() - found[own].mean()) < 4 * 0.5 / np.sqrt(own.sum())


def test_domains_count_equally():
    X, y, _ = _data()
    domains = np.arange(len(y)) < 2900
    twice = np.repeat(np.arange(len(y)), np.where(domains, 1, 29))
    weighted = TokenConfidence(names=("a", "b"), strength=1e6).fit(X, y, domains)
    repeated = TokenConfidence(names=("a", "b"), strength=1e6).fit(X[twice], y[twice])
    assert weighted.predict_proba([[1.0, 1.0]]) == pytest.approx(repeated.predict_proba([[1.0, 1.0]]), abs=1e-3)


def test_missing_features_take_their_mean_and_unknown_truth_is_left_out():
    X, y, _ = _data()
    fitted = TokenConfidence(names=("a", "b")).fit(X, y)
    whole = fitted.predict_proba([[1.0, fitted.mean_[1]]])
    assert fitted.predict_proba([[1.0, np.nan]]) == pytest.approx(whole)
    more = TokenConfidence(names=("a", "b")).fit(np.vstack([X, X[:9]]), np.append(y, [np.nan] * 9))
    assert more.predict_proba(X) == pytest.approx(fitted.predict_proba(X))


def test_file_gives_the_same_probabilities_and_refuses_others(tmp_path):
    X, y, _ = _data()
    fitted = TokenConfidence(names=("nll", "b")).fit(X, y)
    save_token_confidence(tmp_path / "c.json", fitted)
    assert load_token_confidence(tmp_path / "c.json").predict_proba(X).tolist() == fitted.predict_proba(X).tolist()
    for text, reason in (
        ("{}", "not a token confidence"),
        ("x", "not a token"),
        ('{"token_confidence": 9}', "version must be <= 2, got 9"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(IncompatibleModelError, match=reason):
            load_token_confidence(tmp_path / "bad.json")


def test_too_few_tokens_or_wrong_shapes_are_named():
    X, y, _ = _data()
    with pytest.raises(NotEnoughDataError, match="50 tokens with a known truth"):
        TokenConfidence().fit(X[:50], y[:50])
    with pytest.raises(NotEnoughDataError, match="0 of them wrong"):
        TokenConfidence().fit(X, np.ones(len(y)))
    with pytest.raises(ValueError, match=r"must have shape \(tokens, 3\), got \(3000, 2\)"):
        TokenConfidence(names=("a", "b", "c")).fit(X, y)
    with pytest.raises(ValueError, match=r"must have shape \(tokens, 2\), got \(1, 1\)"):
        TokenConfidence().fit(X, y).predict_proba([[1.0]])
