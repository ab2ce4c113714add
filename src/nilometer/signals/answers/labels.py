"""Labels of a scale in texts: letters, words and numbers, without those that are denied or only compared with."""

import re
from collections.abc import Hashable, Mapping, Sequence

from .candidates import Candidate, Finder
from .numbers import find_numbers

__all__ = ["label_finder", "label_text"]

_DENIED = re.compile(
    r"\b(?:not|n't|neither|nor|never|than|over|against|versus|vs\.?|instead\s+of|rather\s+than|except|unlike)"
    r"\s+(?:an?\s+|the\s+)?(?:option\s+|response\s+|answer\s+|assistant\s+|model\s+|output\s+|summary\s+|system\s+)?[\s*_(\"'`]*$",
    re.IGNORECASE,
)
_PAIRED = re.compile(
    r"[\s*_)\"'`]*(?:/|\bor\b|\band\b|&|\bvs\.?|\bversus\b)[\s*_(\"'`]*(?:option\s+|response\s+)?", re.I
)
_COMMON = {"a", "i", "no", "none", "other", "same", "one", "so", "it"}
"""Labels that are everyday words too: they count only where an answer is announced."""
_MARKED = re.compile(r"[(\[*\"'`{]$")


def label_text(label: Hashable) -> str:
    """Write a label as a model would: 3.0 as 3."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def label_finder(labels: Sequence[Hashable]) -> Finder:
    """Return what lists the labels of a scale in a text; all numbers of it, where the scale is one of numbers."""
    numeric = {
        float(label): label for label in labels if isinstance(label, int | float) and not isinstance(label, bool)
    }
    if len(numeric) == len(set(labels)):
        return lambda text: [_on_scale(one, numeric) for one in find_numbers(text)]
    forms = {label_text(label).casefold(): label for label in labels}
    exact = {label_text(label) for label in labels}
    listed = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    standing = re.compile(rf"(?<![\w.])(?:{listed})(?![\w]|['’]\w|\.\w)", re.IGNORECASE)

    def find(text: str) -> list[Candidate]:
        found: list[Candidate] = []
        for match in standing.finditer(text):
            if not _DENIED.search(text, max(0, match.start() - 40), match.start()):
                weak = _is_weak(text, match, other_case=len(match.group()) == 1 and match.group() not in exact)
                found.append(Candidate(forms[match.group().casefold()], *match.span(), is_weak=weak))
        return _paired(text, found)

    return find


def _on_scale(one: Candidate, numeric: Mapping[float, Hashable]) -> Candidate:
    """A number as its label; one outside the scale stays as it is, so that it cannot be overlooked."""
    return one._replace(value=numeric.get(float(one.value), one.value))  # type: ignore[arg-type]


def _is_weak(text: str, match: re.Match[str], *, other_case: bool) -> bool:
    """Whether a label may be an everyday word here: in another case, or "A" before a word, and not in brackets."""
    form, after = match.group(), text[match.end() : match.end() + 1]
    is_marked = (
        _MARKED.search(text[max(0, match.start() - 1) : match.start()]) is not None
        and after != ""
        and after in ")]*\"'`}"
    )
    stands_apart = len(form) == 1 and form.isupper() and not after.isspace()
    return (other_case or (form.casefold() in _COMMON and not stands_apart)) and not is_marked


def _paired(text: str, found: list[Candidate]) -> list[Candidate]:
    """Mark both labels of "A or B" as open: neither is the answer."""
    kept: list[Candidate] = []
    for one in found:
        before = kept[-1] if kept else None
        pair = before is not None and before.value != one.value and _PAIRED.fullmatch(text[before.end : one.start])
        if before and pair:
            kept[-1] = before._replace(is_open=True)
        kept.append(one._replace(is_open=bool(pair)))
    return kept
