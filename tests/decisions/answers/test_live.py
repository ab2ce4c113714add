"""Sampling stops when the decision stands, and not before."""

import numpy as np
import pytest

from nilometer.decisions import SamplingPlan, decide_live
from nilometer.estimators import NotEnoughData
from nilometer.signals import parse_label


class _Model:
    """Draws answers with the probabilities of each prompt, and counts rounds and calls."""

    def __init__(self, chances, seed=0):
        self.chances, self.rng, self.rounds = chances, np.random.default_rng(seed), []

    def __call__(self, prompts):
        self.rounds.append(len(prompts))
        return [str(self.rng.choice(["yes", "no"], p=[self.chances[p], 1 - self.chances[p]])) for p in prompts]


def test_easy_prompts_take_fewer_samples_and_all_open_ones_share_a_round():
    model = _Model({"easy": 1.0, "hard": 0.5})
    easy, hard = decide_live(model, ["easy", "hard"], "zero_one", plan=SamplingPlan(most=20))
    assert easy.is_settled
    assert len(easy.samples) < 10
    assert len(hard.samples) <= 20
    assert model.rounds[0] == 8
    assert sum(model.rounds) == len(easy.samples) + len(hard.samples)


def test_settled_decisions_are_those_of_many_samples_about_as_often_as_asked():
    rng = np.random.default_rng(3)
    chances = {str(i): float(p) for i, p in enumerate(rng.beta(2, 2, 200))}
    plan = SamplingPlan(most=64, confidence_level=0.9)
    read = (parse_label(["yes", "no"]), ["yes", "no"])
    found = decide_live(_Model(chances), list(chances), "zero_one", plan=plan, read=read)
    settled = [(one, p) for one, p in zip(found, chances.values(), strict=True) if one.is_settled]
    right = np.mean([(one.decision.value == "yes") == (p > 0.5) for one, p in settled])
    assert len(settled) > 100
    # the level is nominal because it is looked at repeatedly; 0.9 less three standard errors of 150 is 0.83
    assert right > 0.83
    assert np.mean([len(one.samples) for one in found]) < 40


def test_answers_that_cannot_be_read_end_as_unknown():
    found = decide_live(
        lambda asked: ["?"] * len(asked), ["a"], "mae", plan=SamplingPlan(most=5), read=(lambda t: None, None)
    )
    assert isinstance(found[0].decision, NotEnoughData)
    assert len(found[0].samples) == 5


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (SamplingPlan(first=0), "`first` must be >= 1, got 0"),
        (SamplingPlan(first=9, most=4), "`first` must be <= `most`, got 9 and 4"),
        (SamplingPlan(confidence_level=1.0), "`confidence_level` must lie in"),
    ],
)
def test_plans_that_make_no_sense_are_refused(plan, says):
    with pytest.raises(ValueError, match=says):
        decide_live(lambda asked: asked, ["a"], "zero_one", plan=plan)
