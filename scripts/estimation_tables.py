"""Tables of docs/estimation.md from the result files of the studies of estimators."""

import json
from pathlib import Path

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


def arms_table() -> str:
    parts = []
    for name, found in _read("arms")["collections"].items():
        rows = [
            f"**{name}** ({found['n_models']} models, {found['n_slices']} slices"
            f"{', a control' if found['control'] else ''})\n",
            "| estimator | compositions | mean error, with 95 % interval | median | worst decile | rank correlation |",
            "|---" * 6 + "|",
        ]
        held = {arm: v["held out"] for arm, v in found["arms"].items() if v["held out"]}
        for arm, v in sorted(held.items(), key=lambda row: row[1]["mean"]):
            low, high = v["interval"] or (None, None)
            interval = "" if low is None else f" [{low:.3f}, {high:.3f}]"
            rank = v["rank_correlation_within_clusters"]
            rows.append(
                f"| {'**default**' if arm == 'default' else arm} | {v['n_compositions']} | {v['mean']:.3f}"
                f"{interval} | {v['median']:.3f} | {v['worst_decile']:.3f} | {'' if rank is None else f'{rank:.2f}'} |"
            )
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


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
        f"{result['cells_within'][0]} of {result['cells_within'][1]} cells lie within .86 to .94.\n",
        "| collection, labels, families, traffic | coverage | 95 % bounds | mean half-width | refused | constant |",
        "|---" * 6 + "|",
    ]
    for name, cell in result["cells"].items():
        if not cell.get("n_slices"):
            continue
        low, high = cell["bounds"]
        rows.append(
            f"| {name} | {cell['coverage']:.2f} | [{low:.2f}, {high:.2f}] | {cell['half_width']:.2f} "
            f"| {cell['refused']} | {cell['fell_back']:.0%} |"
        )
    rows += ["", "| families, simulated | coverage | 95 % bounds |", "|---|---|---|"]
    for name, cell in result["simulated"].items():
        rows.append(f"| {name} | {cell['coverage']:.3f} | [{cell['bounds'][0]:.3f}, {cell['bounds'][1]:.3f}] |")
    rows += ["", "| guard | slices of left-out families | widened | refused | refused though the interval held |",
             "|---|---|---|---|---|"]  # fmt: skip
    for name, c in result["guard"].items():
        rows.append(f"| {name} | {c['n_slices']} | {c['widened']} | {c['refused']} | {c['refused_in_error']} |")
    return "\n".join(rows)


def nannyml_table() -> str:
    result = _read("coverage_nannyml")
    rows = [
        f"| labels | CBPE of NannyML {result['nannyml']} | its half-width | its error | sentinel | half-width |",
        "|---" * 6 + "|",
    ]
    for n, cell in result["cells"].items():
        rows.append(
            f"| {n} | {cell['cbpe_coverage']:.2f} | {cell['cbpe_half_width']:.2f} | {cell['cbpe_error']:.3f} "
            f"| {cell['sentinel_coverage']:.2f} | {cell['sentinel_half_width']:.2f} |"
        )
    return "\n".join(rows)
