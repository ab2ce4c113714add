"""Break signals, estimators and decisions one expression at a time, and count how often a test notices.

``uv run python scripts/mutate.py --n 220`` samples by a fixed hash, skips what the result file already holds for
the same function, and writes ``scripts/results/mutation.json``. ``--check 120`` runs again some of the mutants that
the file reports as killed, for at most so many seconds, and exits 1 if one of them lives.
"""

import argparse
import ast
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "scripts" / "results" / "mutation.json"
STAGES = ("signals", "estimators", "decisions")
CPU_SECONDS = 120
"""A mutant may make a loop endless; time is that of the processor, so that a busy machine changes nothing."""
PYTEST = ("-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", "--tb=no")


def main() -> None:
    arguments = _arguments()
    if arguments.check:
        sys.exit(_check(arguments.check))
    known = {one["id"]: one for one in _read()["mutants"]}
    sample = _sample(arguments.n)
    chosen = [m for m in sample if not arguments.only or any(part in m.file for part in arguments.only)]
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy(Path(folder))
        for mutant in chosen:
            before = known.get(mutant.identity)
            again = arguments.survivors and before and before["status"] == "survived"
            if before and before["function_hash"] == _function_hash(ROOT, mutant) and not again:
                continue
            found = _judge(copy, mutant)
            known[mutant.identity] = {**found, "reason": before.get("reason", "") if before else ""}
            print(f"{found['status']:9} {found['seconds']:5.1f} s  {_where(mutant)}", flush=True)
            _write(known, {m.identity for m in sample})
    _write(known, {m.identity for m in sample})
    _print_summary(_read())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--n", type=int, default=220, help="mutants in the sample; what is known already is not run again"
    )
    parser.add_argument("--only", nargs="*", default=[], help="parts of paths")
    parser.add_argument("--survivors", action="store_true", help="run the survivors again")
    parser.add_argument("--check", type=float, default=0.0, metavar="SECONDS", help="run killed mutants again")
    return parser.parse_args()


def _files() -> Iterator[str]:
    for stage in STAGES:
        for path in sorted((ROOT / "src" / "nilometer" / stage).rglob("*.py")):
            yield str(path.relative_to(ROOT))


def _sample(n: int) -> list[Mutant]:
    everything = [mutant for file in _files() for mutant in mutants(ROOT, file)]
    return sorted(everything, key=lambda mutant: mutant.rank)[:n]


def _where(mutant: Mutant) -> str:
    file = mutant.file.removeprefix("src/nilometer/")
    return f"{file}:{mutant.line} {' '.join(mutant.before.split())[:60]} -> {mutant.after[:60]}"


def _function_hash(root: Path, mutant: Mutant) -> str:
    """Hash of the function that holds the mutant, or of the file outside of functions."""
    source = (root / mutant.file).read_text(encoding="utf-8")
    lines = source.splitlines()
    holders = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.lineno <= mutant.line <= node.end_lineno
    ]
    if holders:
        lines = lines[holders[-1].lineno - 1 : holders[-1].end_lineno]
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def _copy(folder: Path) -> Path:
    """Copy what the tests need; the mutants are written there, never here."""
    for name in ("src", "tests", "docs", "scripts", "studies", "examples"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def _levels(mutant: Mutant) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Tests from near to far: the module's own, its package's, then those of other packages that name what it exports."""
    inner = Path(mutant.file).relative_to("src/nilometer")
    folders = [
        Path("tests") / parent for parent in inner.parents if parent.parts and (ROOT / "tests" / parent).is_dir()
    ]
    own = [f"{folder}/test_{inner.name}" for folder in folders if (ROOT / folder / f"test_{inner.name}").exists()][:1]
    yield "own", (mutant.file, *own)
    inside = "rglob" if len(folders[0].parts) > 2 else "glob"
    package = [str(path.relative_to(ROOT)) for path in getattr(ROOT / folders[0], inside)("test_*.py")]
    named = _naming(mutant.file)
    package.sort(key=lambda path: (path not in named, path))
    yield "package", tuple(path for path in package if path not in own)
    yield "named", tuple(path for path in named if path not in {*own, *package})


@cache
def _naming(file: str) -> tuple[str, ...]:
    """Test files of the three stages that name something that the module exports."""
    names = "|".join(_exported(ast.parse((ROOT / file).read_text(encoding="utf-8"))))
    found = re.compile(rf"\b({names})\b") if names else None
    paths = [path for stage in STAGES for path in sorted((ROOT / "tests" / stage).rglob("test_*.py"))]
    named = [path for path in paths if found and found.search(path.read_text(encoding="utf-8"))]
    return tuple(str(path.relative_to(ROOT)) for path in named)


def _exported(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    return []


@cache
def _pass_unchanged(copy: Path, paths: tuple[str, ...]) -> None:
    """Refuse to count anything by tests that fail without a mutant."""
    if _run(copy, paths) != "survived":
        raise SystemExit(f"{' '.join(paths)}: these tests fail without any mutant. Mend them first.")


def _judge(copy: Path, mutant: Mutant) -> dict[str, object]:
    """Run the nearest tests first, and the next only where none fails."""
    path = copy / mutant.file
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    started = time.monotonic()
    status, by = "survived", ""
    try:
        for level, paths in _levels(mutant):
            if not paths:
                continue
            _put(path, source)
            _pass_unchanged(copy, paths)
            _put(path, mutant.applied(source))
            status = _run(copy, paths)
            if status != "survived":
                by = level
                break
    finally:
        _put(path, source)
    return {
        "id": mutant.identity,
        "file": mutant.file,
        "function": mutant.function,
        "line": mutant.line,
        "operator": mutant.operator,
        "before": mutant.before,
        "after": mutant.after,
        "function_hash": _function_hash(ROOT, mutant),
        "status": status,
        "by": by,
        "seconds": round(time.monotonic() - started, 1),
    }


def _put(path: Path, source: str) -> None:
    """Write a source with a time stamp of its own, so that no compiled file of another mutant is taken for it."""
    path.write_text(source, encoding="utf-8")
    stamp = time.time_ns()
    os.utime(path, ns=(stamp, stamp))
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()


def _run(copy: Path, paths: tuple[str, ...]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *PYTEST, *paths],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5)),
        check=False,
    )
    if done.returncode < 0:
        return "timeout"
    if done.returncode in {0, 5}:  # 5: no test there
        return "survived"
    if done.returncode in {1, 2}:  # 2: the tests could not even be collected
        return "killed"
    raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-2000:]} {done.stderr[-2000:]}")


def _read() -> dict[str, list[dict[str, object]]]:
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {"mutants": []}


def _write(known: dict[str, dict[str, object]], sample: set[str]) -> None:
    """Keep the rows of the sample, and the score with and without the mutants that a reader found equal."""
    rows = [row for name, row in known.items() if name in sample]
    rows.sort(key=lambda row: (row["file"], row["line"], row["id"]))
    counts = Counter(row["status"] for row in rows)
    equal = sum(bool(row["reason"]) for row in rows if row["status"] == "survived")
    killed = counts["killed"] + counts["timeout"]
    found = {
        "n": len(rows),
        "killed": killed,
        "survived": counts["survived"],
        "equal_by_reading": equal,
        "score": round(killed / max(len(rows), 1), 4),
        "score_without_equal": round(killed / max(len(rows) - equal, 1), 4),
        "n_sites": len(sample),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "mutants": rows,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _print_summary(found: dict[str, object]) -> None:
    print(
        f"{found['killed']} of {found['n']} mutants were noticed by a test: score {found['score']}, "
        f"{found['score_without_equal']} without the {found['equal_by_reading']} that change nothing."
    )
    for row in found["mutants"]:
        if row["status"] == "survived":
            before, after = (" ".join(str(row[key]).split())[:70] for key in ("before", "after"))
            print(f"  {row['file']}:{row['line']} {before} -> {after}  {row['reason']}")


def _check(seconds: float) -> int:
    """Run killed mutants again, in the order of their hash, until the time is up."""
    found = _read()
    print(f"Committed: score {found['score']}, {found['score_without_equal']} without equal ones, n = {found['n']}.")
    killed = {row["id"]: row for row in found["mutants"] if row["status"] == "killed"}
    rerun = [m for file in _files() for m in mutants(ROOT, file) if m.identity in killed]
    deadline, n, alive = time.monotonic() + seconds, 0, []
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy(Path(folder))
        for mutant in sorted(rerun, key=lambda mutant: mutant.rank):
            if time.monotonic() > deadline:
                break
            n += 1
            if _judge(copy, mutant)["status"] == "survived":
                alive.append(_where(mutant))
    print(f"{n - len(alive)} of {n} killed mutants are still killed.", *alive, sep="\n  ")
    return 1 if alive or not n else 0


if __name__ == "__main__":
    main()
