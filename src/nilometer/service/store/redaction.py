"""Taking personal data out of texts before they are stored."""

import importlib
import logging
import re
from collections.abc import Callable

from nilometer.errors import ConfigError

__all__ = ["load_redaction", "redact"]

_log = logging.getLogger("nilometer.redaction")
_FAILED = "[redaction failed]"

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_KEY = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghs|github_pat|glpat|xox[abprs]|hf|nilo)[-_][\w-]{16,}\b|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=Bearer )[\w.~+/-]{16,}=*",
    re.DOTALL,
)
_CARD = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]?\d)")
_PHONE = re.compile(r"(?<![\w.,/-])(?:\+\d{1,3}[ .-]?|\(?0)\(?\d(?:[\d ().-]{5,16})\d(?![\w])")


def redact(text: str) -> str:
    """Replace keys, e-mail addresses, payment cards and phone numbers by their kind in square brackets.

    Cards are numbers of 13 to 19 digits with a right check digit (Luhn); phones start with + or 0. Patterns miss
    what people write in other ways and names altogether, so a hook of your own goes behind them; see
    :func:`load_redaction`.

    Examples
    --------
    >>> redact("Ann, ann@example.org, +49 30 1234567, card 4111 1111 1111 1111")
    'Ann, [email], [phone], card [card]'
    """
    text = _KEY.sub("[key]", text)
    text = _EMAIL.sub("[email]", text)
    text = _CARD.sub(lambda found: "[card]" if _has_check_digit(found.group()) else found.group(), text)
    return _PHONE.sub(lambda found: "[phone]" if _digits(found.group()) >= 8 else found.group(), text)


def load_redaction(hook: str | None) -> Callable[[str], str]:
    """Return the built-in redaction, followed by a function ``module:function`` from text to text.

    Where the function fails, the text becomes ``[redaction failed]``, and the error is logged without the text.

    Raises
    ------
    ConfigError
        If the function cannot be found.
    """
    if hook is None:
        return redact
    module, _, name = hook.partition(":")
    try:
        own = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise ConfigError(f"`redact` must name a function as module:function, got {hook!r} ({exc}).") from exc

    def both(text: str) -> str:
        try:
            return str(own(redact(text)))
        except Exception as exc:  # noqa: BLE001 - a text that cannot be redacted must not be stored
            _log.warning("the redaction %s failed (%s).", hook, type(exc).__name__)
            return _FAILED

    return both


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)


def _has_check_digit(text: str) -> bool:
    digits = [int(char) for char in reversed(text) if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
