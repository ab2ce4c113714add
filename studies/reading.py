"""How often an answer is read out of a text as a person reads it, by shape, beside the extractors that others use.

``studies/reading_answers.jsonl`` holds the texts: answers of the recorded models, labelled by hand, and texts written
in the shapes that models use. ``gold`` is what a person reads, null where the text states no answer. A reading that
differs from it is *wrong*; null where there is an answer is *missed*. Read for the first time, 416 of the 437 texts
were right, 5 wrong and 16 missed; the wrong ones and some of the missed were then mended, so what the result file
holds is a check of this set and the first reading the better forecast. The peers saw none of it.

Peers, on the kinds that they do: the regular expressions of lm-evaluation-harness (``strict-match`` and
``flexible-extract`` of GSM8K, the letter of MMLU's generative variants) and ``math-verify``.

Run: ``uv run --with math-verify --with lm-eval python studies/reading.py``.
"""

import json
import math
import re
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nilometer.signals import parse_answer, parse_items, parse_label, parse_number

HERE = Path(__file__).parent
STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
NUMERIC = ("number", "score")


def ours(row: dict[str, Any]) -> Any:
    """Read a text with nilometer."""
    kind = row["kind"]
    if kind == "number":
        return parse_number()(row["text"])
    if kind in ("items", "answer"):
        return {"items": parse_items, "answer": parse_answer}[kind](row["text"])
    return parse_label(row["labels"] or ["yes", "no"])(row["text"])


def lm_eval_strict(row: dict[str, Any]) -> Any:
    """Read a number as ``strict-match`` of GSM8K does."""
    found = STRICT.findall(row["text"])
    return cleaned(found[0]) if found else None


def lm_eval_flexible(row: dict[str, Any]) -> Any:
    """Read a number as ``flexible-extract`` of GSM8K does: the last one."""
    found = FLEXIBLE.findall(row["text"])
    return cleaned(next(filter(None, found[-1]))) if found else None


def cleaned(text: str) -> float | None:
    """Clean a match as the task's ``regexes_to_ignore`` do."""
    try:
        return float(re.sub(r"[,$]|\.$", "", text))
    except ValueError:
        return None


def math_verify(row: dict[str, Any]) -> Any:
    """Read a number with math-verify's parser for expressions and LaTeX."""
    from math_verify import parse

    for value in parse(row["text"], parsing_timeout=None):
        try:
            return float(value)
        except (TypeError, ValueError):
            continue
    return None


def same(row: dict[str, Any], value: Any) -> bool:
    """Whether a reading is what a person reads."""
    gold = row["gold"]
    if gold is None or value is None:
        return gold is value
    if row["kind"] == "items":
        return set(gold) == set(value)
    if row["kind"] in NUMERIC:
        return isinstance(value, int | float) and math.isclose(float(gold), float(value), rel_tol=1e-9, abs_tol=1e-12)
    return bool(gold == value)


def outcome(row: dict[str, Any], value: Any) -> str:
    """Name what became of a text."""
    if same(row, value):
        return "right"
    return "missed" if value is None else "wrong"


def main() -> None:
    """Read every text with every reader and write the shares by shape."""
    rows = [json.loads(line) for line in (HERE / "reading_answers.jsonl").read_text(encoding="utf-8").splitlines()]
    readers = {
        "nilometer": ours,
        "lm-eval strict-match": lm_eval_strict,
        "lm-eval flexible-extract": lm_eval_flexible,
        "math-verify": math_verify,
    }
    shapes: dict[str, dict[str, dict[str, int]]] = defaultdict(dict)
    totals: dict[str, dict[str, int]] = {}
    errors = []
    for name, reader in readers.items():
        for row in rows:
            if name != "nilometer" and row["kind"] not in NUMERIC:
                continue
            found = outcome(row, value := reader(row))
            for counts in (
                shapes[row["shape"]].setdefault(name, dict.fromkeys(("right", "wrong", "missed"), 0)),
                totals.setdefault(name, dict.fromkeys(("right", "wrong", "missed"), 0)),
                totals.setdefault(f"{name}, numbers", dict.fromkeys(("right", "wrong", "missed"), 0))
                if row["kind"] in NUMERIC
                else {"right": 0, "wrong": 0, "missed": 0},
            ):
                counts[found] += 1
            if name == "nilometer" and found != "right":
                shown = sorted(value) if isinstance(value, frozenset) else value
                errors.append({"text": row["text"], "gold": row["gold"], "read": shown, "shape": row["shape"]})
    result = {
        "n": len(rows),
        "versions": {name: version(name) for name in ("nilometer", "lm-eval", "math-verify")},
        "totals": totals,
        "shapes": shapes,
        "errors_of_nilometer": errors,
    }
    path = HERE / "results" / "reading.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(totals, indent=1))


if __name__ == "__main__":
    main()
