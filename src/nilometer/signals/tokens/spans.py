r"""Where in a response its answer proper stands."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nilometer.arrays import Bools, Ints

__all__ = ["boxed_tokens"]

_OPEN = "\\boxed{"


def boxed_tokens(batch: pa.RecordBatch, offsets: Ints) -> Bools | None:
    r"""Mark the tokens inside the last ``\boxed{...}`` of each response.

    A token that only partly lies inside counts; the braces themselves do not. None where no response of the
    batch has one, or none has its tokens.

    Parameters
    ----------
    batch
        Traces with ``tokens`` and ``answer``.
    offsets
        Shape (responses + 1,), of the tokens with log-probabilities.

    Examples
    --------
    >>> row = {"answer": "So \\boxed{42}.", "tokens": ["So ", "\\boxed", "{", "42", "}", "."]}
    >>> boxed_tokens(pa.RecordBatch.from_pylist([row]), np.array([0, 6])).tolist()
    [False, False, False, True, False, False]
    """
    holds = pc.fill_null(pc.match_substring(batch.column("answer"), _OPEN), False)
    if not pc.any(holds).as_py():
        return None
    mask = np.zeros(int(offsets[-1]), dtype=bool)
    tokens = batch.column("tokens")
    for row in np.flatnonzero(holds.to_numpy(zero_copy_only=False)):
        own = tokens[int(row)].as_py()
        if own is not None and len(own) == offsets[row + 1] - offsets[row]:
            mask[offsets[row] : offsets[row + 1]] = _inside("".join(own), own)
    return mask if mask.any() else None


def _inside(text: str, tokens: list[str]) -> Bools:
    start = text.rfind(_OPEN) + len(_OPEN)
    if start < len(_OPEN):
        return np.zeros(len(tokens), dtype=bool)
    depth, end = 1, start
    while end < len(text) and depth:
        depth += (text[end] == "{") - (text[end] == "}")
        end += 1
    ends = np.cumsum([len(token) for token in tokens])
    begins = ends - [len(token) for token in tokens]
    return np.asarray((ends > start) & (begins < end - (depth == 0)))
