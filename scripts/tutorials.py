"""Run every command of docs/tutorials and write what it prints; with --check, fail if a page is out of date.

python scripts/tutorials.py [--check] [--pictures]

`--pictures` also takes the pictures of the pages that the commands write, with Chromium in headless mode.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import altair as alt
import vl_convert

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"\s*<!-- output (\d+) -->\n.*?<!-- /output \1 -->", re.DOTALL)
MOST_LINES = 32
PICTURES = {
    "accuracy": (("report.html", "report.png", 1100), ("watch.html", "watch.png", 1300)),
    "models": (("route.html", "route.png", 1100),),
    "tokens": (("tokens.html", "tokens.png", 620),),
}
CHARTS = {
    "labels": ("plan measure plan.jsonl --labels annotator.csv --json", "labels.svg"),
    "answers": ("decide samples.jsonl --metric mae --compare --truth truth.csv --json", "answers.svg"),
}
SETTINGS = {"NO_COLOR": "1", "COLUMNS": "100", "TERM": "dumb", "PYTHONHASHSEED": "0"}


def filled(page: Path, folder: Path) -> str:
    """The text of a page with the output of its blocks; what they write stays in the folder."""
    text, parts, at, python = page.read_text(encoding="utf-8"), [], 0, ""
    for block in BLOCK.finditer(text):
        kind, code = block.groups()
        python += code if kind == "python" else ""  # a block sees the names of the blocks before it
        printed = _run([sys.executable, "-c", python] if kind == "python" else ["bash", "-c", code], folder)
        place = PLACE.match(text, block.end())
        if place:
            start, end = f"<!-- output {place[1]} -->", f"<!-- /output {place[1]} -->"
            parts += [text[at : block.end()], f"\n\n{start}\n```text\n{_cut(printed)}\n```\n{end}"]
            at = place.end()
    return "".join(parts) + text[at:]


def _run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | SETTINGS | {"PATH": path}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    if done.returncode not in (0, 3):
        sys.exit(f"{command[-1]}\n{done.stderr}")
    return done.stdout


def _cut(printed: str) -> str:
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    more = len(lines) - MOST_LINES
    return "\n".join(lines if more <= 0 else [*lines[:MOST_LINES], f"… and {more} more lines"])


def chart(command: str, folder: Path, target: Path) -> None:
    """Points with intervals, from what a command prints as JSON."""
    found = json.loads(_run(["bash", "-c", f"nilometer {command}"], folder))
    if isinstance(found, dict):
        rows = [row for row in found["cells"] if row["metric"] == "MAE" and row["rule"] != "zero_one"]
        name, value, title = "rule", "gain", "gain in mean absolute error over the most frequent answer"
    else:
        rows = [row for row in found if row["accuracy"] is not None]
        name, value, title = "slice", "accuracy", "accuracy, with 95 % interval"
    base = alt.Chart(alt.Data(values=rows)).encode(y=alt.Y(f"{name}:N", title=None, sort=None))
    span = base.mark_rule(color="#4c78a8", opacity=0.55, strokeWidth=3).encode(
        x=alt.X("low:Q", title=title), x2="high:Q"
    )
    points = base.mark_circle(color="#4c78a8", size=60, opacity=1).encode(x=f"{value}:Q")
    zero = alt.Chart(alt.Data(values=[{"x": 0}])).mark_rule(color="#888", strokeDash=[4, 4]).encode(x="x:Q")
    drawn = alt.layer(zero, span, points).properties(width=560, height=alt.Step(28), background="white", padding=12)
    target.write_text(vl_convert.vegalite_to_svg(drawn.to_json()), encoding="utf-8")


def picture(source: Path, target: Path, height: int) -> None:
    """A picture of a page in a window 1,200 pixels wide."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        sys.exit("--pictures needs Chromium on the path.")
    command = [
        browser,
        "--headless=new",
        "--no-sandbox",
        "--hide-scrollbars",
        "--virtual-time-budget=4000",
        f"--window-size=1200,{height}",
        f"--screenshot={target}",
        source.as_uri(),
    ]
    subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    stale = []
    for page in PAGES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            after = filled(page, folder)
            if after != page.read_text(encoding="utf-8"):
                stale.append(page.name)
                if "--check" not in sys.argv:
                    page.write_text(after, encoding="utf-8")
            if "--pictures" in sys.argv:
                for source, target, height in PICTURES.get(page.stem, ()):
                    picture(folder / source, ROOT / "docs" / "img" / target, height)
                for command, target in [CHARTS[page.stem]] if page.stem in CHARTS else []:
                    chart(command, folder, ROOT / "docs" / "img" / target)
    if stale:
        print("out of date:" if "--check" in sys.argv else "written:", ", ".join(stale))
    sys.exit(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
