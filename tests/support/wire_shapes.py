"""One answer of three tokens in every shape in which servers and tools write it, whole and in pieces."""

import json
import math

import numpy as np

from nilometer.traces import Layout, read_traces

__all__ = [
    "ANSWER",
    "CHOSEN",
    "COHERE",
    "CONTENT",
    "GEMINI",
    "LEGACY",
    "LISTED",
    "OTHER",
    "TOKENS",
    "TOKEN_LIST",
    "TRIPLES",
    "chat",
    "check_row",
    "chunk",
    "gemini",
    "lines",
    "one_of",
    "rows_of",
    "sse",
    "start",
    "stream",
    "text",
]

TOKENS = ["The", " lamp", " is"]
CHOSEN = [-0.1, -0.2, -0.3]
OTHER = [-2.5, -2.6, -2.7]
OTHERS = [" x", " y", " z"]
ANSWER = "".join(TOKENS)
ROWS = list(zip(TOKENS, CHOSEN, OTHERS, OTHER, strict=True))
TOKEN_LIST = [
    {"token": t, "logprob": p, "bytes": None, "top_logprobs": [{"token": t, "logprob": p}, {"token": o, "logprob": q}]}
    for t, p, o, q in ROWS
]
CONTENT = {"content": TOKEN_LIST}
LEGACY = {"tokens": TOKENS, "token_logprobs": CHOSEN, "top_logprobs": [{t: p, o: q} for t, p, o, q in ROWS]}
TRIPLES = {
    "output_token_logprobs": [[p, 1, t] for t, p, _, _ in ROWS],
    "output_top_logprobs": [[[p, 1, t], [q, 9, o]] for t, p, o, q in ROWS],
}
DETAILS = {
    "tokens": [{"id": 1, "text": t, "logprob": p, "special": False} for t, p, _, _ in ROWS],
    "top_tokens": [[{"text": t, "logprob": p}, {"text": o, "logprob": q}] for t, p, o, q in ROWS],
}
GEMINI = {
    "chosenCandidates": [{"token": t, "tokenId": 1, "logProbability": p} for t, p, _, _ in ROWS],
    "topCandidates": [
        {"candidates": [{"token": t, "logProbability": p}, {"token": o, "logProbability": q}]} for t, p, o, q in ROWS
    ],
}
LINEAR = [
    {
        "token": t,
        "prob": math.exp(p),
        "top_probs": [{"token": t, "prob": math.exp(p)}, {"token": o, "prob": math.exp(q)}],
    }
    for t, p, o, q in ROWS
]
LISTED = {
    "content list": CONTENT,
    "arrays": LEGACY,
    "list": TOKEN_LIST,
    "candidates": GEMINI,
    "details": DETAILS,
    "triples": TRIPLES,
    "linear": LINEAR,
}
"""The log-probabilities of the answer in every shape."""
COHERE = [{"text": t, "token_ids": [1], "logprobs": [p]} for t, p, _, _ in ROWS]


def chat(listed=CONTENT, *, choice=None, **more):
    """Return a chat completion; `choice` replaces fields of the choice."""
    own = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "logprobs": listed, "finish_reason": "stop"}
    head = {"id": "c1", "object": "chat.completion", "created": 1700000000, "model": "m"}
    return {**head, "choices": [{**own, **(choice or {})}], "usage": {"completion_tokens": 3}, **more}


def text(listed=LEGACY, **more):
    """Return a text completion."""
    own = {"index": 0, "text": ANSWER, "logprobs": listed, "finish_reason": "length"}
    return {"id": "c1", "object": "text_completion", "created": 1700000000, "model": "m", "choices": [own], **more}


def gemini(place=None, **more):
    """Return an answer of Gemini, or one piece of a streamed one."""
    listed = GEMINI if place is None else {name: [values[place]] for name, values in GEMINI.items()}
    said = ANSWER if place is None else TOKENS[place]
    candidate = {"content": {"parts": [{"text": said}], "role": "model"}, "index": 0, "logprobsResult": listed}
    if place in (None, 2):
        candidate["finishReason"] = "STOP"
    return {"candidates": [candidate], "modelVersion": "g", "responseId": "R", **more}


def chunk(place=None, *, id="a", index=0, finish=None, listed=..., delta=None, **more):
    """Return one chunk of a streamed chat completion: token number `place`, or nothing but the end."""
    own = {"content": [TOKEN_LIST[place]]} if listed is ... and place is not None else None if listed is ... else listed
    said = {} if place is None else {"content": TOKENS[place]}
    choice = {"index": index, "delta": {**said, **(delta or {})}, "finish_reason": finish, "logprobs": own}
    return {"id": id, "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def start(**options):
    """Return the chunk that announces an answer."""
    return chunk(delta={"role": "assistant", "content": ""}, **options)


def stream(**options):
    """Return all chunks of an answer."""
    return [start(**options), *(chunk(i, **options) for i in range(3)), chunk(finish="stop", **options)]


def sse(events, *, done=True, end="\n"):
    """Write server-sent events."""
    body = "".join(f"data: {json.dumps(event)}{end}{end}" for event in events)
    return body + (f"data: [DONE]{end}{end}" if done else "")


def lines(values):
    """Write JSON lines; a text stands as it is."""
    return "".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values)


def rows_of(tmp_path, data, name="t.jsonl", **layout):
    """Read a file; every line must be counted once."""
    file = tmp_path / name
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    found = read_traces(file, keep=["top_tokens"], format=Layout(**layout) if layout else None)
    rows = found.read_all().to_pylist()
    report = found.report.files[0]
    assert report.n_lines == report.n_read + report.n_skipped + report.n_bad + report.n_lost
    return rows, found.report


def check_row(row, *, k=2, tokens=TOKENS):
    """Compare a trace with the answer, number by number."""
    assert (row["answer"], row["n_tokens"], row["k"], row["tokens"]) == (ANSWER, 3, k, tokens)
    np.testing.assert_allclose(row["chosen_logprobs"], CHOSEN, atol=1e-5)
    if k:
        np.testing.assert_allclose(np.reshape(row["top_logprobs"], (3, 2)), np.c_[CHOSEN, OTHER], atol=1e-5)
    if k and tokens:
        assert row["top_tokens"][::2] == TOKENS


def one_of(tmp_path, data, name="t.jsonl", **layout):
    """Read the only response of a file."""
    rows, report = rows_of(tmp_path, data, name, **layout)
    assert (len(rows), report.n_bad) == (1, 0), report.bad_lines
    return rows[0]
