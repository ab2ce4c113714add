"""Is an answer that was served whole ever lost when the captured server is killed?

    python studies/live_kills.py [--kills 200]

A uvicorn server with the capture streams recorded answers of vLLM, made unique by their ids, to eight clients at once
and is killed with SIGKILL at a random moment, again and again. An answer counts as served whole when its client read
`data: [DONE]`. Every such id must then stand in a whole frame of the spool. Result: studies/results/live_kills.json.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

import msgspec

from nilometer.service.capture import HEAD_BYTES, Capture, FrameReader, Settings

HERE = Path(__file__).parent
RESULT = HERE / "results" / "live_kills.json"
RECORDED = HERE.parent / "tests" / "traces" / "wire" / "vllm_chat.sse"
SEED, CLIENTS = 20261127, 8
ID = b"chatcmpl-92b63f2a65f55bcc"


def recorded_server(pause: float):
    """Stream the recorded answer under a new id, a pause before each event."""
    events = [event + b"\n\n" for event in RECORDED.read_bytes().split(b"\n\n") if event.strip()]

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        name = f"chatcmpl-{time.time_ns():x}{random.getrandbits(32):08x}".encode()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for event in events:
            await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": event.replace(ID, name), "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


def serve(port: int, folder: str) -> None:
    import uvicorn

    app = Capture(recorded_server(0.001), Settings(spool=folder, k=5))
    uvicorn.run(app, port=port, log_level="critical", lifespan="off")


def client(port: int, served: list[bytes], begun: list[int], stop: threading.Event) -> None:
    """Ask again and again; note the id of every answer whose end was read."""
    body = b'{"model":"m","messages":[{"role":"user","content":"7 + 5?"}],"stream":true}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
                link.sendall(head.encode() + body)
                begun.append(1)
                answer = b""
                while part := link.recv(65536):
                    answer += part
                    if b"data: [DONE]" in answer:
                        served.append(answer[answer.index(b'"id":"') + 6 :].split(b'"')[0])
                        break
        except OSError:
            time.sleep(0.02)


def spooled(folder: Path) -> tuple[dict[str, int], int, int]:
    """Ids in whole frames with how often each occurs, frames, and damaged frames."""
    found: dict[str, int] = {}
    frames = damaged = 0
    for path in folder.glob("*.spool"):
        reader = FrameReader(path.read_bytes()[HEAD_BYTES:])
        for _, frame in reader:
            if frame.outcome == "served":
                name = frame.body[frame.body.index(b'"id":"') + 6 :].split(b'"')[0].decode()
                found[name] = found.get(name, 0) + 1
                frames += 1
        damaged += reader.n_damaged
    return found, frames, damaged


def main(kills: int) -> None:
    rng = random.Random(SEED)
    served: list[bytes] = []
    begun: list[int] = []
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        stop = threading.Event()
        clients = [threading.Thread(target=client, args=(port, served, begun, stop)) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        for _ in range(kills):
            process = subprocess.Popen([sys.executable, __file__, "--serve", str(port), "--folder", folder])
            before = len(served)
            deadline = time.monotonic() + 30
            while len(served) == before and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        stop.set()
        for one in clients:
            one.join()
        found, frames, damaged = spooled(Path(folder))
    whole = {name.decode() for name in served}
    result = {
        "kills": kills,
        "clients": CLIENTS,
        "requests_begun": len(begun),
        "served_whole": len(whole),
        "served_whole_lost": len(whole - set(found)),
        "frames": frames,
        "ids_twice": sum(count > 1 for count in found.values()),
        "damaged_frames": damaged,
        "seed": SEED,
        "versions": {name: version(name) for name in ("nilometer", "msgspec", "uvicorn")}
        | {"python": sys.version.split()[0]},
    }
    RESULT.write_bytes(msgspec.json.format(json.dumps(result).encode(), indent=1) + b"\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--serve", type=int)
    parser.add_argument("--folder")
    given = parser.parse_args()
    serve(given.serve, given.folder) if given.serve else main(given.kills)
