import json

import pytest

from nilometer.traces import traces_from_response


def test_a_list_that_is_not_sorted_keeps_its_first_entry():
    """Only a first entry that is the sampled token itself can be one that the best did not hold."""
    top = [{"token": "b", "logprob": -3.0}, {"token": "a", "logprob": -0.1}]
    content = [{"token": "a", "logprob": -0.1, "top_logprobs": top}]
    choice = {"index": 0, "message": {"content": "a"}, "logprobs": {"content": content}}
    trace = traces_from_response(json.dumps({"choices": [choice]}), trace_id="a")[0]
    assert trace.top_logprobs.tolist() == [pytest.approx([-0.1, -3.0])]
