"""False alarms of the live alerts in months without a change, and how long they take to notice one.

    python studies/live_alerts.py [--months 60] [--changes 30]

Traffic is drawn from the recorded responses of the specialist corpus (data/specialist.md): the twenty slices with most
responses, about 100 responses an hour and slice, with a rhythm of the day in volume. The sentinel is fitted on every
second response, and months are drawn from the others with their own labels. The first 168 hours are the reference;
then every closed hour and day of 30 days is judged by the code that `nilometer serve` runs. One may look every minute:
a window is judged once. Months without a change count alarms against the stated rate; other months have, from their
third day on, another model behind the endpoint (responses of smollm2, scored by the same sentinel), or in one
slice of twenty an accuracy that is 10 or 20 points lower, or 10 % or 20 % of the traffic of another slice.
Result: studies/results/live_alerts.json.
"""

import argparse
import json
import sys
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy import stats

from nilometer.estimators import Sentinel
from nilometer.service import SCALES, AlertOptions, judge_windows
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

RESULT = Path(__file__).parent / "results" / "live_alerts.json"
SEED, N_SLICES, PER_HOUR, REFERENCE, HOURS, CHANGE_AT = 20261127, 20, 100, 168, 720, 48
LEAST = AlertOptions().least_change


def recorded(rng: np.random.Generator):
    """Probabilities and labels of held-out responses by slice, and probabilities of another model."""
    profiles = profile_traces(read_traces(corpus_path("specialist")))
    by = ["domain", "level"]
    names = np.array(slice_names(profiles, by).to_pylist())
    correct = profiles["correct"].to_numpy()
    rows = rng.permutation(len(names))
    fit, rest = rows[::2], rows[1::2]
    sentinel = Sentinel(bootstraps=0).fit(profiles.take(fit), correct[fit], groups=names[fit])
    p = sentinel.predict_proba(profiles.take(rest))[:, 1]
    largest = [name for name, _ in Counter(names[rest].tolist()).most_common(N_SLICES)]
    slices = [(p[names[rest] == name], correct[rest][names[rest] == name]) for name in largest]
    other = profile_traces(read_traces(corpus_path("smollm2")))
    return slices, sentinel.predict_proba(other)[:, 1]


def draw(slices, hours: int, *, rng: np.random.Generator, sample=None):
    """Moments of every slice and hour, shape (slices, hours, 3); ``sample(slice, n)`` draws probabilities."""
    rhythm = 1 + 0.5 * np.sin(np.arange(hours) / 24 * 2 * np.pi)
    found = np.zeros((len(slices), hours, 3))
    for i, (p, _) in enumerate(slices):
        counts = rng.poisson(PER_HOUR * rhythm)
        values = rng.choice(p, counts.sum()) if sample is None else sample(i, int(counts.sum()))
        hour = np.repeat(np.arange(hours), counts)
        for j, column in enumerate((np.ones(len(values)), values, values**2)):
            found[i, :, j] = np.bincount(hour, column, hours)
    return found


def alarms(moments, per_month: float, *, stop=None):
    """Windows that would open an alert, as (scale, end in hours after the reference, slice)."""
    found = []
    for scale in SCALES:
        shape = (moments.shape[0], -1, scale.hours, 3)
        windows = moments.reshape(shape).sum(axis=2)
        n_reference = REFERENCE // scale.hours
        for w in range(n_reference, windows.shape[1]):
            end = (w + 1) * scale.hours - REFERENCE
            if stop is not None and any(end >= one[1] for one in found if stop(one)):
                break
            judged = judge_windows(windows[:, :n_reference], windows[:, w])
            fires = (judged.adjusted <= scale.level(per_month)) & (abs(judged.after - judged.before) >= LEAST)
            found += [(scale.name, end, int(i)) for i in np.flatnonzero(fires)]
    return found


def null(slices, months: int, per_month: float, rng):
    counts = []
    for _ in range(months):
        found = alarms(draw(slices, REFERENCE + HOURS, rng=rng), per_month)
        counts.append(len(found))
    total = sum(counts)
    low, high = stats.chi2.ppf(0.025, 2 * total) / 2, stats.chi2.ppf(0.975, 2 * total + 2) / 2
    return {
        "months": months,
        "stated_per_month": per_month,
        "false_alarms": total,
        "per_month": total / months,
        "interval_95": [float(np.nan_to_num(low)) / months, float(high) / months],
        "months_with_any": sum(count > 0 for count in counts),
    }


def change_of(kind: str, size: float, slices, other, rng):
    """A function that draws probabilities of the changed traffic."""
    target = int(rng.integers(N_SLICES))
    away = int(rng.choice([i for i in range(N_SLICES) if i != target]))

    def sample(i: int, n: int):
        p, correct = slices[i]
        if kind == "model":
            return rng.choice(other, n)
        if i != target:
            return rng.choice(p, n)
        if kind == "mix":
            foreign = rng.random(n) < size
            return np.where(foreign, rng.choice(slices[away][0], n), rng.choice(p, n))
        share = max(correct.mean() - size, 0.0)
        right = rng.random(n) < share
        return np.where(right, rng.choice(p[correct >= 0.5], n), rng.choice(p[correct < 0.5], n))

    return target, sample


def detect(kind: str, size: float, slices, *, other, changes: int, rng):
    delays, shifts, by_scale = [], [], Counter()
    able = [one for one in slices if size < one[1].mean() and 0 < one[1].mean() < 1] if kind == "accuracy" else slices
    for _ in range(changes):
        target, sample = change_of(kind, size, slices, other, rng)
        while kind == "accuracy" and not any(slices[target][1] is one[1] for one in able):
            target, sample = change_of(kind, size, slices, other, rng)
        before = draw(slices, REFERENCE + CHANGE_AT, rng=rng)
        after = draw(slices, HOURS - CHANGE_AT, rng=rng, sample=sample)
        moments = np.concatenate([before, after], axis=1)
        counts = after[target].sum(axis=0)
        shifts.append(float(counts[1] / counts[0] - slices[target][0].mean()))

        def true_alarm(one, target=target):
            return one[1] > CHANGE_AT and (kind == "model" or one[2] == target)

        found = sorted(
            (one for one in alarms(moments, 0.1, stop=true_alarm) if true_alarm(one)), key=lambda one: one[1]
        )
        if found:
            delays.append(found[0][1] - CHANGE_AT)
            by_scale[found[0][0]] += 1
    return {
        "kind": kind,
        "size": size,
        "changes": changes,
        "detected_in_28_days": len(delays),
        "hours_to_detect_median": float(np.median(delays)) if delays else None,
        "hours_to_detect_90": float(np.quantile(delays, 0.9)) if delays else None,
        "first_seen_by": dict(by_scale),
        "mean_shift_of_p_correct": float(np.mean(np.abs(shifts))),
    }


def main(months: int, changes: int) -> None:
    rng = np.random.default_rng(SEED)
    slices, other = recorded(rng)
    cases = [("model", 1.0), ("accuracy", 0.1), ("accuracy", 0.2), ("mix", 0.1), ("mix", 0.2)]
    result = {
        "slices": N_SLICES,
        "responses_per_hour_and_slice": PER_HOUR,
        "least_change": LEAST,
        "without_change": [null(slices, months, rate, rng) for rate in (0.1, 1.0)],
        "changes_at_0_1_per_month": [
            detect(kind, size, slices, other=other, changes=changes, rng=rng) for kind, size in cases
        ],
        "seed": SEED,
        "versions": {name: version(name) for name in ("nilometer", "numpy", "scipy")}
        | {"python": sys.version.split()[0]},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--months", type=int, default=60)
    parser.add_argument("--changes", type=int, default=30)
    given = parser.parse_args()
    main(given.months, given.changes)
