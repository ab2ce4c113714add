"""Write the generated parts of README and docs from the code; with --check, fail if they are out of date.

python scripts/gen_docs.py [--check]
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import decide_docs
import estimation_tables
import neighbour_tables
import speed_tables
import study_tables
import typer

from nilometer.cli import VERBS, app, main as main_of_cli
from nilometer.decisions import TEXT_UTILITIES
from nilometer.signals import FEATURES
from nilometer.traces import FORMATS

ROOT = Path(__file__).parents[1]
os.environ |= {"NO_COLOR": "1", "COLUMNS": "80", "TERM": "dumb"}


def help_of(*verb: str) -> str:
    """Return the help page of a verb, asked for in this process, since a new one would import everything again."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        main_of_cli([*verb, "--help"])
    return "\n".join(line.rstrip() for line in shown.getvalue().splitlines()).strip()


def run(*arguments: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from nilometer.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()


def python_output(page: Path) -> str:
    """What the Python block of a page prints, as a block of text."""
    code = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return f"```text\n{done.stdout.rstrip()}\n```"


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
    """The table of text utilities."""
    rows = ["| utility | formula | range | symmetric | equals |", "|---|---|---|---|---|"]
    for u in TEXT_UTILITIES.values():
        cells = (f"`{u.name}`", u.formula, f"[{u.low:g}, {u.high:g}]", "yes" if u.symmetric else "no", u.source)
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def text_decisions() -> str:
    """What benchmarks/results/mbr.json and studies/results/mbr_*.json hold."""
    return "\n\n".join([mbr_speed(), mbr_races(), mbr_translations()])


def mbr_speed() -> str:
    result = json.loads((ROOT / "benchmarks" / "results" / "mbr.json").read_text(encoding="utf-8"))
    spent, times = result["cpu_ms_per_prompt"], result["times_our_cpu"]
    rows = [
        f"## Speed\n\nCPU time for one prompt with {result['n_hypotheses']} hypotheses of "
        f"{result['mean_characters']:.0f} characters, all pairs, child processes included "
        "(benchmarks/mbr.py, benchmarks/results/mbr.json):\n",
        "| peer, same run | its CPU, ms | ours, ms | ratio |",
        "|---|---|---|---|",
    ]
    rows += [
        f"| {peer} | {spent[peer]:,.1f} | {spent[peer] / ratio:.1f} | {ratio:,.0f} |"
        if ratio >= 10
        else f"| {peer} | {spent[peer]:,.2f} | {spent[peer] / ratio:.2f} | {ratio:.1f} |"
        for peer, ratio in times.items()
    ]
    by_n = result["cpu_ms_per_prompt_by_hypotheses"]
    names = ["chrf", "bleu", "rougeL", "token_f1", "cer"]
    rows += ["", f"| hypotheses | {' | '.join(f'`{name}`, ms' for name in names)} |", "|---" * 6 + "|"]
    rows += [f"| {n} | {' | '.join(f'{row[name]:,.1f}' for name in names)} |" for n, row in by_n.items()]
    big = result["large"]
    rows.append(
        f"\n{big['n_texts']:,} texts of {big['mean_characters']:,.0f} characters against {big['n_pseudo_references']} "
        f"pseudo-references, chrF: {big['cpu_seconds']:.0f} s of CPU, {big['peak_megabytes']:,} MB at most "
        f"({big['megabytes_before']:,} MB before, the texts included)."
    )
    return "\n".join(rows)


def mbr_races() -> str:
    speed = json.loads((ROOT / "benchmarks" / "results" / "mbr.json").read_text(encoding="utf-8"))["race"]
    worlds = json.loads((ROOT / "studies" / "results" / "mbr_race.json").read_text(encoding="utf-8"))
    saved = ", ".join(f"{row['calls_of_exact']:.0%} at {n}" for n, row in speed.items())
    rows = [
        f"## Does a race keep its promise?\n\n{worlds['n_runs']} simulated prompts in each world, with a requested confidence "
        f"of {worlds['confidence_level']:.0%} (studies/mbr_race.py, studies/results/mbr_race.json). On the texts "
        f"of the speed table, a race on chrF without a budget makes these shares of all calls, by number of hypotheses: "
        f"{saved}.\n",
        "| utility, distinct texts, budget | calls of exact | exact winner | promised | regret within its bound |",
        "|---|---|---|---|---|",
    ]
    for name, row in worlds["worlds"].items():
        found = f"{row['exact_winner']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        rows.append(
            f"| {name} | {row['calls_of_exact']:.0%} | {found} | {row['promised']:.2f} "
            f"| {row['regret_within_bound']:.2f} |"
        )
    return "\n".join(rows)


def mbr_translations() -> str:
    result = json.loads((ROOT / "studies" / "results" / "mbr_wmt.json").read_text(encoding="utf-8"))
    pairs = {"ende": "English to German", "zhen": "Chinese to English"}
    rows = [
        "## What it is worth\n\nThirteen translation systems, judged by professional translators on WMT21 TED talks "
        "(studies/mbr_wmt.py, studies/results/mbr_wmt.json). MQM error per segment, smaller is better; in brackets "
        "what MBR saves against a random system, with its 95 % interval.\n",
        f"| | {' | '.join(pairs.values())} |",
        "|---|---|---|",
    ]
    for name in ("random system", "best system of the other half", "best output of each segment (oracle)"):
        rows.append(
            " | ".join([f"| {name}", *(f"{result[p]['mqm_error'][name]['mean']:.2f}" for p in pairs), ""]).strip()
        )
    for name in result["ende"]["error_saved_against_random"]:
        cells = []
        for pair in pairs:
            saved = result[pair]["error_saved_against_random"][name]
            error = result[pair]["mqm_error"][f"mbr {name}"]["mean"]
            cells.append(f"{error:.2f} ({saved['mean']:+.2f}, {saved['low']:+.2f} to {saved['high']:+.2f})")
        rows.append(f"| MBR, `{name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def formats() -> str:
    rows = ["| format | what is read | what it gives | how log-probabilities are switched on |", "|---|---|---|---|"]
    return "\n".join([*rows, *(f"| `{f.name}` | {f.about} | {f.gives} | {f.ask} |" for f in FORMATS.values())])


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
    slope = result["slope_of_averaged_confidence"]
    low, high = slope["interval"]
    said = f"The slope is {slope['slope']:.2f} with a 95 % interval of [{low:.2f}, {high:.2f}] (bootstrap over tasks)."
    return "\n\n".join([*parts, said])


def help_pages() -> str:
    parts = []
    for verb in VERBS:
        parts.append(f"## {verb}\n\n```text\n{help_of(verb)}\n```")
        for name in getattr(typer.main.get_command(app).get_command(None, verb), "commands", ()):
            parts.append(f"### {verb} {name}\n\n```text\n{help_of(verb, name)}\n```")
    return "\n\n".join(parts)


def main() -> None:
    pages = {
        "README.md": {
            "quickstart": f"```text\n$ nilometer quickstart\n{run('quickstart')}\n```",
            "python": python_output(ROOT / "README.md"),
        },
        "docs/signals.md": {"features": features()},
        "docs/formats.md": {"formats": formats()},
        "docs/mbr.md": {"utilities": utilities()},
        "docs/rules.md": {"rules": decide_docs.rules()},
        "docs/cli.md": {"help": help_pages()},
        "docs/coming-from.md": {
            "code": neighbour_tables.code(),
            "results": neighbour_tables.results(),
        },
        "docs/estimation.md": {"verdict": estimation_tables.verdict()},
        "docs/evidence/estimation.md": {
            "targets": estimation_tables.headline(),
            "rivals": estimation_tables.rivals_table(),
            "known": estimation_tables.known_table(),
            "second": estimation_tables.second_table(),
            "second targets": estimation_tables.second_targets(),
            "arms": estimation_tables.arms_table(),
            "slope": estimation_tables.slope_table(),
            "others": estimation_tables.others_table(),
        },
        "docs/evidence/coverage.md": {
            "coverage": estimation_tables.coverage_table(),
            "nannyml": estimation_tables.nannyml_table(),
        },
        "docs/evidence/paper.md": {"paper": paper()},
        "docs/evidence/labels.md": {"figures": study_tables.labels()},
        "docs/evidence/plans.md": {"figures": study_tables.plan()},
        "docs/evidence/drift.md": {"figures": study_tables.drift() + "\n\n" + study_tables.canary()},
        "docs/evidence/decide.md": {
            "stsb": decide_docs.stsb(),
            "draws": decide_docs.draws(),
            "reasoning": decide_docs.reasoning(),
            "speed": decide_docs.speed(),
        },
        "docs/evidence/texts.md": {"text decisions": text_decisions()},
        "docs/evidence/speed.md": {
            "signals": speed_tables.signals(),
            "reading": speed_tables.reading(),
            "report": speed_tables.report(),
        },
    }
    stale = []
    for name, blocks in pages.items():
        path = ROOT / name
        after = before = path.read_text(encoding="utf-8")
        for marker, body in blocks.items():
            after = between(after, marker, body)
        if before != after:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(after, encoding="utf-8")
    if stale:
        print("out of date:" if "--check" in sys.argv else "written:", ", ".join(stale))
    sys.exit(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
