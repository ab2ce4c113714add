"""Tables and verdict of the pages on estimating accuracy, from the result files of the studies of estimators."""

import json
from pathlib import Path

KINDS = ("unseen task", "easier", "harder", "fewer right")
RESULTS = Path(__file__).parents[1] / "studies" / "results"


def _read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def slope_table() -> str:
    rows = [
        "| collection, classifier | models | median slope | above 1 | error as it is | stretched by 1.6 | constant |",
        "|---" * 7 + "|",
    ]
    for name, found in _read("slope")["collections"].items():
        error = found["mean_error"]
        one = next(iter(found["models"].values()))
        slope = f"{found['median_slope']:.2f}"
        if found["n_models"] == 1:
            slope += f" [{one['interval'][0]:.2f}, {one['interval'][1]:.2f}]"
        rows.append(
            f"| {name} | {found['n_models']} | {slope} | {found['slopes_above_1']} | {error['error_as_it_is']:.3f} "
            f"| {error['error_with_slope_1_6']:.3f} | {error['error_constant']:.3f} |"
        )
    return "\n".join(rows)


def _held_out(found: dict) -> dict:
    return {arm: v["held out"] for arm, v in found["arms"].items() if v["held out"]}


def rivals_table() -> str:
    """The default beside what one would use instead, with intervals."""
    rows = [
        "| collection | models, slices | default | constant | best single ATC in hindsight | the usual ATC "
        "| default and 20 labels a slice | rank correlation |",
        "|---" * 8 + "|",
    ]
    for name, found in _read("arms")["collections"].items():
        held = _held_out(found)
        single = {arm: v for arm, v in held.items() if arm.startswith("atc[")}
        best = min(single, key=lambda arm: single[arm]["mean"])
        usual = "atc[max]" if "atc[max]" in held else "atc[nll_avg]"
        cells = [_with_interval(held[arm]) for arm in ("default", "constant", best, usual)]
        cells[2], cells[3] = f"{cells[2]} ({best})", f"{cells[3]} ({usual})"
        kind = f"{name}, a control" if found["control"] else name
        twenty = _with_interval(held["default, 20 labels a slice"])
        rank = held["default"]["rank_correlation_within_clusters"]
        cells += [twenty, "" if rank is None else f"{rank:.2f}"]
        rows.append(f"| {kind} | {found['n_models']}, {found['n_slices']} | {' | '.join(cells)} |")
    return "\n".join(rows)


def second_table() -> str:
    """Error, coverage and half-width by what is read beside the model's own tokens."""
    found = _read("second_opinions")
    rows = ["| read | error | coverage | half-width | error on the choice half |", "|---" * 5 + "|"]
    choice, figures = (found["multiple choice"][half] for half in ("choice", "figures"))
    for name, one in figures.items():
        if isinstance(one, dict):
            rows.append(f"| {name} | {_measured(one)} | {choice[name]['error']:.3f} |")
    rate = f"{figures['agreement rate']:.3f} |  |  | {choice['agreement rate']:.3f} |"
    rows.append(f"| agreement rate of the cheap model as accuracy, no labels | {rate}")
    rows += [f"| open tasks: {name} | {_measured(one)} |  |" for name, one in found["open tasks"].items()]
    return "\n".join(rows)


def _measured(one: dict) -> str:
    low, high = one["error_bounds"]
    least, most = one["coverage_bounds"]
    coverage = f"{one['coverage']:.2f} [{least:.2f}, {most:.2f}]"
    return f"{one['error']:.3f} [{low:.3f}, {high:.3f}] | {coverage} | {one['half_width']:.3f}"


def second_targets() -> str:
    """The targets of second opinions, met or missed."""
    rows = ["| target, four labelled subjects of MMLU-Pro | measured | target | |", "|---" * 4 + "|"]
    for name, one in _read("second_opinions")["targets"].items():
        verdict = "met" if one["met"] else "**missed**"
        rows.append(f"| {name} | {one['measured']:.4f} | {one['target']:.3f} | {verdict} |")
    return "\n".join(rows)


def known_table() -> str:
    """New traffic of labelled slices: error of three ways, and coverage of the interval."""
    rows = [
        "| slices, labels each | traffic | own labels | old accuracy | rule without them | coverage | half-width |",
        "|---" * 7 + "|",
    ]
    for name, kinds in _read("known")["cells"].items():
        for kind, found in kinds.items():
            errors = " | ".join(f"{found[arm]:.3f}" for arm in ("own", "carried", "rule"))
            low, high = found["bounds"]
            covered = f"{found['coverage']:.2f} [{low:.2f}, {high:.2f}]"
            rows.append(f"| {name} | {kind} | {errors} | {covered} | {found['half_width']:.2f} |")
    return "\n".join(rows)


def _with_interval(row: dict) -> str:
    low, high = row["interval"] or (None, None)
    return f"{row['mean']:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def arms_table() -> str:
    """All estimators, mean error and worst decile of compositions, by collection."""
    collections = _read("arms")["collections"]
    held = {name: _held_out(found) for name, found in collections.items()}
    most = {name: max(v["n_compositions"] for v in rows.values()) for name, rows in held.items()}
    first = held["specialist"]
    names = sorted(
        {arm for rows in held.values() for arm in rows},
        key=lambda arm: (first[arm]["mean"] if arm in first else 9, arm),
    )
    rows = [f"| estimator | {' | '.join(held)} |", "|---" * (len(held) + 1) + "|"]
    for arm in names:
        cells = []
        for name, row in ((name, held[name].get(arm)) for name in held):
            few = "" if row is None or row["n_compositions"] == most[name] else f" ({row['n_compositions']})"
            cells.append("" if row is None else f"{row['mean']:.3f} / {row['worst_decile']:.3f}{few}")
        rows.append(f"| {'**default**' if arm == 'default' else arm} | {' | '.join(cells)} |")
    counts = ", ".join(f"{name} {n}" for name, n in most.items())
    return "\n".join(rows) + f"\n\nCompositions, where no other number stands in brackets: {counts}."


def headline() -> str:
    rows = ["| collection | target on the held-out half | measured | target | |", "|---|---|---|---|---|"]
    for name, found in _read("arms")["collections"].items():
        for text, row in found["targets"].items():
            met = "met" if row["met"] else "**missed**"
            rows.append(f"| {name} | {text} | {row['value']:.3f} | {row['target']:g} | {met} |")
    return "\n".join(rows)


def coverage_table() -> str:
    result = _read("coverage")
    rows = [
        f"Nominal {result['confidence_level']:.0%}, {result['draws']} draws a cell; "
        f"{result['cells_within'][0]} of {result['cells_within'][1]} cells lie within 0.86 to 0.94.\n",
        f"| collection, labels, families | {' | '.join(KINDS)} | mean half-width | refused | constant |",
        "|---" * (len(KINDS) + 4) + "|",
    ]
    cells = {name: cell for name, cell in result["cells"].items() if cell.get("n_slices")}
    for name in dict.fromkeys(name.rsplit(", ", 1)[0] for name in cells):
        own = [cells[f"{name}, {kind}"] for kind in KINDS]
        shares = " | ".join(f"{c['coverage']:.2f} [{c['bounds'][0]:.2f}, {c['bounds'][1]:.2f}]" for c in own)
        refused = sum(c["refused"] for c in own) / sum(c["refused"] + c["n_slices"] for c in own)
        rows.append(f"| {name} | {shares} | {own[0]['half_width']:.2f} | {refused:.1%} | {own[0]['fell_back']:.0%} |")
    rows += ["", "| families, simulated | coverage | 95 % bounds |", "|---|---|---|"]
    for name, cell in result["simulated"].items():
        rows.append(f"| {name} | {cell['coverage']:.3f} | [{cell['bounds'][0]:.3f}, {cell['bounds'][1]:.3f}] |")
    if "pooled" in result:
        rows += ["", "| several models | coverage | 95 % bounds | mean half-width |", "|---|---|---|---|"]
        for name, c in result["pooled"].items():
            rows.append(
                f"| {name} | {c['coverage']:.3f} | [{c['bounds'][0]:.3f}, {c['bounds'][1]:.3f}] "
                f"| {c['half_width']:.2f} |"
            )
    rows += [
        "",
        "| guard | slices of left-out families | widened | refused | refused though the interval held |",
        "|---|---|---|---|---|",
    ]
    for name, c in result["guard"].items():
        rows.append(f"| {name} | {c['n_slices']} | {c['widened']} | {c['refused']} | {c['refused_in_error']} |")
    return "\n".join(rows)


def others_table() -> str:
    rows = ["| labelled subjects | error | coverage | mean half-width | slices |", "|---" * 5 + "|"]
    for name, c in _read("coverage").get("other_models", {}).items():
        rows.append(f"| {name} | {c['error']:.3f} | {c['coverage']:.2f} | {c['half_width']:.2f} | {c['n_slices']:,} |")
    return "\n".join(rows)


def nannyml_table() -> str:
    result = _read("coverage_nannyml")
    rows = [
        f"| labels | CBPE of NannyML {result['nannyml']} | half-width | error | sentinel | half-width | error |",
        "|---" * 7 + "|",
    ]
    for n, cell in result["cells"].items():
        rows.append(
            f"| {n} | {cell['cbpe_coverage']:.2f} | {cell['cbpe_half_width']:.2f} | {cell['cbpe_error']:.3f} "
            f"| {cell['sentinel_coverage']:.2f} | {cell['sentinel_half_width']:.2f} | {cell['sentinel_error']:.3f} |"
        )
    return "\n".join(rows)


def verdict() -> str:
    """The conclusions of arms.json, coverage.json and coverage_nannyml.json in a few lines."""
    main = _read("arms")["collections"]["specialist"]
    arms, targets = _held_out(main), main["targets"]
    paper = next(row["value"] for text, row in targets.items() if "of the paper, same" in text)
    decile = next(row["value"] for text, row in targets.items() if "worst decile" in text)
    cover = _read("coverage")
    met, cells = cover["cells_within"]
    seen = {name: cell for name, cell in cover["cells"].items() if cell.get("n_slices")}
    own = [cell for name, cell in seen.items() if name.startswith("specialist")]
    controls = [cell for name, cell in seen.items() if not name.startswith("specialist")]
    widths = [cell["half_width"] for name, cell in seen.items() if name.startswith("specialist") and KINDS[0] in name]
    cbpe = [cell["cbpe_coverage"] for cell in _read("coverage_nannyml")["cells"].values()]
    error, labelled = (arms[name]["mean"] for name in ("default", "default, 20 labels a slice"))
    return "\n".join(
        [
            f"- **Use the default.** On tasks that took no part in any choice it had {paper:.2f} of the error of the "
            f"published method on the same label sets, and {decile:.2f} of its worst tenth.",
            f"- **Expect an error of about {error:.2f}** for a kind of task that no label covers, and intervals of "
            f"about ± {min(widths):.2f} to {max(widths):.2f}. With 20 labels in the slice itself the error drops to "
            f"{labelled:.2f}.",
            f"- **Intervals mostly hold.** At a nominal {cover['confidence_level']:.0%}, coverage lies within 0.86 to "
            f"0.94 in {met} of {cells} settings. The lowest was {_lowest(own):.2f} on the main corpus and "
            f"{_lowest(controls):.2f} on two very weak models. NannyML's CBPE, with the same labels and scores, "
            f"covered {min(cbpe):.2f} to {max(cbpe):.2f}.",
        ]
    )


def _lowest(cells: list[dict]) -> float:
    return min(cell["coverage"] for cell in cells)
