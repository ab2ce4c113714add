"""Label 1,000 answers as two people in two browsers, and let schemathesis attack the documented interface.

    uv run --with playwright --with schemathesis python scripts/try_console.py [--labels 1000] [--examples 40]

A server of its own on this machine, with tokens. Two people sign in and press keys in Chromium; the server is killed
three times in the middle and started again. Then every key must stand in the log once, as it was pressed, and the
chances of the plan must add up. Schemathesis then sends requests from /openapi.json as an admin, as one who labels and
as nobody: an answer of 500 or above, or one that its document does not know, is a fault. Result:
scripts/results/console.json.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import httpx

from nilometer.estimators import Sentinel, save_sentinel
from nilometer.service import Store, make_token, open_database
from nilometer.service.capture import Capture, Settings
from nilometer.service.demo.replay import ReplayServer
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces

RESULT = Path(__file__).parent / "results" / "console.json"
SEED, KILLS, PLAN = 20261128, 3, "keys"
KEYS = {"c": ("label", 1.0), "w": ("label", 0.0), "5": ("label", 0.5), "s": ("skip", None)}
IS_NEXT = """name => !document.querySelector('.labeller')?.dataset.busy
    && document.querySelector('[name=trace_id]')?.value !== name"""
ROLES = ("admin", "label", "nobody")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--examples", type=int, default=40, help="requests per operation and role")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        tokens = make_store(folder, n=options.labels + 200)
        with Server(folder) as server:
            found = {
                "labelling": label_session(server, folder, tokens, n=options.labels),
                "schemathesis": {role: attack(server, tokens.get(role), options.examples) for role in ROLES},
            }
    found["versions"] = {one: version(one) for one in ("nilometer", "schemathesis", "playwright")}
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def make_store(folder: Path, *, n: int) -> dict[str, str]:
    """A store with n captured answers of the last hours and their texts; a token for each person."""
    traces = read_traces(corpus_path("gemma3")).read_all()
    profiles, domains = profile_traces(traces), [dict(row)["domain"] for row in traces["attributes"].to_pylist()]
    asyncio.run(capture(traces, domains, folder / "spool", n))
    sentinel = Sentinel(bootstraps=0).fit(profiles, profiles["correct"].to_numpy(), groups=domains)
    save_sentinel(folder / "sentinel.parquet", sentinel)
    store = Store(folder, keys=("domain",), sentinel=sentinel)
    while store.step():
        pass
    store.close()
    connection = open_database(folder / "nilometer.db")
    people = {"admin": "admin", "ann": "label", "ben": "label", "label": "label"}
    tokens = {who: make_token(connection, role=role, name=who) for who, role in people.items()}
    connection.close()
    return tokens


async def capture(traces, domains: list[str], spool: Path, n: int) -> None:
    """Ask a server that replays the corpus, through the capture, with texts kept."""
    app = Capture(ReplayServer(traces), Settings(spool=str(spool), k=5, texts=True))
    prompts = traces["prompt"].to_pylist()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://model") as client:
        for i in range(n):
            place = (7 * i) % len(prompts)
            body = {"model": "m", "messages": [{"role": "user", "content": prompts[place]}]}
            headers = {"x-nilometer-domain": domains[place]}
            (await client.post("/v1/chat/completions", json=body, headers=headers)).raise_for_status()
    app.spool.close()


class Server:
    """``nilometer serve`` as a process that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url, self._folder = f"http://127.0.0.1:{self.port}", folder

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()

    def start(self) -> None:
        command = [sys.executable, "-m", "nilometer", "serve", self._folder, "--by", "domain", "--port", str(self.port)]
        self.process = subprocess.Popen(command)
        for _ in range(900):
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/healthz")
                return
            time.sleep(0.1)
        raise SystemExit("the server does not answer")

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.start()


def label_session(server: Server, folder: Path, tokens: dict[str, str], *, n: int) -> dict:
    """Two people press n keys between them; what the log must then hold."""
    from playwright.sync_api import sync_playwright

    budget = {"name": PLAN, "key": "domain", "hours": 48, "budget": int(n / 1.12), "double_share": 0.1}
    admin = {"authorization": f"Bearer {tokens['admin']}"}
    made = httpx.post(f"{server.url}/plans/make", json=budget, headers=admin, timeout=60).raise_for_status().json()
    rng, pressed, times = random.Random(SEED), {}, []
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        pages = {who: sign_in(browser, server.url, tokens[who]) for who in ("ann", "ben")}
        kills = sorted(rng.sample(range(n // 10, n - n // 10), KILLS))
        while pages and len(pressed) < 3 * n:
            for who, page in list(pages.items()):
                if kills and len(pressed) >= kills[0]:
                    server.kill()
                    kills.pop(0)
                if page.locator("[name=trace_id]").count() == 0:
                    del pages[who]
                    continue
                name, key = page.locator("[name=trace_id]").input_value(), rng.choices("cw5s", (60, 30, 5, 5))[0]
                if (who, name) in pressed:
                    raise SystemExit(f"{who} was shown {name} twice")
                pressed[who, name], begun = key, time.perf_counter()
                page.keyboard.press(key)
                page.wait_for_function(IS_NEXT, arg=name, timeout=120_000)
                times.append(time.perf_counter() - begun)
        browser.close()
    results = httpx.get(f"{server.url}/api/plans?plan={PLAN}", headers=admin, timeout=60).json()
    return compare(folder, pressed, results) | {
        "planned": made["n_items"],
        "kills": KILLS,
        "median_seconds_to_next": round(statistics.median(times), 3),
    }


def sign_in(browser, url: str, token: str):
    page = browser.new_context().new_page()
    page.goto(f"{url}/login?to=/label%3Fplan%3D{PLAN}")
    page.locator("[name=token]").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_selector("[name=trace_id]", state="attached")
    return page


def compare(folder: Path, pressed: dict[tuple[str, str], str], results: dict) -> dict:
    """Keys and log line by line; labels in the store; chances of the plan against the sizes of its strata."""
    connection = open_database(folder / "nilometer.db")
    log = connection.execute("SELECT who, trace_id, act, after FROM label_events").fetchall()
    planned = [json.loads(text) for (text,) in connection.execute("SELECT planned FROM plan_items")]
    labels = connection.execute("SELECT count(*) FROM labels WHERE source = 'human'").fetchone()[0]
    connection.close()
    said = {(who, name): (act, after) for who, name, act, after in log}
    strata = Counter((one["slice"], one["stratum"]) for one in planned)
    wrong = sum(
        abs(one["inclusion_probability"] * one["stratum_size"] - strata[one["slice"], one["stratum"]]) > 1e-9
        for one in planned
    )
    return {
        "keys": len(pressed),
        "people": len({who for who, _ in pressed}),
        "lines_of_the_log": len(log),
        "lost": sum(one not in said for one in pressed),
        "different": sum(said.get(one) != KEYS[key] for one, key in pressed.items()),
        "twice": len(log) - len(said),
        "labels_in_the_store": labels,
        "two_people_read": sum(count > 1 for count in Counter(name for _, name in pressed).values()),
        "agreement": results["agreement"],
        "responses_whose_chance_is_not_n_over_N": wrong,
    }


def attack(server: Server, token: str | None, examples: int) -> dict:
    """Run schemathesis on every documented operation; what it reports."""
    command = [
        "schemathesis",
        "run",
        f"{server.url}/openapi.json",
        "--checks",
        "not_a_server_error,status_code_conformance",
    ]
    command += ["--max-examples", str(examples), "--seed", str(SEED), "--phases", "examples,coverage,fuzzing"]
    command += ["--header", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tempfile.gettempdir())
    counts = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    tested = re.search(r"Tested: (\d+)", done.stdout)
    if counts is None or tested is None:
        raise SystemExit(f"schemathesis said {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {
        "operations": int(tested[1]),
        "requests": int(counts[1]),
        "passed": int(counts[2]),
        "exit": done.returncode,
    }


if __name__ == "__main__":
    main()
