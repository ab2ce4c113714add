"""Does `nilometer serve` keep up for an hour, and does its memory stay flat?

    python studies/serve_hour.py [--minutes 60] [--rate 300]

One process writes frames to the spool as a capture does, at `--rate` requests a second, from recorded responses of the
specialist corpus under the names of their slices; `nilometer serve` with a sentinel runs beside it. Every ten seconds
the memory of the server, its CPU time, the bytes that wait in the spool and the requests it has committed are noted in
studies/results/serve_hour.jsonl, so that a run that was cut short has its rows. At the end the server is interrupted,
the store is compared with what was written, and studies/results/serve_hour.json is made. The folder is temporary; with
`--folder` it stays for a look afterwards.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

import numpy as np

from nilometer.estimators import Sentinel, save_sentinel
from nilometer.service import Frame, Spool, check_store, open_database
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

RESULTS = Path(__file__).parent / "results"
ROWS, RESULT = RESULTS / "serve_hour.jsonl", RESULTS / "serve_hour.json"
N_ANSWERS, EVERY = 2000, 10.0


def corpus(folder: Path) -> list[Frame]:
    """Frames of recorded responses, and a sentinel in the folder that was fitted on them."""
    traces = read_traces(corpus_path("specialist")).read_all()
    profiles = profile_traces(traces.to_batches())
    names = slice_names(profiles, ["domain", "level"]).to_pylist()
    sentinel = Sentinel(bootstraps=0).fit(profiles, profiles["correct"].to_numpy(), groups=names)
    save_sentinel(folder / "fitted.parquet", sentinel)
    chosen = np.random.default_rng(0).choice(traces.num_rows, N_ANSWERS, replace=False)
    rows = traces.take(chosen).to_pylist()
    return [frame(row, names[i]) for row, i in zip(rows, chosen, strict=True)]


def frame(row: dict, name: str) -> Frame:
    """The frame that a capture would have written of a recorded response; its id stands in the body as ID."""
    top = np.array(row["top_logprobs"], dtype=np.float64).reshape(-1, row["k"])
    content = [
        {
            "token": token,
            "logprob": chosen,
            "bytes": list(token.encode()),
            "top_logprobs": [{"token": f"t{i}", "logprob": v, "bytes": [116]} for i, v in enumerate(values) if v == v],
        }
        for token, chosen, values in zip(row["tokens"], row["chosen_logprobs"], top.tolist(), strict=True)
    ]
    message = {"role": "assistant", "content": row["answer"]}
    choice = {"index": 0, "message": message, "finish_reason": row["finish_reason"], "logprobs": {"content": content}}
    body = {"id": "ID", "object": "chat.completion", "model": row["model"], "choices": [choice]}
    return Frame(
        id="",
        time=0,
        outcome="served",
        model=row["model"],
        k=row["k"],
        logprobs_mode=row["logprobs_mode"],
        temperature=row["temperature"],
        attributes={"slice": name},
        body=json.dumps(body).encode(),
    )


def write(spool: Spool, frames: list[Frame], n: int) -> None:
    """Write one request under a name of its own."""
    found = frames[n % len(frames)]
    found.id, found.time = f"r{n}", time.time_ns() // 1000
    body, found.body = found.body, found.body.replace(b'"ID"', f'"c{n}"'.encode(), 1)
    spool.write(found)
    found.body = body


def serve(folder: Path) -> tuple[subprocess.Popen, str]:
    code = "from nilometer.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(folder), "--by", "slice", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--sentinel", str(folder / "fitted.parquet")], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if found := re.search(r"running on (http://[\d.:]+)", line):
            return process, found.group(1)
    raise SystemExit("the server did not start")


def sample(process: subprocess.Popen, url: str, *, n: int, begun: float) -> dict:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    ticks = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    begun_asking = time.monotonic()
    with urllib.request.urlopen(f"{url}/api/health", timeout=60) as answer:
        health = json.load(answer)
    return {
        "seconds": round(time.time() - begun, 1),
        "written": n,
        "committed": health["requests_committed"],
        "waiting_bytes": health["spool_bytes_waiting"],
        "lag_seconds": round(health["lag_seconds"], 2),
        "rss_mb": int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) // 1024,
        "cpu_seconds": (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
        "health_ms": round(1000 * (time.monotonic() - begun_asking)),
        "problems": health["problems"],
    }


def run(folder: Path, *, minutes: float, rate: float) -> dict:
    folder.mkdir(parents=True, exist_ok=True)
    frames = corpus(folder)
    process, url = serve(folder)
    spool, begun, n, noted = Spool(folder / "spool"), time.time(), 0, 0.0
    rows: list[dict] = []
    with ROWS.open("w", encoding="utf-8") as file:
        while (passed := time.time() - begun) < 60 * minutes:
            while n < passed * rate:
                write(spool, frames, n)
                n += 1
            if passed - noted >= EVERY:
                noted = passed
                rows.append(sample(process, url, n=n, begun=begun))
                file.write(json.dumps(rows[-1]) + "\n")
                file.flush()
            time.sleep(0.005)
    spool.close()
    deadline = time.time() + 600
    while (last := sample(process, url, n=n, begun=begun))["committed"] < n and time.time() < deadline:
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    connection = open_database(folder / "nilometer.db")
    found = check_store(connection, folder)
    half = rows[len(rows) // 2 :]
    early = next(row["rss_mb"] for row in rows if row["seconds"] >= min(60, 30 * minutes))
    lags = [row["lag_seconds"] for row in rows]
    return {
        "minutes": minutes,
        "rate_asked": rate,
        "rate_written": round(n / (60 * minutes), 1),
        "requests_written": n,
        "responses_in_store": found.n_responses,
        "files_damaged": len(found.damaged),
        "seconds_to_drain_at_the_end": round(last["seconds"] - 60 * minutes, 1),
        "rss_mb": {"after_a_minute": early, "end": rows[-1]["rss_mb"]},
        "rss_mb_slope_per_minute_second_half": round(
            float(np.polyfit([r["seconds"] / 60 for r in half], [r["rss_mb"] for r in half], 1)[0]), 2
        ),
        "lag_seconds": {"median": float(np.median(lags)), "most": max(lags)},
        "server_cpu_seconds_per_1000_responses": round(1000 * last["cpu_seconds"] / max(last["committed"], 1), 2),
        "tokens_per_response": round(float(np.mean([f.body.count(b'"top_logprobs"') for f in frames])), 1),
        "profile_bytes_per_response": round(found.n_bytes / max(found.n_responses, 1)),
        "database_mb": round((folder / "nilometer.db").stat().st_size / 1e6, 1),
        "problems": last["problems"],
        "versions": {"nilometer": version("nilometer"), "python": sys.version.split()[0]},
        "cores": os.cpu_count(),
        "load_average_at_end": os.getloadavg()[0],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        result = run(given.folder or Path(temporary), minutes=given.minutes, rate=given.rate)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
