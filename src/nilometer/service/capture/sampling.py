"""Which requests are captured: a hash against a rate, lowered for slices that bring more than their cap."""

import hashlib
from collections import OrderedDict

__all__ = ["SliceRates", "hash_uniform"]

_HOUR = 3600.0
_MOST_SLICES = 10_000


def hash_uniform(name: str) -> float:
    """Spread a name over [0, 1): the same name gives the same number, on every host.

    Examples
    --------
    >>> hash_uniform("a") == hash_uniform("a"), 0 <= hash_uniform("b") < 1
    (True, True)
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class SliceRates:
    r"""Probability of capture of the next request of a slice.

    .. math:: \pi = \min(r, c / \max(n_{-1}, n + 1))

    with rate ``r``, cap ``c``, requests ``n`` of the slice in this hour so far and ``n_{-1}`` in the hour before. It is
    known before the request is drawn, so weights ``1/π`` stay unbiased, and a slice of N requests an hour brings
    about ``c`` captures, at most ``c (1 + log(N/c))``. Without a cap it is ``r``.
    """

    def __init__(self, rate: float, cap: int) -> None:
        self._rate, self._cap = rate, cap
        self._seen: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def next(self, name: str, now: float) -> float:
        """Count one request of the slice and return its probability of capture, in (0, 1]."""
        if not self._cap:
            return self._rate
        hour = int(now // _HOUR)
        last, before, count = self._seen.pop(name, (hour, 0, 0))
        if last != hour:
            before, count = (count if last == hour - 1 else 0), 0
        count += 1
        self._seen[name] = (hour, before, count)
        if len(self._seen) > _MOST_SLICES:
            self._seen.popitem(last=False)
        return min(self._rate, self._cap / max(before, count))
