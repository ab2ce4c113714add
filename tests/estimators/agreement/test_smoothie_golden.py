"""Equality to the outputs of the published implementation on its own CNN/DailyMail generations.

The golden files lie beside the checkout and are not part of it; the tests skip where they are absent.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from nilometer.estimators import Smoothie, precision_weights

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "smoothie"

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="no golden files beside the checkout")


@pytest.fixture(scope="module")
def outputs():
    return np.load(GOLDEN / "cnn_gen_emb_minilm.npy", allow_pickle=False)


@pytest.fixture(scope="module")
def prompts():
    return np.load(GOLDEN / "cnn_proxy_input_emb_minilm.npy", allow_pickle=False)


@pytest.fixture(scope="module")
def reference():
    return json.loads((GOLDEN / "cnn_reference_minilm.json").read_text())


def edge_cases():
    cases = json.loads((GOLDEN / "edge_cases.json").read_text()) if GOLDEN.is_dir() else []
    return [pytest.param(case, id=case["name"]) for case in cases if case.get("input") is not None]


@pytest.mark.parametrize("paper", [False, True])
def test_global_errors_weights_and_choice(outputs, reference, paper):
    fitted = Smoothie(paper=paper).fit(outputs, models=reference["models"])
    atol = 1e-15 if paper else 1e-6
    np.testing.assert_allclose(fitted.errors_, reference["global_diff"], rtol=0, atol=atol)
    np.testing.assert_allclose(fitted.weights_, reference["global_theta"], rtol=0, atol=atol)
    assert fitted.models_[fitted.best_] == reference["global_route"]


@pytest.mark.parametrize("k", [1, 10, 20])
@pytest.mark.parametrize("paper", [False, True])
def test_local_errors_and_routes(outputs, prompts, k, paper):
    golden = np.load(GOLDEN / f"cnn_local_k{k}_minilm.npz", allow_pickle=False)
    fitted = Smoothie(k, paper=paper).fit(outputs, prompts=prompts)
    weights = precision_weights(fitted.local_errors_, paper=True)
    error_atol, weight_atol = (0.0, 1e-15) if paper else (1e-6, 5e-6 if k == 1 else 1e-6)
    np.testing.assert_allclose(fitted.local_errors_, golden["diff"], rtol=0, atol=error_atol)
    np.testing.assert_allclose(weights, golden["theta"], rtol=0, atol=weight_atol)
    assert (fitted.routes_ == golden["route"]).all()
    assert (fitted.neighbours(prompts).rows == golden["neighbours"]).all()


@pytest.mark.parametrize("k", [1, 10, 20, 100])
def test_routes_have_the_published_mean_score(outputs, prompts, reference, k):
    rouge = np.load(GOLDEN / "cnn_rouge_per_sample.npy", allow_pickle=False)
    routes = Smoothie(k).fit(outputs, prompts=prompts).routes_
    expected = reference[f"local_k{k}"]
    assert np.bincount(routes, minlength=5).tolist() == expected["share"]
    assert 100 * rouge[np.arange(1000), routes, 1].mean() == pytest.approx(expected["rouge2"], abs=1e-3)


RIGHT_ROUTE = {"m3 one negative (collinear, middle voter)": 1}
RIGHT_ROUTE["m4 reference route differs from smallest estimated error"] = 3


@pytest.mark.parametrize("case", edge_cases())
def test_edge_cases_are_right_by_default_and_published_on_request(case):
    reference = case["reference"]
    fitted = Smoothie().fit(case["input"])
    np.testing.assert_allclose(fitted.errors_, reference["diff_closed_form_float64"], rtol=0, atol=1e-12)
    assert fitted.best_ == RIGHT_ROUTE.get(case["name"], reference["route"])
    assert np.isfinite(fitted.weights_).all()
    assert (fitted.weights_ >= 0).all()
    paper = Smoothie(paper=True).fit(case["input"])
    published = [float(text) for text in reference["theta_repr"]]
    np.testing.assert_allclose(paper.weights_, published, rtol=1e-9)
    assert paper.best_ == reference["route"]
