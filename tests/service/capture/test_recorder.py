"""What is remembered between a request and its answer."""

from nilometer.service.capture.recorder import OpenRequests


def test_the_oldest_requests_without_an_answer_are_forgotten():
    kept = OpenRequests()
    for i in range(10_001):
        kept.put(i, i)
    assert (kept.take(0), kept.take(1), kept.take(10_000)) == (None, 1, 10_000)
    assert kept.take(1) is None
