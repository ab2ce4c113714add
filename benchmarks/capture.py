"""What the capture costs the serving process, per streamed token and in gaps between tokens.

    python benchmarks/capture.py [--rounds 3]

A uvicorn server streams a recorded answer of vLLM with 20 alternatives a token, asked for or not; it does nothing else.
Five arms in turn, round by round: the server alone; the server asked for log-probabilities by its client; the server
with the capture in its process, which asks, strips and spools; a plain pass-through before the server; and the same
pass-through with the capture. CPU is that of the serving processes by /proc, over the tokens that the clients received.
Gaps are between chunks at 30 streams of 50 tokens a second. LiteLLM's proxy cannot be installed here (two of its
packages are missing), so the peer in the same run is the plain pass-through.
Result: benchmarks/results/capture.json.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
from ratios import add_check, finish

from nilometer.service import Capture, PassThrough, Settings, proxy_app

RESULT = Path(__file__).parent / "results" / "capture.json"
TOKENS, STREAMS, SECONDS = 200, 8, 6
HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1795573850, "model": "m"}


def chunks(*, wants: bool) -> list[bytes]:
    """Events of one answer of 200 tokens."""
    top = [{"token": f" word{i}", "logprob": -0.1 - 0.7 * i, "bytes": [32, 119, 111, 114, 100]} for i in range(20)]
    listed = {"content": [{"token": " word0", "logprob": -0.1, "bytes": [32, 119], "top_logprobs": top}]}
    choice = {"index": 0, "delta": {"content": " word0"}, "logprobs": listed if wants else None, "finish_reason": None}
    event = b"data: " + json.dumps({**HEAD, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"
    return [event] * TOKENS + [b"data: [DONE]\n\n"]


def model_server(pause: float):
    answers = {wants: chunks(wants=wants) for wants in (False, True)}

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for event in answers[b'"top_logprobs"' in body]:
            await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def serve(arm: str, port: int, *, upstream: str, folder: str, pause: float) -> None:
    import uvicorn

    settings = Settings(spool=folder, k=20)
    app = {
        "model": lambda: model_server(pause),
        "capture": lambda: Capture(model_server(pause), settings),
        "pass": lambda: PassThrough(upstream),
        "proxy": lambda: proxy_app(upstream, settings),
    }[arm]()
    uvicorn.run(app, port=port, log_level="critical", lifespan="off")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(arm: str, *, upstream: str = "", folder: str, pause: float):
    port = free_port()
    command = [sys.executable, __file__, "--serve", arm, "--port", str(port), "--upstream", upstream or "http://none"]
    process = subprocess.Popen([*command, "--folder", folder, "--pause", str(pause)])
    try:
        for _ in range(2000):
            with socket.socket() as link:
                if link.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def cpu(process: subprocess.Popen) -> float:
    ticks = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


async def load(url: str, *, asks: bool, streams: int, seconds: float) -> tuple[int, list[float]]:
    """Tokens received and the gaps between chunks, in seconds."""
    body = {"model": "m", "messages": [], "stream": True} | ({"logprobs": True, "top_logprobs": 20} if asks else {})
    n, gaps, deadline = 0, [], time.monotonic() + seconds

    async def stream(client: httpx.AsyncClient) -> None:
        nonlocal n
        while time.monotonic() < deadline:
            async with client.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as answer:
                last = None
                async for part in answer.aiter_raw():
                    now = time.monotonic()
                    n += part.count(b"data: {")
                    if last is not None:
                        gaps.append(now - last)
                    last = now

    async with httpx.AsyncClient(trust_env=False) as client:
        await asyncio.gather(*(stream(client) for _ in range(streams)))
    return n, gaps


def measure(arm: str, folder: str, *, pause: float, streams: int) -> dict:
    """CPU microseconds a token of all serving processes, and gaps."""
    inner = "capture" if arm == "capture" else "model"
    with running(inner, folder=folder, pause=pause) as (process, url):
        if arm in {"pass", "proxy"}:
            with running(arm, upstream=url, folder=folder, pause=pause) as (front, outer):
                return _loaded([process, front], outer, asks=False, streams=streams)
        return _loaded([process], url, asks=arm == "asked", streams=streams)


def _loaded(processes, url: str, *, asks: bool, streams: int) -> dict:
    asyncio.run(load(url, asks=asks, streams=2, seconds=0.5))
    before = sum(map(cpu, processes))
    n, gaps = asyncio.run(load(url, asks=asks, streams=streams, seconds=SECONDS))
    spent = sum(map(cpu, processes)) - before
    return {"us_per_token": 1e6 * spent / n, "gap_ms": [1000 * float(q) for q in np.quantile(gaps, (0.5, 0.99))]}


def main(given: argparse.Namespace) -> None:
    arms = ("model", "asked", "capture", "pass", "proxy")
    costs: dict[str, list[float]] = {arm: [] for arm in arms}
    gaps: dict[str, list[list[float]]] = {arm: [] for arm in arms}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(given.rounds):
            for arm in arms:
                costs[arm].append(measure(arm, folder, pause=0.0, streams=STREAMS)["us_per_token"])
                gaps[arm].append(measure(arm, folder, pause=0.02, streams=30)["gap_ms"])
    median = {arm: round(float(np.median(found)), 1) for arm, found in costs.items()}
    result = {
        "cpu_us_per_token": median,
        "cpu_us_per_token_by_round": {arm: [round(one, 1) for one in found] for arm, found in costs.items()},
        "ratios": {"pass-through over capture, CPU": round(median["pass"] / median["capture"], 3)},
        "capture_over_asked": round(median["capture"] - median["asked"], 1),
        "capture_over_model": round(median["capture"] - median["model"], 1),
        "proxy_over_pass": round(median["proxy"] - median["pass"], 1),
        "gap_ms_p50_p99_at_30_streams": {
            arm: [round(float(x), 1) for x in np.median(np.array(found), axis=0)] for arm, found in gaps.items()
        },
        "bytes_per_token": len(chunks(wants=True)[0]),
        "rounds": given.rounds,
        "versions": {name: version(name) for name in ("nilometer", "uvicorn", "httpx", "msgspec")},
        "cores": os.cpu_count(),
        "load_average_at_end": os.getloadavg()[0],
    }
    finish(result, RESULT, given)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve")
    parser.add_argument("--port", type=int)
    parser.add_argument("--upstream", default="")
    parser.add_argument("--folder", default="")
    parser.add_argument("--pause", type=float, default=0.0)
    add_check(parser)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.port, upstream=given.upstream, folder=given.folder, pause=given.pause)
    else:
        main(given)
