"""The generated parts of docs/rules.md and docs/decide.md: the table of rules and the figures of the result files."""

import json
from pathlib import Path

from nilometer.decisions import RULES

ROOT = Path(__file__).parents[1]


def _result(name: str) -> dict:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def rules() -> str:
    """One table per kind of answer, from RULES."""
    titles = {
        "any": "Any answer",
        "number": "Numbers",
        "set": "Sets and bags",
        "batch": "A whole batch",
    }
    parts = []
    for kind, title in titles.items():
        rows = [
            f"## {title}",
            "",
            "| metric | formula | best answer | parameter | domain | exactness | reference |",
            "|---" * 7 + "|",
        ]
        for rule in RULES.values():
            if ("batch" if rule.is_batch else rule.kind) != kind:
                continue
            names = ", ".join(f"`{name}`" for name in (rule.name, *rule.aliases))
            p = rule.parameter
            parameter = "" if p is None else f"{p.name}, {p.about}" + ("" if p.default is None else f" ({p.default:g})")
            cells = (names, rule.metric, rule.answer, parameter, rule.domain, rule.exactness, rule.reference)
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def stsb() -> str:
    """RMSE, MAE, Pearson and CCC of rules and calibrated means, per model."""
    parts = []
    for model, found in _result("studies/results/decide_stsb.json")["models"].items():
        metrics = ("RMSE", "MAE", "Pearson", "CCC")
        rows = [
            f"**{model}**, {found['n_test']:,} pairs; in brackets the 95 % interval of the gain over the mode "
            "(above 0 is better)",
            "",
            f"| answer | {' | '.join(metrics)} |",
            "|---" * 5 + "|",
        ]
        shown = [name for name in found["rules"] if ":" not in name or name.endswith(": mean")]
        for name in shown:
            cells = []
            for metric in metrics:
                cell = found["rules"][name][metric]
                low, high = cell["interval"]
                cells.append(f"{cell['value']:.3f}" + ("" if name == "mode" else f" [{low:+.3f}, {high:+.3f}]"))
            rows.append(f"| {name} | {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def draws() -> str:
    """RMSE of the mean and the mode of k draws, and of all probabilities."""
    rows = []
    for model, found in _result("studies/results/decide_stsb.json")["models"].items():
        n = list(found["by_draws"])
        rows += [
            "",
            f"| {model}, RMSE | {' | '.join(f'{k} draws' for k in n)} | log-probabilities |",
            "|---" * (len(n) + 2) + "|",
        ]
        for name, rule in (("mean", "mean"), ("mode", "mode")):
            cells = [f"{found['by_draws'][k][f'rmse_{name}']:.3f}" for k in n]
            rows.append(f"| {name} | {' | '.join(cells)} | {found['rules'][rule]['RMSE']['value']:.3f} |")
    return "\n".join(rows[1:])


def reasoning() -> str:
    """Accuracy of each way to vote, and what the share of the mode promises."""
    parts = []
    for model, found in _result("studies/results/decide_reasoning.json")["models"].items():
        rows = [
            f"**{model}**, {found['n_prompts']:,} prompts, {found['n_draws']} draws",
            "",
            "| answer | accuracy | gain over greedy | interval over prompts | over whole tasks |",
            "|---" * 5 + "|",
        ]
        for name, cell in found["accuracy"].items():
            spans = [f"[{cell[key][0]:+.3f}, {cell[key][1]:+.3f}]" for key in cell if key.startswith("interval")]
            if name == "greedy":
                spans = ["", ""]
            rows.append(f"| {name} | {cell['accuracy']:.3f} | {cell['gain']:+.3f} | {spans[0]} | {spans[1]} |")
        trust = found["confidence"]
        rows += [
            "",
            f"Some draw is right for {found['upper_limit_any_draw_right']:.3f} of the prompts. The share of the mode "
            f"promises {trust['expected_accuracy_by_share']:.3f} and is right {trust['realised_accuracy']:.3f} of the "
            f"time; calibrated on the other tasks it says {trust['expected_accuracy_calibrated_on_other_tasks']:.3f} "
            f"(Brier score {trust['brier_by_share']:.3f} before, {trust['brier_calibrated']:.3f} after, "
            f"{trust['brier_of_the_base_rate']:.3f} for the base rate). As a ranking it is good: AUROC "
            f"{trust['auroc_of_the_share']:.3f}.",
        ]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def speed() -> str:
    """Posteriors per second, and the peers of the same run."""
    found = _result("benchmarks/results/decide.json")
    rows = [
        "| rule | posteriors a second | peer in the same run | row by row | all rows at once | at once, rule alone |"
    ]
    rows.append("|---|---|---|---|---|---|")
    for name, rate in sorted(found["rates"].items(), key=lambda item: -item[1]["answers_and_risks_per_second"]):
        peer = found["peers"].get(name)
        cells = (peer["peer"], *(f"{ratio:g} ×" for ratio in peer["ratios"].values())) if peer else ("",) * 4
        rows.append(f"| `{name}` | {rate['answers_and_risks_per_second']:,} | {' | '.join(cells)} |")
    return "\n".join(rows)
