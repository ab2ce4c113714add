"""Counting different values at eight bytes each."""

from hypothesis import given, strategies as st

from nilometer.traces.distinct import Distinct

PARTS = st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=12)


@given(PARTS)
def test_it_counts_as_a_set_does(parts):
    seen, known = Distinct(), set()
    for part in parts:
        n_before, n_known = len(known), len(part)
        known |= set(part)
        assert seen.add(part) == n_known - (len(known) - n_before)
    assert seen.n_values == sum(map(len, parts))
    assert seen.n_repeated == seen.n_values - len(known)


@given(PARTS, PARTS)
def test_parts_add_up_to_the_whole(left, right):
    parts = [Distinct(), Distinct(), Distinct()]
    for own, lists in zip(parts, (left, right, left + right), strict=True):
        for values in lists:
            own.add(values)
    parts[0].update(parts[1])
    assert (parts[0].n_values, parts[0].n_repeated) == (parts[2].n_values, parts[2].n_repeated)


def test_it_keeps_eight_bytes_a_value():
    seen = Distinct()
    for start in range(0, 100_000, 1000):
        seen.add(range(start, start + 1000))
    assert sum(run.nbytes for run in seen._runs) == 800_000
    assert len(seen._runs) < 20
