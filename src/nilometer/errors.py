"""Every exception that nilometer raises on purpose.

::

    NilometerError
    ├── TraceFormatError (ValueError)       a file or line is not what its format says
    ├── MissingLogprobsError (ValueError)   there is nothing to compute a signal from
    ├── IncompatibleModelError (ValueError) a saved sentinel and the data do not fit together
    ├── ConfigError (ValueError)            options contradict each other or name nothing known
    └── NotEnoughDataError (ValueError)     a fit is impossible; `.reason` and `.needed` say why and what would do

Bad arguments of pure functions are plain ``ValueError`` or ``TypeError``.
"""

__all__ = [
    "ConfigError",
    "IncompatibleModelError",
    "MissingLogprobsError",
    "NilometerError",
    "NotEnoughDataError",
    "TraceFormatError",
]


class NilometerError(Exception):
    """Base of every exception that nilometer raises on purpose."""


class TraceFormatError(NilometerError, ValueError):
    """A file or a line is not what its format says; the message starts with ``file:line:``."""


class MissingLogprobsError(NilometerError, ValueError):
    """No response carries the log-probabilities that the asked quantity needs."""


class IncompatibleModelError(NilometerError, ValueError):
    """A saved sentinel and the data differ in k, logprobs mode, features or format version."""


class ConfigError(NilometerError, ValueError):
    """Options contradict each other or name nothing known."""


class NotEnoughDataError(NilometerError, ValueError):
    """A fit is impossible with this data.

    Parameters
    ----------
    reason
        Why, in one sentence.
    needed
        What would make it possible.
    """

    def __init__(self, reason: str, needed: str) -> None:
        super().__init__(f"{reason} {needed}")
        self.reason = reason
        self.needed = needed
