"""Tables of docs/labels.md, docs/drift.md and docs/plan.md, made from studies/results."""

import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "studies" / "results"


def load(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def labels() -> str:
    result, parts = load("labels.json"), []
    corpora = [name for name, value in result.items() if isinstance(value, dict) and "0" in value]
    for name in corpora:
        own = result[name]
        numbers = [n for n in ("10", "20", "50", "100") if n in own]
        free = own["0"]["label-free estimate"]
        low, high = free["error_interval"]
        parts.append(
            f"**{name}** ({own['n_slices']} slices of {own['n_models']} models, {own['responses_per_slice'][1]:,} "
            f"responses in the median). Label-free: mean absolute error {free['error']:.3f} ({low:.3f} to {high:.3f}), "
            f"95 % intervals hold {free['coverage']:.0%}. After n labels per slice, error and coverage of 95 % intervals:"
        )
        rows = []
        for design in own[numbers[0]]:
            cells = []
            for n in numbers:
                row = own[n][design]
                held = f", {row['coverage']:.0%}" if "coverage" in row else ""
                cells.append(f"{row['error']:.3f}{held}")
            rows.append([design, *cells])
        parts.append(table(["", *numbers], rows))
    needed = {name: row for name, row in result["labels_needed"].items() if row}
    head = [f"{name}, {row['median_responses']:,} responses each" for name, row in needed.items()]
    first = next(iter(needed.values()))
    designs = [name for name, row in first.items() if isinstance(row, dict)]
    cells = {
        name: [" and ".join(str(v) if v else "more than tried" for v in row[name].values()) for row in needed.values()]
        for name in designs
    }
    parts.append(
        "Labels per slice until the mean half-width of 95 % intervals is ± 5 % and ± 2 %, the slice counted as finite:"
    )
    parts.append(table(["", *head], [[name, *cells[name]] for name in designs]))
    rows = result["correlated_rows"]
    one, all_ = rows["one by one"], rows["prompt by prompt"]
    parts.append(
        f"Rows that belong together ({rows['labelled']}): nominal {rows['nominal']:.0%} intervals that take them for "
        f"independent hold {one['coverage']:.0%} of the time, with `clusters` {all_['coverage']:.0%} "
        f"({rows['repetitions']} repetitions). Everything here: `studies/labels.py`, `studies/results/labels.json`."
    )
    return "\n\n".join(parts)


def share(row: dict) -> str:
    low, high = row["interval"]
    return f"{row['share']:.1%} ({low:.1%} to {high:.1%})"


def drift() -> str:
    result = load("drift.json")
    found = {**result["changes"], "no change, four answers to each prompt": result["correlated"]}
    rows = [[name, share(row), str(row["runs"])] for name, row in found.items()]
    monitor = result["monitor"]
    watched = [
        [name, share(row), "" if row["median_windows_to_alert"] is None else f"{row['median_windows_to_alert']:g}"]
        for name, row in monitor.items()
        if isinstance(row, dict)
    ]
    return "\n\n".join(
        [
            "Measured on the recorded corpus: 12 slices, a reference of 600 responses, two windows of 300, alert at 95 %; "
            "share of runs with an alert of the right kind (`studies/drift.py`, `studies/results/drift.json`):",
            table(["change", "runs with an alert", "runs"], rows),
            f"Monitor of labels, c = {monitor['c']}, 20 windows of 100 responses, {monitor['labels_per_window']} labels each:",
            table(["accuracy", "alerts within 20 windows", "median windows to it"], watched),
        ]
    )


def canary() -> str:
    result = load("canary.json")
    numbers = [name for name in next(iter(result["variants"].values())) if "per prompt" in name]
    rows = []
    for name, row in result["variants"].items():
        cells = [
            f"{row[n]['alerts']:.1%} ({row[n]['interval'][0]:.1%} to {row[n]['interval'][1]:.1%})" for n in numbers
        ]
        rows.append([name, f"{row['shift_nats']:.3f}", *cells])
    return "\n\n".join(
        [
            f"Share of checks that alert at p ≤ {result['level']}, by answers per prompt on either side: {result['model']}, "
            f"{result['prompts']} prompts; its noise comes from batches of other lengths. {result['checks']} checks drawn from "
            f"{result['pool_per_prompt']} answers per prompt (`studies/canary.py`, `studies/results/canary.json`):",
            table(["change of the model", "mean shift, nats", *numbers], rows),
        ]
    )


def plan() -> str:
    result, parts = load("plan.json"), []
    for name, rounds in result.items():
        if not name.startswith("rounds_of_"):
            continue
        designs = [design for design in rounds if isinstance(rounds[design], dict)]
        rows = []
        for i, n in enumerate(rounds["labels"]):
            cells = [(rounds[d]["error"][i], *rounds[d]["interval"][i]) for d in designs]
            rows.append([str(n), *(f"{error:.3f} ({low:.3f} to {high:.3f})" for error, low, high in cells)])
        parts.append(
            f"The loop closed on the recorded corpus (`studies/plan.py`, `studies/results/plan.json`): a sentinel learned on six tasks, "
            f"{rounds['slices']} slices of six others, {rounds['labels_per_round']} labels a round. Mean absolute error of the "
            f"accuracies of the slices ({rounds['loops']} loops, 95 % bootstrap intervals over loops):"
        )
        parts.append(table(["labels", *designs], rows))
    names = ("middles of equal parts", "ends and gaps", "random", "worst tenth", "best")
    chosen = [
        [*where.rsplit(", ", 1), *(f"{row[name]:.3f}" for name in names), f"{row['share_better_than_random']:.0%}"]
        for where, row in result["first_slices"].items()
        if isinstance(row, dict)
    ]
    parts.append(
        "Which slices to label first: mean absolute error on all others when the estimator learns on k chosen ones, beside all "
        "compositions of that size. The rule (first column of numbers) was chosen on the recorded corpus; MMLU-Pro took no part:"
    )
    head = ["corpus, estimator", "k", *names, "better than random"]
    return "\n\n".join([*parts, table(head, chosen)])
