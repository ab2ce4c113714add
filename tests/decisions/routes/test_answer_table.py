"""Halves of labelled prompts for a fair test."""

import numpy as np
import pytest

from nilometer.decisions import AnswerTable, split_labelled
from nilometer.errors import NotEnoughDataError


def _table(labelled, groups=None):
    rng = np.random.default_rng(0)
    scores = np.where(np.asarray(labelled)[:, None], (rng.random((len(labelled), 2)) < 0.5) * 1.0, np.nan)
    embeddings = np.arange(len(labelled) * 2.0).reshape(-1, 2, 1)
    return AnswerTable(models=("a", "b"), embeddings=embeddings, scores=scores, groups=groups)


def _prompts(table):
    return set((table.embeddings[:, 0, 0] / 2).astype(int).tolist())


def test_half_of_the_labelled_prompts_is_judged_and_all_others_are_for_fitting():
    labelled = np.arange(20) < 8
    fitted, judged = split_labelled(_table(labelled), rng=np.random.default_rng(0))
    assert (len(fitted), len(judged)) == (16, 4)
    assert _prompts(fitted) | _prompts(judged) == set(range(20))
    assert _prompts(judged) < set(range(8))


def test_prompts_of_one_group_stay_together():
    groups = np.repeat([0, 1, 2, 3], 3)
    fitted, judged = split_labelled(_table([True] * 12, groups), rng=np.random.default_rng(1))
    assert not set(fitted.groups) & set(judged.groups)
    assert len(judged) == 6


def test_three_labelled_prompts_are_too_few_to_split():
    with pytest.raises(NotEnoughDataError, match="3 prompts have labels for all answers"):
        split_labelled(_table(np.arange(9) < 3), rng=np.random.default_rng(0))


def test_mean_labels_skip_what_is_not_labelled():
    table = _table([True, False])
    np.testing.assert_array_equal(table.mean_scores(), table.scores[0])
    none = AnswerTable(models=("a", "b"), embeddings=np.zeros((2, 2, 1)))
    assert none.mean_scores().tolist() == _table([False]).mean_scores().tolist() == [-np.inf, -np.inf]
