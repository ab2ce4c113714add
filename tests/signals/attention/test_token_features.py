import numpy as np
import pytest

from nilometer.signals import (
    TOKEN_ATTENTION_NAMES,
    TOKEN_OUTPUT_NAMES,
    attention_statistics,
    token_features,
    token_truth,
)


def test_features_of_a_token_by_hand():
    top = np.log(np.float32([[0.6, 0.3], [0.5, 0.4], [0.9, 0.1]]))
    chosen = np.log(np.float32([0.6, 0.4, 0.9]))
    found = dict(zip(TOKEN_OUTPUT_NAMES, token_features(chosen, top).T, strict=True))
    q = np.array([2 / 3, 1 / 3])
    assert found["entropy"][0] == pytest.approx(-(q * np.log(q)).sum(), abs=1e-6)
    assert found["nll"] == pytest.approx(-chosen)
    assert found["margin"] == pytest.approx([0.3, 0.1, 0.8], abs=1e-6)
    assert found["not_best"].tolist() == [0, 1, 0]
    assert found["next_entropy"][:2] == pytest.approx(found["entropy"][1:])
    assert found["worst_nll"] == pytest.approx(-np.log([0.6, 0.4, 0.4]), abs=1e-6)


def test_attention_adds_its_curves():
    chosen = np.log(np.float32([0.6, 0.4]))
    statistics = attention_statistics(np.random.default_rng(0).normal(size=(2, 3, 4, 5)))
    found = token_features(chosen, chosen[:, None], attention=statistics)
    assert found.shape == (2, len(TOKEN_OUTPUT_NAMES) + len(TOKEN_ATTENTION_NAMES))
    with pytest.raises(ValueError, match="`attention` must cover 1 tokens, got 2"):
        token_features(chosen[:1], chosen[:1, None], attention=statistics)


@pytest.mark.parametrize(
    ("tokens", "wanted", "truth"),
    [
        (["12", "+", "3"], "12+3", [1, 1, 1]),
        ([" 12", "+", "4", " x"], "12+3", [1, 1, 0, None]),
        (["1", "3", "5"], "13", [1, 1, 0]),
        (["13", "\n", "9"], "13", [1, None, None]),
        (["13.", "\n"], "13", [1, None]),
        (["135"], "13", [0]),
        (["no"], "yes", [0]),
        ([], "yes", []),
    ],
)
def test_truth_ends_at_the_first_deviation(tokens, wanted, truth):
    found = [None if np.isnan(value) else value for value in token_truth(tokens, wanted)]
    assert found == truth
