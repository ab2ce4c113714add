"""Linear algebra on one thread, where the matrices are too small for more."""

from functools import cache
from typing import Any

__all__ = ["one_blas_thread"]


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401 - its library must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def one_blas_thread() -> Any:
    """Limit the linear algebra library to one thread inside a ``with`` block.

    Fits here multiply matrices of a dozen columns: more threads wait for each other longer than they work, ten times
    as long where the other cores are busy or a container's quota is below the cores it sees.

    Examples
    --------
    >>> with one_blas_thread():
    ...     pass
    """
    return _controller().limit(limits=1, user_api="blas")
