"""Text metrics by name choose what mbr chooses."""

import pytest

from nilometer.decisions import decide, mbr
from nilometer.errors import ConfigError
from nilometer.estimators import Posterior

TEXTS = ["the cat sat on the mat", "a cat sat on a mat", "the cat sat", "dogs run", "The cat sat on the mat."]


@pytest.mark.parametrize("metric", ["chrf", "chrf++", "bleu", "rouge1", "rougeL", "wer"])
def test_a_text_metric_chooses_as_mbr_does(metric):
    samples = TEXTS + TEXTS[:2]
    decision = decide(Posterior.from_samples(samples), metric)
    chosen = mbr(samples, utility=metric)
    assert decision.value == chosen.text
    assert 0 <= decision.stability <= 1
    assert decision.regret == pytest.approx(chosen.margin)


def test_text_metrics_want_texts():
    with pytest.raises(ConfigError, match="chrf needs texts, got answers such as '1'"):
        decide(Posterior.from_samples([1, 2]), "chrf")
    with pytest.raises(ConfigError, match="Did you mean chrf"):
        decide(Posterior.from_samples(["a", "b"]), "chrff")
