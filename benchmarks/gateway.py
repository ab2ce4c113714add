"""What the gateway adds to a request, beside LiteLLM's proxy and RouteLLM's server in the same run.

    python benchmarks/gateway.py [--litellm BIN] [--routellm PYTHON] [--rounds 3]

A uvicorn server stands for two models and answers at once, whole or as a stream of 50 events. Before it stand in turn,
round by round: nothing; the gateway asked for a model by name; the gateway choosing by a router of one model for all
prompts; by one that looks at the 20 nearest of 2,000 prompts (character n-grams); by name with captures; LiteLLM's
proxy with two deployments; RouteLLM's server with its random router (the others need keys or weights). Latency is of
one client after the other, throughput of eight at once, CPU that of the process in front by /proc. The peers run in
environments of their own: ``--litellm`` names the program, ``--routellm`` the Python; without one, its arm is left out.
Result: benchmarks/results/gateway.json.
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

RESULT = Path(__file__).parent / "results" / "gateway.json"
SERIAL, CLIENTS, SECONDS, EVENTS = 100, 8, 2.0, 50
OURS = ("name", "route", "neighbours", "capture")
HEAD = {"id": "chatcmpl-1", "created": 1795573850, "model": "m"}
PROMPT = "How long does the Nile take from its sources to the sea?"


def whole() -> bytes:
    message = {"role": "assistant", "content": " word" * EVENTS}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": EVENTS, "total_tokens": 20 + EVENTS}
    return json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def events() -> list[bytes]:
    choices = [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}] * EVENTS
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    head = {**HEAD, "object": "chat.completion.chunk"}
    return [f"data: {json.dumps({**head, 'choices': [one]})}\n\n".encode() for one in choices] + [b"data: [DONE]\n\n"]


async def model(scope, receive, send) -> None:
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    is_stream = bool(json.loads(body or b"{}").get("stream"))
    kind = b"text/event-stream" if is_stream else b"application/json"
    parts = events() if is_stream else [whole()]
    headers = [(b"content-type", kind)]
    headers += [] if is_stream else [(b"content-length", str(len(parts[0])).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def write_router(folder: Path, *, neighbours: int | None) -> Path:
    """A router for two models that are asked; a third one is needed to compare without labels."""
    from nilometer.decisions import AnswerTable, fit_router, save_router
    from nilometer.signals import ngram_embeddings

    rng = np.random.default_rng(0)
    words = ["river", "sum", "noun", "city", "year", "metal", "proof", "song", "tax", "leaf"]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(2000)]
    answers = rng.normal(size=(2000, 1, 8)) + rng.normal(size=(2000, 3, 8)) * np.array([0.5, 0.7, 1.5])[:, None]
    table = AnswerTable(models=("small", "large", "third"), embeddings=answers, prompts=ngram_embeddings(texts))
    path = folder / f"router-{neighbours}.nilo"
    save_router(path, fit_router(table, n_neighbors=neighbours))
    return path


def write_config(folder: Path, arm: str, upstream: str) -> Path:
    models = "".join(f'[[models]]\nname = "{name}"\nurl = "{upstream}/v1"\n' for name in ("small", "large"))
    head = f'folder = "{folder / "data"}"\n' if arm == "capture" else ""
    if arm in {"route", "neighbours"}:
        head += f'router = "{write_router(folder, neighbours=20 if arm == "neighbours" else None)}"\n'
    path = folder / f"{arm}.toml"
    path.write_text(head + models)
    return path


def command(arm: str, port: int, *, upstream: str, folder: Path, given: argparse.Namespace) -> list[str]:
    """What starts an arm."""
    if arm == "model":
        return [sys.executable, __file__, "--serve", "--port", str(port)]
    if arm in OURS:
        start = "from nilometer.cli import main; main()"
        return [sys.executable, "-c", start, "gateway", str(write_config(folder, arm, upstream)), "--port", str(port)]
    if arm == "litellm":
        path = folder / "litellm.yaml"
        own = {"model": "openai/m", "api_base": f"{upstream}/v1", "api_key": "x"}
        rows = [{"model_name": "small", "litellm_params": own}] * 2
        path.write_text(json.dumps({"model_list": rows, "litellm_settings": {"telemetry": False}}))
        return [
            given.litellm,
            "--config",
            str(path),
            "--port",
            str(port),
            "--host",
            "127.0.0.1",
            "--telemetry",
            "False",
        ]
    flags = ["--routers", "random", "--strong-model", "openai/m", "--weak-model", "openai/m"]
    flags += ["--base-url", f"{upstream}/v1", "--api-key", "x", "--port", str(port)]
    return [given.routellm, "-m", "routellm.openai_server", *flags]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(arm: str, *, upstream: str, folder: Path, given: argparse.Namespace):
    port = free_port()
    environment = {**os.environ, "OPENAI_API_KEY": "x", "OPENBLAS_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # on loopback, for this run
    started = command(arm, port, upstream=upstream, folder=folder, given=given)
    with (folder / f"{arm}.log").open("w") as log:
        process = subprocess.Popen(started, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(9000):
                with socket.socket() as link:
                    if link.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None:
                    raise RuntimeError(f"{arm} ended: {(folder / f'{arm}.log').read_text()[-2000:]}")
                time.sleep(0.02)
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def cpu(process: subprocess.Popen) -> float:
    ticks = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def asked(arm: str, *, stream: bool) -> dict:
    names = {"route": "nilometer/route", "neighbours": "nilometer/route", "routellm": "router-random-0.5"}
    return {
        "model": names.get(arm, "small"),
        "messages": [{"role": "user", "content": PROMPT}],
        **({"stream": True} if stream else {}),
    }


async def once(client: httpx.AsyncClient, url: str, body: dict) -> float:
    began = time.perf_counter()
    async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
        data = b"".join([part async for part in answer.aiter_raw()])
    if answer.status_code != 200 or b"word" not in data:
        raise RuntimeError(f"{answer.status_code}: {data[:300]!r}")
    return time.perf_counter() - began


async def load(url: str, body: dict, process: subprocess.Popen) -> dict:
    """Latency of one client, throughput and CPU of several."""
    async with httpx.AsyncClient(trust_env=False, timeout=60, verify=False) as client:
        for _ in range(20):
            await once(client, url, body)
        alone = [await once(client, url, body) for _ in range(SERIAL)]
        n, began, before = 0, time.perf_counter(), cpu(process)

        async def work() -> None:
            nonlocal n
            while time.perf_counter() - began < SECONDS:
                await once(client, url, body)
                n += 1

        await asyncio.gather(*(work() for _ in range(CLIENTS)))
        seconds, spent = time.perf_counter() - began, cpu(process) - before
    p50, p99 = np.quantile(alone, (0.5, 0.99))
    return {
        "p50_ms": 1000 * float(p50),
        "p99_ms": 1000 * float(p99),
        "requests_per_s": n / seconds,
        "cpu_ms": 1000 * spent / n,
    }


def main(given: argparse.Namespace) -> None:
    arms = ["direct", *OURS, *(["litellm"] if given.litellm else []), *(["routellm"] if given.routellm else [])]
    found: dict[str, dict[str, list[dict]]] = {arm: {"whole": [], "stream": []} for arm in arms}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running("model", upstream="", folder=folder, given=given) as (server, upstream):
            for _ in range(given.rounds):
                for arm in arms:
                    with (
                        running(arm, upstream=upstream, folder=folder, given=given)
                        if arm != "direct"
                        else same(server, upstream)
                    ) as (process, url):
                        for kind in ("whole", "stream"):
                            body = asked(arm, stream=kind == "stream")
                            found[arm][kind].append(asyncio.run(load(url, body, process)))
                            print(arm, kind, found[arm][kind][-1], file=sys.stderr, flush=True)
    result = summary(found, given)
    finish(result, RESULT, given)


@contextmanager
def same(process: subprocess.Popen, url: str):
    yield process, url


def summary(found: dict, given: argparse.Namespace) -> dict:
    medians = {
        arm: {
            kind: {key: round(float(np.median([one[key] for one in rows])), 2) for key in rows[0]}
            for kind, rows in kinds.items()
        }
        for arm, kinds in found.items()
    }
    added = {
        arm: {kind: round(rows[kind]["p50_ms"] - medians["direct"][kind]["p50_ms"], 2) for kind in rows}
        for arm, rows in medians.items()
        if arm != "direct"
    }
    peers = [arm for arm in ("litellm", "routellm") if arm in medians]
    return {
        "medians_over_rounds": medians,
        "added_p50_ms": added,
        "times_our_cpu": {
            f"{peer}, {kind}": round(medians[peer][kind]["cpu_ms"] / medians["name"][kind]["cpu_ms"], 2)
            for peer in peers
            for kind in ("whole", "stream")
        },
        "rounds": given.rounds,
        "clients": CLIENTS,
        "events_per_stream": EVENTS,
        "versions": {
            **{name: version(name) for name in ("nilometer", "uvicorn", "httpx", "starlette")},
            "litellm": of(given.litellm, "litellm", beside=True),
            "routellm": of(given.routellm, "routellm", beside=False),
        },
        "cores": os.cpu_count(),
        "load_average_at_end": round(os.getloadavg()[0], 2),
    }


def of(program: str | None, package: str, *, beside: bool) -> str | None:
    """Version of a peer in its own environment."""
    if not program:
        return None
    python = Path(program).parent / "python" if beside else Path(program)
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--litellm", help="the program `litellm` of an environment with litellm[proxy]")
    parser.add_argument("--routellm", help="the Python of an environment with routellm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--port", type=int)
    add_check(parser)
    given = parser.parse_args()
    if given.serve:
        import uvicorn

        uvicorn.run(model, port=given.port, log_level="critical", lifespan="off")
    else:
        main(given)
