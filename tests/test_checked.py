"""The check of annotations that all other tests run under refuses what the annotations refuse."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

pytest.importorskip("jaxtyping")
roar = pytest.importorskip("beartype.roar")

from checked import SequenceOrArray, checked  # noqa: E402

from nilometer.arrays import Float, Floats  # noqa: E402


@checked
def _first(values: Float[Floats, "n k"], weights: Float[Floats, " n"], *, power: float = 1.0) -> Float[Floats, " k"]:
    return values[0]


@checked
def _of_another_size(values: Float[Floats, " n"]) -> Float[Floats, " n"]:
    return values[1:]


def test_sizes_of_one_call_must_agree_and_calls_are_apart():
    for n, k in ((2, 3), (5, 1)):
        assert _first(np.ones((n, k)), np.ones(n)).shape == (k,)
    with pytest.raises(roar.BeartypeCallHintParamViolation, match="weights"):
        _first(np.ones((2, 3)), np.ones(3))
    with pytest.raises(roar.BeartypeCallHintReturnViolation):
        _of_another_size(np.ones(3))


def test_sizes_inside_a_union_or_a_tuple_are_those_of_the_call():
    @checked
    def both(pair: tuple[Float[Floats, " n"], Float[Floats, " n"]], more: Float[Floats, " n"] | None = None) -> int:
        return len(pair)

    assert both((np.ones(3), np.ones(3))) == both((np.ones(2), np.ones(2)), np.ones(2)) == 2
    with pytest.raises(roar.BeartypeCallHintParamViolation, match="pair"):
        both((np.ones(3), np.ones(2)))
    with pytest.raises(roar.BeartypeCallHintParamViolation, match="more"):
        both((np.ones(3), np.ones(3)), np.ones(2))


def test_kinds_are_checked_and_an_int_is_a_float():
    assert _first(np.ones((2, 3)), np.ones(2), power=2).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(roar.BeartypeCallHintParamViolation, match="power"):
        _first(np.ones((2, 3)), np.ones(2), power="2")
    with pytest.raises(roar.BeartypeCallHintParamViolation, match="values"):
        _first(np.ones((2, 3), dtype=np.int64), np.ones(2))


def test_the_sizes_of_a_call_are_those_from_before_after_a_call_inside():
    @checked
    def outer(values: Float[Floats, " n"]) -> Float[Floats, " n"]:
        _first(np.ones((9, 1)), np.ones(9))
        return values

    assert len(outer(np.ones(4))) == 4


def test_the_words_of_a_function_win():
    @checked
    def guarded(k: int) -> int:
        if not isinstance(k, int):
            raise TypeError("`k` must be an integer")
        return k

    with pytest.raises(TypeError, match="`k` must be an integer"):
        guarded("three")


def test_a_generator_is_checked_when_it_is_made():
    @checked
    def steps(n: int) -> Iterator[int]:
        yield from range(n)

    assert list(steps(2)) == [0, 1]
    with pytest.raises(Exception, match="steps"):
        steps("2")


def test_an_array_passes_for_a_sequence_only_where_it_is_read():
    @checked
    def first(values: SequenceOrArray[float]) -> float:
        return float(values[0])

    @checked
    def given(values: Sequence[float]) -> float:
        return float(values[0])

    assert first(np.array([2.0])) == 2.0
    with pytest.raises(roar.BeartypeCallHintParamViolation):
        given(np.array([2.0]))
