"""Run every command of docs/tutorials and write what it prints; with --check, fail if a page is out of date.

python scripts/tutorials.py [--check] [--pictures]

`--pictures` also takes the pictures of the pages that the commands write, with Chromium in headless mode.
"""

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"\s*<!-- output (\d+) -->\n.*?<!-- /output \1 -->", re.DOTALL)
MOST_LINES = 24
PICTURES = {
    "accuracy": (("report.html", "report.png", 1100), ("watch.html", "watch.png", 1300)),
    "labels": (("report.html", "labels.png", 1100),),
    "answers": (("terminal-1.html", "answers.png", 560),),
    "models": (("route.html", "route.png", 1100),),
    "tokens": (("tokens.html", "tokens.png", 620),),
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
            (folder / f"terminal-{place[1]}.html").write_text(_terminal(code, printed), encoding="utf-8")
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


def _terminal(code: str, printed: str) -> str:
    style = "margin:0;padding:24px;background:#1e1e2e;color:#e6e6f0;font:15px/1.45 monospace"
    return f"<!doctype html><pre style='{style}'>$ {html.escape(code)}\n{html.escape(_cut(printed))}</pre>"


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
                for source, target, height in PICTURES[page.stem]:
                    picture(folder / source, ROOT / "docs" / "img" / target, height)
    if stale:
        print("out of date:" if "--check" in sys.argv else "written:", ", ".join(stale))
    sys.exit(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    main()
