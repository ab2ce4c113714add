"""Code and figures of docs/coming-from.md, from studies/neighbours.py and its result."""

import ast
import json
import textwrap
from pathlib import Path

STUDIES = Path(__file__).parents[1] / "studies"


def code() -> str:
    """The bodies of the functions `with_TOOL`, one after the other."""
    source = (STUDIES / "neighbours.py").read_text(encoding="utf-8")
    bodies = {n.name: _body(n, source) for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
    tools = {"nilometer": "nilometer", "NannyML": "nannyml", "Evidently": "evidently"}
    return "\n\n".join(f"**{title}**\n\n```py\n{bodies[f'with_{tool}']}\n```" for title, tool in tools.items())


def _body(function: ast.FunctionDef, source: str) -> str:
    lines = source.splitlines()[function.body[0].lineno - 1 : function.end_lineno]
    *rest, last = textwrap.dedent("\n".join(lines)).splitlines()
    return "\n".join([*rest, f"print({last.removeprefix('return ')})"])


def results() -> str:
    """What each tool says of the two tasks whose labels were hidden."""
    found = json.loads((STUDIES / "results" / "neighbours.json").read_text(encoding="utf-8"))
    ours, theirs, drift = (found[tool]["slices"] for tool in ("nilometer", "nannyml", "evidently"))
    rows = [
        f"| task | realised accuracy | nilometer {found['nilometer']['version']} | NannyML {found['nannyml']['version']}, CBPE "
        f"| Evidently {found['evidently']['version']}, drift of `p` |",
        "|---|---|---|---|---|",
    ]
    for task, row in ours.items():
        other, moved = theirs[task], drift[task]["p"]
        alert = ", alert" if other["alert"] else ""
        rows.append(
            f"| {task} | {row['realised']:.2f} | {_span(row)} | {_span(other)}{alert} "
            f"| {moved['value']:.2f} ({moved['method']}) |"
        )
    return "\n".join(rows)


def _span(row: dict) -> str:
    return f"{row['estimate']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
