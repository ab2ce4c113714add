"""The first screen of a report."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import (
    Alert,
    Event,
    Outlook,
    Report,
    SliceAcquisition,
    SlicePlan,
    Watch,
    overall_accuracy,
    rank_slices,
    summarize,
)
from nilometer.estimators import Estimate, NotEnoughData, SliceEstimates, as_responses


def _estimate(name, n, accuracy, half=0.05, **more):
    ends = {"low": accuracy - half, "high": accuracy + half}
    return Estimate(slice=name, n=n, accuracy=accuracy, confidence_level=0.95, method="m", **ends, **more)


ROWS = SliceEstimates(
    [
        _estimate("good", 500, 0.9),
        _estimate("bad", 300, 0.5),
        _estimate("vague", 100, 0.6, half=0.2),
        _estimate("far", 50, 0.8, in_support=False),
        NotEnoughData(slice="none", n=50, reason="Few.", needed="More."),
    ]
)


def _report(**more):
    names = np.repeat([row.slice for row in ROWS], [row.n for row in ROWS])
    plan = (SlicePlan(slice="bad", n=300, n_labels=0, n_new=60, half_width=0.2, expected_half_width=0.1),)
    costs = {"cost": 10.0, "errors_closed": 1.0, "errors_closed_per_cost": 0.1}
    best = SliceAcquisition(slice="vague", n=100, share=0.1, accuracy=0.5, p_worst=0.9, n_new=10, **costs)
    overall = overall_accuracy(ROWS, as_responses(pa.table({"max": np.ones(len(names))}), names))
    outlook = Outlook(plan, 100, (best,))
    fixed = {"by": ("tenant",), "n": 1000, "n_labels": 0, "method": "m", "confidence_level": 0.95}
    return Report(**fixed, estimates=ROWS, overall=overall, outlook=outlook, **more)


def _watch(*alerts):
    rows = tuple(Alert(kind="k", slice=name, window=window, message="fell", p_value=0.01) for window, name in alerts)
    windows = ("2026-01-02", "2026-01-03")
    events = tuple(
        Event(
            kind="accuracy fell",
            start=row.window,
            end=row.window,
            slices=(row.slice,),
            n_slices=5,
            before=0.8,
            after=0.6,
            reasons=("model changed",),
            alerts=(row,),
        )
        for row in sorted(rows, key=lambda row: row.window)
    )
    return Watch(by=("tenant",), windows=windows, rows=(), changes=(), alerts=rows, notes=(), events=events)


def test_slices_are_ranked_by_their_share_of_wrong_answers():
    ranks = rank_slices(_report())
    assert [rank.slice for rank in ranks] == ["bad", "good", "vague", "far", "none"]
    assert [rank.error_share for rank in ranks[:4]] == pytest.approx([0.6, 0.2, 0.16, 0.04])
    assert sum(rank.share for rank in ranks) == pytest.approx(1)


def test_a_state_says_whether_a_slice_changed_is_unknown_unsure_or_known():
    ranks = {rank.slice: rank.state for rank in rank_slices(_report(watch=_watch(("2026-01-02", "good"))))}
    assert ranks == {"bad": "known", "good": "changed", "vague": "unsure", "far": "unsure", "none": "unknown"}


def test_a_report_without_errors_has_no_worst_slice():
    perfect = SliceEstimates([_estimate("a", 10, 1.0, half=0.0)])
    report = replace(_report(), outlook=None, estimates=perfect)
    assert rank_slices(report)[0].error_share == 0.0
    assert summarize(report).worst == ()


def test_the_verdict_gives_the_overall_accuracy_the_worst_slice_and_the_change():
    assert summarize(_report()).verdict == (
        "74% of the answers are correct (64% to 81%); most of the wrong ones are in bad."
    )
    changed = summarize(_report(watch=_watch(("2026-01-03", "good"), ("2026-01-02", "bad"))))
    assert changed.verdict.endswith("; 2 slices changed, first in 2026-01-02.")
    assert changed.changes == (
        "In 2026-01-02: accuracy fell in bad (1 of 5 slices), from 0.80 to 0.60. Likely reason: model changed.",
        "In 2026-01-03: accuracy fell in good (1 of 5 slices), from 0.80 to 0.60. Likely reason: model changed.",
    )


def test_at_most_three_actions_the_most_important_first():
    summary = summarize(_report(watch=_watch(("2026-01-03", "good"))))
    assert [action.step for action in summary.actions] == ["watch", "label", "acquire"]
    assert "± 0.20 to about ± 0.10" in summary.actions[1].sentence


def test_a_ranking_asks_for_labels():
    report = Report(
        by=("tenant",),
        n=2,
        n_labels=0,
        method="uncalibrated ranking",
        confidence_level=0.95,
        estimates=SliceEstimates([]),
        overall=NotEnoughData(slice="(all traffic)", n=2, reason="No labels and no sentinel.", needed="Label some."),
        ranking=(("a", 2, 0.5),),
    )
    summary = summarize(report)
    assert summary.verdict.startswith("There are no labels yet")
    assert [action.step for action in summary.actions] == ["label"]
    assert report.overall.reason == "No labels and no sentinel."
