"""Write the generated parts of README and docs from the code; with --check, fail if they are out of date.

python scripts/gen_docs.py [--check]
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import typer

from nilometer.cli import VERBS, app
from nilometer.decisions import TEXT_UTILITIES
from nilometer.signals import FEATURES
from nilometer.traces import FORMATS

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80", "TERM": "dumb"}
        command = [sys.executable, "-c", "from nilometer.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()


def between(text: str, name: str, body: str) -> str:
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, rest = text.split(start)
    return f"{head}{start}\n{body}\n{end}{rest.split(end)[1]}"


def features() -> str:
    rows = ["| feature | formula | range | unit | sign | what it is |", "|---|---|---|---|---|---|"]
    signs = {1: "+", -1: "−", 0: "?"}
    for f in FEATURES.values():
        cells = (f"`{f.name}`", f.formula, f"[{f.low:g}, {f.high:g}]", f.unit, signs[f.sign], f.doc)
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def utilities() -> str:
    rows = ["| utility | formula | range | symmetric | equals |", "|---|---|---|---|---|"]
    for u in TEXT_UTILITIES.values():
        cells = (f"`{u.name}`", u.formula, f"[{u.low:g}, {u.high:g}]", "yes" if u.symmetric else "no", u.source)
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def formats() -> str:
    rows = [f"| `{f.name}` | {f.about} |" for f in FORMATS.values()]
    return "\n".join(["| format | what is read |", "|---|---|", *rows])


def paper() -> str:
    """Tables of studies/results/paper_protocol.json."""
    result = json.loads((ROOT / "studies" / "results" / "paper_protocol.json").read_text(encoding="utf-8"))
    parts = []
    for title, part in (
        ("All compositions", "all_compositions"),
        ("Compositions with a grid search", "sampled_compositions"),
    ):
        rows = [
            f"**{title}**",
            "",
            "| estimator | n | 1 task | 2 | 3 | 4 | all, with 95 % interval | in domain |",
            "|---" * 8 + "|",
        ]
        for name, sizes in result[part].items():
            cells = [f"{sizes[size]['out_of_domain']:.3f}" for size in "1234"]
            low, high = sizes["all"]["out_of_domain_interval"]
            whole = f"{sizes['all']['out_of_domain']:.3f} [{low:.3f}, {high:.3f}]"
            cells = [str(sizes["all"]["n_compositions"]), *cells, whole, f"{sizes['all']['in_domain']:.3f}"]
            rows.append(f"| {name} | {' | '.join(cells)} |")
        parts.append("\n".join(rows))
    rows = ["| estimator | task left out | slice left out | mean half-width, task left out |", "|---|---|---|---|"]
    for name, c in result["coverage"].items():
        half = c["mean_half_width_task_left_out"]
        rows.append(f"| {name} | {c['task left out']:.2f} | {c['slice left out']:.2f} | {half:.2f} |")
    slope = result["slope_of_averaged_confidence"]
    low, high = slope["interval"]
    said = f"The slope is {slope['slope']:.2f} with a 95 % interval of [{low:.2f}, {high:.2f}] (bootstrap over tasks)."
    return "\n\n".join(
        [*parts, "**Coverage of nominal 90 % intervals from six labelled tasks**", "\n".join(rows), said]
    )


def help_pages() -> str:
    parts = []
    for verb in VERBS:
        try:
            parts.append(f"## {verb}\n\n```text\n{run(verb, '--help')}\n```")
        except subprocess.CalledProcessError:
            continue
        for name in getattr(typer.main.get_command(app).get_command(None, verb), "commands", ()):
            parts.append(f"### {verb} {name}\n\n```text\n{run(verb, name, '--help')}\n```")
    return "\n\n".join(parts)


def main() -> None:
    pages = {
        "README.md": ("quickstart", f"```text\n$ uv run nilometer quickstart\n{run('quickstart')}\n```"),
        "docs/signals.md": ("features", features()),
        "docs/formats.md": ("formats", formats()),
        "docs/paper.md": ("paper", paper()),
        "docs/mbr.md": ("utilities", utilities()),
        "docs/cli.md": ("help", help_pages()),
    }
    stale = []
    for name, (marker, body) in pages.items():
        path = ROOT / name
        before = path.read_text(encoding="utf-8")
        after = between(before, marker, body)
        if before != after:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(after, encoding="utf-8")
    if stale:
        print("out of date:" if "--check" in sys.argv else "written:", ", ".join(stale))
    sys.exit(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
