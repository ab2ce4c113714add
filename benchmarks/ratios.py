"""Write the result of a benchmark, or compare its ratios with a committed one.

A ratio is ours against a peer in the same run, so it holds on another machine, too; higher is better. A ratio fails if
it is below the committed one divided by 1 + tolerance.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RATIOS = ("ratio", "ratios", "times_our_cpu", "times_as_fast", "memory_ratio")
TOLERANCE = 0.5


def add_check(parser: argparse.ArgumentParser) -> None:
    """Add the flags of :func:`finish`."""
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare the ratios with FILE and write nothing")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="share by which a ratio may be lower")


def ratios(result: Any, path: str = "", *, inside: bool = False) -> Iterator[tuple[str, float]]:
    """Yield path and value of every ratio in a result."""
    if isinstance(result, dict):
        for name, value in result.items():
            yield from ratios(value, f"{path}.{name}".lstrip("."), inside=inside or name in RATIOS)
    elif isinstance(result, list):
        for number, value in enumerate(result):
            yield from ratios(value, f"{path}[{number}]", inside=inside)
    elif inside and isinstance(result, int | float) and not isinstance(result, bool):
        yield path, float(result)


def lower_ratios(result: Any, committed: Any, tolerance: float) -> list[str]:
    """Describe every ratio that fell by more than the tolerance.

    Raises
    ------
    ValueError
        If the two have no ratio in common.
    """
    now, before = dict(ratios(result)), dict(ratios(committed))
    both = [name for name in before if name in now]
    if not both:
        raise ValueError("the results must have a ratio in common, got none.")
    return [
        f"{name}: {now[name]:g}, committed {before[name]:g}"
        for name in both
        if now[name] < before[name] / (1 + tolerance)
    ]


def finish(result: dict[str, Any], file: Path, options: argparse.Namespace) -> None:
    """Print the result and write it, or leave with exit code 1 if ``--check`` finds a lower ratio."""
    print(json.dumps(result, indent=1))
    if options.check is None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        return
    lower = lower_ratios(result, json.loads(options.check.read_text(encoding="utf-8")), options.tolerance)
    print(*lower, sep="\n", file=sys.stderr)
    sys.exit(1 if lower else 0)
