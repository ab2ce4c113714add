"""Numbers in texts as people and models write them: signs, separators of the main locales, units, totals, words."""

import math
import re
import unicodedata

from .candidates import Candidate

__all__ = ["find_numbers", "number_value"]

_SPACE = "[ \u00a0\u2009\u202f]"
_CURRENCY = r"(?:[$€£¥₹₩]|\\\$|(?:USD|EUR|GBP|CHF|JPY|INR)\b)"
_SIGN = r"[-+−–]|\b(?:minus|negative)\s+"
_DIGITS = rf"\d{{1,3}}(?:{_SPACE}\d{{3}})+(?:[.,]\d+)?(?!\d)|\d(?:(?:[\d.,'’]|\{{,\}}|\\[,!])*\d)?|[.,]\d+"
_POWER = r"(?:[eE][-+]?\d+|\s*(?:[×x*]|\\times)\s*10\s*\^\s*\{?(?P<power>[-+−]?\d+)\}?)?"
_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅛⅜⅝⅞"
_UNITS = (
    r"%|°\s?[CF]?|km/h|km²|m²|m³|km|cm|mm|m|kg|mg|g|lbs?|oz|ml|l|L|hrs?|h|mins?|ms|s|mph|[kMG]B|kWh|kW|W|V|GHz|Hz|"
    r"px|pts?|yrs?|deg"
)
_SCALES = {"k": 1e3, "thousand": 1e3, "million": 1e6, "mio": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}
_NUMBER = re.compile(
    rf"(?<![\w.])(?<![^\W\d_]-)(?P<lead>(?:{_CURRENCY}\s?)?)(?P<sign>(?:{_SIGN})?)(?:{_CURRENCY}\s?)?"
    rf"(?:(?P<mixed>\d+)?{_SPACE}?(?P<vulgar>[{_VULGAR}])"
    rf"|\\[dt]?frac\s*\{{(?P<over>-?\d+)\}}\s*\{{(?P<under>\d+)\}}"
    rf"|(?P<body>{_DIGITS})(?P<exponent>{_POWER}))"
    rf"(?P<unit>{_SPACE}?(?:\\?%|°\s?[CF]?)|(?:{_UNITS})(?!\w)|[kK](?!\w)|{_SPACE}(?:thousand|million|mio|billion|bn|trillion)\b)?"
    r"(?!\w)"
)
_NOT_NUMBERS = re.compile(
    r"\b\d{4}(?P<iso>[-/.])\d{1,2}(?P=iso)\d{1,2}\b|\b\d{1,2}(?P<day>[-/.])\d{1,2}(?P=day)\d{2,4}\b"
    r"|\b\d{1,2}:\d{2}(?::\d{2})?\b"
    r"|\bv?\d+(?:\.\d+){2,}\b(?!,)"
)
_GROUPED = re.compile(r"\d{1,3}(\.\d{3}){2,}")
_ENUMERATOR = re.compile(r"(?m)^[ \t]*(?:step\s+)?\d{1,3}[.)](?=\s)", re.IGNORECASE)
_ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: float(n) for n, word in enumerate(_ONES)} | {word: 10.0 * n for n, word in enumerate(_TENS, start=2)}
_WORD = re.compile(
    rf"(?<![\w-])(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(_ONES[1:10])}))?|(?P<word>{'|'.join(_ONES)}))"
    r"(?![\w-])",
    re.IGNORECASE,
)
_MARKS = r"[\s*_`\"'\])}]*"
_THIN = r"[\s*_`]*"
_TOTAL = re.compile(rf"{_MARKS}\(?(?:/|⁄|\bout\s+of\b|\bof\b|\bvon\b|\bsur\b)[\s*_`\"'(\[{{]*$", re.IGNORECASE)
_RANGE = re.compile(rf"{_THIN}(?:-|–|—|\bto\b|\bor\b|\bbis\b){_THIN}(?:[a-z]\s*=\s*)?", re.IGNORECASE)
_FRACTION = re.compile(
    r"(?:(?:^|[^\w])[A-Za-z]\s*=|boxed\{|\b(?:probability|chance|odds|ratio|fraction) (?:is|of))[\s$(]*[-−]?$"
)
_BETWEEN = re.compile(r"\bbetween\s+[*_]*$", re.IGNORECASE)


def find_numbers(text: str) -> list[Candidate]:
    """List the numbers of a text in order; dates, times, versions, enumerators and totals ("of 5") are none.

    Examples
    --------
    >>> [found.value for found in find_numbers("1.000,5 or 1,200 on 2026/04/19: 4 out of 5, .8, 42km and eight")]
    [1000.5, 1200.0, 4.0, 0.8, 42.0, 8.0]
    """
    plain = _masked("".join(_ascii(char) for char in text))
    found = [candidate for match in _NUMBER.finditer(plain) if (candidate := _candidate(match)) is not None]
    taken = [(one.first, one.end) for one in found]
    found += [
        _word(match) for match in _WORD.finditer(plain) if not any(start <= match.start() < end for start, end in taken)
    ]
    return _joined(plain, sorted(found, key=lambda one: one.start))


def _ascii(char: str) -> str:
    """Decimal digits of every script as 0 to 9, one character each."""
    value = unicodedata.decimal(char, None)
    return char if value is None else str(value)


def _masked(text: str) -> str:
    """Blank what looks like numbers and is none, keeping every place."""

    def blank(match: re.Match[str]) -> str:
        return match.group() if _GROUPED.fullmatch(match.group()) else "\x00" * len(match.group())

    text = _NOT_NUMBERS.sub(blank, text)
    return _ENUMERATOR.sub(blank, text) if len(_ENUMERATOR.findall(text)) > 1 else text


def _candidate(match: re.Match[str]) -> Candidate | None:
    value = _value(match)
    if value is None:
        return None
    if "-" in match["sign"] or match["sign"].strip() in ("−", "–") or match["sign"].strip().isalpha():
        value = -value
    start = match.start("sign") if match["sign"] else match.end("lead")
    return Candidate(value, start, match.end(), lead=match.start())


def _value(match: re.Match[str]) -> float | None:
    if match["vulgar"]:
        return float(match["mixed"] or 0) + unicodedata.numeric(match["vulgar"])
    if match["over"]:
        return float(match["over"]) / float(match["under"]) if float(match["under"]) else None
    value = number_value(match["body"])
    if value is None:
        return None
    exponent = match["exponent"] or ""
    power = match["power"] or exponent.lstrip("eE") if exponent else "0"
    value *= 10.0 ** min(int(power.replace("−", "-")), 400) if abs(int(power.replace("−", "-"))) < 308 else math.nan
    value *= _SCALES.get((match["unit"] or "").strip().lower(), 1.0)
    return value if math.isfinite(value) else None


def number_value(body: str) -> float | None:
    """Return the value of digits with separators, None where no reading of them fits.

    One comma before exactly three digits groups thousands, as does any separator that stands more than once; the
    last of two different separators is the decimal mark, and so is a single comma anywhere else.

    Examples
    --------
    >>> [number_value(body) for body in ("1,200", "0,8", "1.000,5", "1,000.5", "1.234.567", "1'000", "1,2,3")]
    [1200.0, 0.8, 1000.5, 1000.5, 1234567.0, 1000.0, None]
    """
    body = re.sub(rf"\\[,!]|{_SPACE}|['’{{}}]", "", body)
    marks = [char for char in body if char in ".,"]
    if not marks:
        return float(body)
    last = marks[-1]
    whole, _, decimals = body.rpartition(last)
    groups = re.split(r"[.,]", whole)
    if len(set(marks)) == 2:
        other = "," if last == "." else "."
        return float(f"{whole.replace(other, '')}.{decimals}") if last not in whole and _groups(groups) else None
    if len(marks) > 1:
        return float(body.replace(last, "")) if _groups([*groups, decimals]) else None
    if last == "," and len(decimals) == 3 and whole and _groups([whole, decimals]):
        return float(whole + decimals)
    return float(f"{whole or 0}.{decimals}")


def _groups(groups: list[str]) -> bool:
    """Whether digits are grouped as thousands, or by two before the last three as in India."""
    first, *rest = groups
    if not (1 <= len(first) <= 3) or (rest and first.startswith("0")):
        return False
    sizes = [len(group) for group in rest]
    return all(size == 3 for size in sizes) or (sizes[-1:] == [3] and set(sizes[:-1]) == {2} and len(first) <= 2)


def _word(match: re.Match[str]) -> Candidate:
    if match["word"]:
        value = _WORDS[match["word"].lower()]
    else:
        value = _WORDS[match["tens"].lower()] + (_WORDS[match["ones"].lower()] if match["ones"] else 0)
    return Candidate(value, match.start(), match.end(), is_weak=True)


def _joined(text: str, found: list[Candidate]) -> list[Candidate]:
    """Join scores with their totals ("4/5"), and mark the two ends of a range as open."""
    kept: list[Candidate] = []
    for one in found:
        before = kept[-1] if kept else None
        between = text[before.end : one.first] if before else ""
        if (
            before
            and between.strip() == "/"
            and one.value
            and _FRACTION.search(text, max(0, before.start - 20), before.start)
        ):
            kept[-1] = before._replace(value=float(before.value) / float(one.value), end=one.end)  # type: ignore[arg-type]
            continue
        if before and _TOTAL.fullmatch(between):
            too_much = float(before.value) > float(one.value)  # type: ignore[arg-type]
            kept[-1] = before._replace(end=one.end, is_open=before.is_open or too_much)
            continue
        is_range = before is not None and _is_range(text, before, one)
        if before and is_range:
            kept[-1] = before._replace(is_open=True)
            if one.start > before.end and text[one.start] in "-–":
                one = one._replace(value=abs(float(one.value)))  # type: ignore[arg-type]
        kept.append(one._replace(is_open=is_range))
    return kept


def _is_range(text: str, before: Candidate, one: Candidate) -> bool:
    sign = 1 if text[one.start] in "-–−" else 0
    between = text[before.end : one.first + sign]
    if text[one.end :].lstrip(" *_").startswith("="):
        return False
    if between.strip("*_ ").casefold() in ("and", "und", "et", "y"):
        return _BETWEEN.search(text, max(0, before.first - 20), before.first) is not None
    return _RANGE.fullmatch(between) is not None
