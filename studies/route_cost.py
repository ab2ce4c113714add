"""Cascades and one-call routes in the plane of cost and quality; results/route_cost.json.

    python studies/route_cost.py [--data FOLDER --embeddings FOLDER]   # see route_data.py

RouterBench rows with their real prices. Half of the prompts fit everything: label-free qualities, the order of the
cascade, the closeness at which it stops; the other half is judged. Two stopping rules: a budget (no labels) and a
certified loss of at most 2 points at 95 % (labels of the fitting half). Gains are over the best random mix of two
single models at the same cost, chosen on the judged labels, with paired 95 % intervals.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from route_data import Dataset, datasets

from nilometer.decisions import (
    AnswerTable,
    Cascade,
    calibrate_stop,
    cascade_for_budget,
    cheap_models,
    compare_with_mixing,
    fit_router,
    fixed_points,
    policy_point,
    run_cascade,
)

RESULT = Path(__file__).parent / "results" / "route_cost.json"
SEED, MAX_HARM = 20261125, 0.02


def study(data: Dataset) -> dict:
    first = np.random.default_rng(SEED).permutation(len(data.table)) < len(data.table) // 2
    fitted, judged = data.table.rows(first), data.table.rows(~first)
    price = data.table.costs * 1000  # dollars per 1,000 prompts
    fixed = fixed_points(data.table.models, judged.scores, costs=price)
    dearest = int(np.argmax(price))
    blind = AnswerTable(models=fitted.models, embeddings=fitted.embeddings, prompts=fitted.prompts, costs=price)
    router = fit_router(blind)
    points = [_row(point) for point in fixed]
    cheapest = [int(j) for j in np.argsort(price, kind="stable") if j != dearest]
    preferred = cheap_models(price, router.expected(None)[0][0], last=dearest)
    for kind, order, size in [
        (k, o, s) for k, o in (("cheapest", cheapest), ("best cheap", preferred)) for s in (2, 3, 5)
    ]:
        cheap = tuple(order[:size])
        for share in (0.1, 0.25, 0.5, 0.75):
            budget = float(price[list(cheap)].sum() + share * price[dearest])
            cascade = cascade_for_budget(fitted.single, price, first=cheap, last=dearest, budget=budget)
            name = f"{size} {kind}, budget for {share:.0%} of the dearest"
            points.append(_judged(name, cascade, judged, price))
        points.append(_certified(f"{size} {kind}", cheap, (fitted, judged), price))
    for k in (None, 20, 100):
        local = fit_router(blind, n_neighbors=k) if k else router
        for budget in np.quantile(price, [0.3, 0.6, 0.9]):
            chosen = local.for_budget(float(budget)).choose(judged.prompts, n=len(judged))
            own = judged.scores[np.arange(len(judged)), chosen]
            name = f"one call, {'global' if k is None else f'k = {k}'}, budget ${budget:.2f}"
            point = policy_point(name, "route", own, costs=price[chosen])
            points.append(_row(compare_with_mixing(point, own, judged.scores, costs=price)))
    return {
        "source": data.source,
        "score": data.score,
        "n_fitted": len(fitted),
        "n_judged": len(judged),
        "cost_unit": "dollars per 1,000 prompts",
        "dearest": data.table.models[dearest],
        "points": points,
    }


def _judged(name: str, cascade: Cascade, judged: AnswerTable, price: np.ndarray) -> dict:
    run = run_cascade(cascade, judged.single)
    own = np.where(run.models >= 0, judged.scores[np.arange(len(judged)), np.maximum(run.models, 0)], 0.0)
    point = policy_point(name, "cascade", own, costs=run.costs(price))
    row = _row(compare_with_mixing(point, own, judged.scores, costs=price))
    last = judged.scores[:, cascade.last]
    share = 1 - run.stopped.mean()
    cheap = max(cascade.first, key=lambda j: judged.scores[:, j].mean())
    mixed = (1 - share) * judged.scores[:, cheap] + share * last
    gap = own - mixed
    half = 1.96 * gap.std(ddof=1) / np.sqrt(len(gap))
    row["stopped"] = round(float(run.stopped.mean()), 3)
    row["gain_over_mix_at_equal_share"] = _points(gap.mean(), gap.mean() - half, gap.mean() + half)
    return row


def _certified(name: str, cheap: tuple[int, ...], tables: tuple[AnswerTable, AnswerTable], price: np.ndarray) -> dict:
    fitted, judged = tables
    last = int(np.argmax(price))
    run = run_cascade(Cascade(cheap, last, -np.inf), fitted.single)
    rows = np.arange(len(fitted))
    harm = np.maximum(fitted.scores[:, last] - fitted.scores[rows, np.maximum(run.models, 0)], 0.0)
    rule = calibrate_stop(run.closeness, harm, max_harm=MAX_HARM)
    cascade = Cascade(cheap, last, rule.least_closeness)
    row = _judged(f"{name}, certified to lose {MAX_HARM:.0%} at most", cascade, judged, price)
    test = run_cascade(cascade, judged.single)
    own = judged.scores[np.arange(len(judged)), np.maximum(test.models, 0)]
    row["harm_fitted"] = round(100 * rule.harm, 2)
    row["harm_judged"] = round(100 * float(np.maximum(judged.scores[:, last] - own, 0.0).mean()), 2)
    return row


def _row(point) -> dict:
    row = {
        "name": point.name,
        "kind": point.kind,
        "cost": round(point.cost, 4),
        "score": _points(point.quality, point.low, point.high),
    }
    if point.gain is not None:
        row["gain_over_mixing"] = _points(point.gain, point.gain_low, point.gain_high)
    return row


def _points(value: float, low: float, high: float) -> list[float]:
    """Value and interval in percent."""
    return [round(100 * float(v), 2) for v in (value, low, high)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--embeddings", type=Path)
    options = parser.parse_args()
    found, missing = datasets(options.data, options.embeddings)
    result = {
        "data": {data.name: study(data) for data in found if data.table.costs is not None},
        "missing": [line for line in missing if "RouterBench" in line],
        "seed": SEED,
        "max_harm": MAX_HARM,
        "versions": {name: version(name) for name in ("nilometer", "numpy")},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for name, one in result["data"].items():
        print(name)
        for row in one["points"]:
            more = [
                row.get(key) for key in ("gain_over_mixing", "gain_over_mix_at_equal_share", "stopped", "harm_judged")
            ]
            print(f"  {row['name']:50s} {row['cost']:8.3f} {row['score']}", *more)


if __name__ == "__main__":
    main()
