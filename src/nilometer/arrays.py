"""Types of arrays: what they hold and, in a signature, their shape: ``Float[Floats, "tokens k"]``.

The shapes are those of jaxtyping. They are checked while the tests run, and cost nothing otherwise: where jaxtyping was
not imported before, ``Float[Floats, "tokens k"]`` is ``Floats``.
"""

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AnyFloats",
    "ArrayLike",
    "Bool",
    "Bools",
    "Float",
    "Floats",
    "Floats32",
    "Int",
    "Ints",
    "Shaped",
    "Strings",
    "Times",
]

AnyFloats = NDArray[np.floating]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints = NDArray[np.int64]

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped
    from numpy.typing import ArrayLike

    Strings = NDArray[np.str_]
    Times = NDArray[np.datetime64]
else:
    ArrayLike = Any  # numpy's own is a protocol that a tuple does not fulfil when it is checked
    Strings = Times = NDArray[Any]  # their kinds come in lengths and units
    if "jaxtyping" in sys.modules:
        import jaxtyping

        class _Checked:
            """A kind of jaxtyping that takes our aliases, which are no classes to it in every version of numpy."""

            def __init__(self, kind):
                self._kind = kind

            def __getitem__(self, item):
                array, shape = item
                return self._kind[array if array is Any else np.ndarray, shape]

        Bool, Float, Int, Shaped = map(_Checked, (jaxtyping.Bool, jaxtyping.Float, jaxtyping.Int, jaxtyping.Shaped))
    else:

        class _Unchecked:
            def __class_getitem__(cls, item):
                return item[0]

        Bool = Float = Int = Shaped = _Unchecked
