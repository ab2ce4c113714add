"""Traffic for the toy server, and everything of the demonstration running together until it is over."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from ..capture import Capture, Settings
from ..store import LabelIn, Store
from .replay import ReplayServer

if TYPE_CHECKING:
    import httpx

__all__ = ["Traffic", "run_demo"]

_MOST_OPEN = 50


class Traffic(NamedTuple):
    """What is asked, how fast, and what changes."""

    rows: pa.Table
    """Traces with ``prompt``, ``correct`` and the attribute ``domain``."""
    rate: float
    """Requests a second."""
    drift_after: float
    """Seconds until one slice brings only prompts that the model answered wrongly."""
    drift_slice: str
    seconds: float
    """Until all is over."""
    seed: int = 0
    labelled: float = 0.05
    """Share of the answers that are labelled, at random."""


async def run_demo(traffic: Traffic, store: Store, app: Any, *, port: int, tell: Callable[[str], None]) -> int:
    """Run the toy server behind a capture, the store's own server and the traffic; how many requests were answered.

    ``app`` serves the store. Both servers listen on loopback, the toy one on the port behind ``port``. Cancelling the
    task, as Ctrl-C does, stops everything and leaves the store whole.
    """
    settings = Settings(spool=str(store.spool), logprobs_mode="raw")
    toy = Capture(ReplayServer(traffic.rows, seed=traffic.seed), settings)
    try:
        async with _served(app, port) as url, _served(toy, port + 1 if port else 0) as model:
            tell(f"{url} shows the estimates; {model}/v1 is a toy model server with the capture around it.")
            return await _send(traffic, store, model, tell=tell)
    finally:
        toy.spool.close()


@asynccontextmanager
async def _served(app: Any, port: int) -> AsyncIterator[str]:
    import uvicorn

    config = uvicorn.Config(app, port=port, log_level="error", access_log=False, lifespan="auto")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    try:
        while not server.started and not running.done():
            await asyncio.sleep(0.02)
        if running.done():
            running.result()
            raise OSError(f"nothing can listen on port {port}.")
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        with suppress(SystemExit):
            await running


async def _send(traffic: Traffic, store: Store, url: str, *, tell: Callable[[str], None]) -> int:
    import httpx

    rng = np.random.default_rng(traffic.seed)
    rows = traffic.rows.select(["prompt", "correct", "attributes"]).to_pylist()
    domains = [dict(row["attributes"])["domain"] for row in rows]
    own = [i for i, name in enumerate(domains) if name == traffic.drift_slice]
    wrong = [i for i in own if not rows[i]["correct"]] or own
    start = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()
    drifted, n = False, 0
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as client:
        try:
            while (now := time.monotonic() - start) < traffic.seconds:
                row = int(rng.integers(len(rows)))
                if now >= traffic.drift_after and not drifted:
                    drifted = True
                    tell(f"From now on `{traffic.drift_slice}` brings only prompts that the model answers wrongly.")
                if drifted and domains[row] == traffic.drift_slice:
                    row = wrong[int(rng.integers(len(wrong)))]
                is_labelled = rng.random() < traffic.labelled
                tasks.add(asyncio.create_task(_ask(client, store, rows[row], number=n, is_labelled=is_labelled)))
                n += 1
                if len(tasks) >= _MOST_OPEN:
                    tasks = (await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))[1]
                await asyncio.sleep(max(n / traffic.rate - (time.monotonic() - start), 0))
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return n


async def _ask(
    client: "httpx.AsyncClient", store: Store, row: dict[str, Any], *, number: int, is_labelled: bool
) -> None:
    """Ask one prompt, every other time as a stream, and label the answer as a reviewer would, if at all."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": row["prompt"]}],
        "metadata": {"domain": dict(row["attributes"])["domain"]},
        "stream": bool(number % 2),
    }
    answer = await client.post("/v1/chat/completions", json=body)
    text = answer.text.partition("\n")[0].removeprefix("data: ") if number % 2 else answer.text
    if is_labelled:
        label = LabelIn(json.loads(text)["id"], bool(row["correct"]), source="demo", is_random=True)
        await asyncio.to_thread(store.add_labels, [label], who="demo")
