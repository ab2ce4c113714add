import json
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from nilometer.service.capture.strip import EventCutter, strip_body, strip_event

LISTED = '{"content":[{"token":"a\\"logprobs\\": {","logprob":-0.1,"top_logprobs":[]}]}'


@pytest.mark.parametrize("colon", [":", " : ", ":\n  "])
def test_only_the_value_goes_whatever_the_spacing(colon):
    body = f'{{"choices": [ {{"index": 0, "logprobs"{colon}{LISTED} , "x": 1}} ]}}'
    assert strip_body(body.encode()) == body.replace(LISTED, "null").encode()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a":1,"logprobs":%s}', '{"a":1}'),
        ('{"logprobs":%s,"a":1}', '{"a":1}'),
        ('{"logprobs":%s , "a":1}', '{ "a":1}'),
        ('{"logprobs":%s}', "{}"),
        ('{"a":1 , "logprobs": %s, "b":2}', '{"a":1 , "b":2}'),
    ],
)
def test_key_goes_with_its_comma_where_the_server_omits_it(before, after):
    body = f'{{"choices":[{before % LISTED}]}}'
    assert strip_body(body.encode(), null=False) == f'{{"choices":[{after}]}}'.encode()


def test_text_that_looks_like_the_key_stays():
    quoted = '"content":"\\"logprobs\\":{\\"content\\":[]}"'
    body = f'{{"choices":[{{"message":{{{quoted}}},"logprobs":{LISTED}}},{{"message":{{{quoted}}},"logprobs":null}}]}}'
    assert strip_body(body.encode()) == body.replace(LISTED, "null").encode()


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"error":1}', b"\xff", b'{"choices":7}'])
def test_what_is_no_answer_comes_back_as_it_is(body):
    assert strip_body(body) == body
    assert strip_event(b"data: " + body + b"\n\n") == b"data: " + body + b"\n\n"


@pytest.mark.parametrize(
    ("chunk", "kept"),
    [
        ('{"choices":[{"delta":{},"finish_reason":null,"logprobs":null}]}', False),
        ('{"choices":[{"delta":{},"finish_reason":"stop","logprobs":null}]}', True),
        ('{"choices":[{"delta":{},"finish_reason":null,"token_ids":[1]}]}', True),
        ('{"choices":[{"delta":{},"finish_reason":null}],"usage":{"completion_tokens":1}}', True),
        ('{"choices":[],"usage":{"completion_tokens":1}}', True),
        ('{"choices":[{"text":"","finish_reason":null}]}', True),
    ],
)
def test_only_a_chunk_that_says_nothing_is_dropped(chunk, kept):
    event = f"data: {chunk}\n\n".encode()
    assert strip_event(event) == (event if kept else b"")


EVENTS = [b": ping\r\n\r\n", b"event: a\ndata: 1\n\n", b"data: 2\r\r", b"data: 3\r\n\r\n"]


@given(st.lists(st.integers(0, 50), max_size=12))
def test_events_are_the_same_however_the_network_split_them(cuts):
    stream = b"".join(EVENTS) + b"data: rest"
    bounds = sorted({0, len(stream), *[min(cut, len(stream)) for cut in cuts]})
    cutter = EventCutter()
    parts = [stream[a:b] for a, b in pairwise(bounds)]
    assert [event for part in parts for event in cutter.feed(part)] == EVENTS
    assert cutter.rest() == b"data: rest"


TEXTS = st.text(st.sampled_from('"\\{}[],:\n\raé') | st.characters(), max_size=12) | st.sampled_from(
    ['},"', '"logprobs":', ',"finish_reason":', '"delta":{}', "data: "]
)


@st.composite
def _chunks(draw):
    """A chunk as servers write it, with texts that look like its own keys, and members that may follow the list."""
    entry = st.fixed_dictionaries({"token": TEXTS, "top_logprobs": st.lists(st.fixed_dictionaries({"token": TEXTS}))})
    listed = {"content": draw(st.lists(entry, max_size=3)), **draw(st.sampled_from([{}, {"refusal": None}]))}
    choice = {
        "index": 0,
        "delta": draw(st.sampled_from([{}, {"content": "a"}]) | st.fixed_dictionaries({"content": TEXTS})),
        "logprobs": draw(st.just(listed) | st.none()),
        **draw(st.sampled_from([{}, {"stop": {"a": [1]}}, {"logprobs2": {"content": []}}])),
        "finish_reason": draw(st.sampled_from([None, "stop"])),
        **draw(st.sampled_from([{}, {"token_ids": [1]}, {"last": {"logprobs": {"content": []}}}])),
    }
    choices = [choice] * draw(st.integers(1, 2))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    return json.dumps({"id": "x", "choices": choices}, separators=separators, ensure_ascii=draw(st.booleans()))


@given(_chunks(), st.booleans(), st.sampled_from(["\n\n", "\r\n\r\n"]))
def test_chunk_is_stripped_the_same_with_and_without_reading_its_json(chunk, null, blank):
    event = f"data: {chunk}{blank}".encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nilometer.service.capture.strip._without_usual", lambda event, *, null: None)
        read = strip_event(event, null=null)
    assert strip_event(event, null=null) == read


def test_usual_chunk_is_stripped_without_reading_its_json(monkeypatch):
    monkeypatch.setattr("nilometer.service.capture.strip._answer", lambda data: pytest.fail("the JSON was read"))
    event = f'data: {{"choices":[{{"delta":{{"content":"a"}},"logprobs":{LISTED},"finish_reason":null}}]}}\n\n'
    assert strip_event(event.encode()) == event.replace(LISTED, "null").encode()
    assert strip_event(event.encode(), null=False) == event.replace(f'"logprobs":{LISTED},', "").encode()
