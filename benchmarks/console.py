"""How long the overview takes with 5,000 slices and 30 days of hourly sums.

    python benchmarks/console.py [--check FILE]

A store gets hourly sums of 5,000 slices under a sentinel of the recorded corpus: each slice has traffic in 60 of the
720 hours, 300,000 rows of sums in all, copied from real sums of the corpus. The application runs in this process and is
asked through its own interface, one request at a time: the first overview after a start, which reads and estimates
everything, then 50 pages with changing search, sorting and page, which read what is kept. The peer is SQLite alone: one
query that adds up the hourly rows by slice, which a page that keeps nothing would have to wait for each time.
Result: benchmarks/results/console.json.
"""

import argparse
import asyncio
import os
import platform
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from ratios import add_check, finish

from nilometer.estimators import Sentinel
from nilometer.service import Access, Store, Worker, serve_app
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces

RESULT = Path(__file__).parent / "results" / "console.json"
SLICES, HOURS, ACTIVE, PAGES = 5000, 720, 60, 50
QUERIES = ("", "&sort=-accuracy", "&q=tenant-1", "&page=40", "&state=unknown", "&sort=change&page=3")


def fill(store: Store, sentinel: Sentinel, profiles, domains) -> int:
    """Hourly sums of many slices; how many rows."""
    summed = sentinel.sum_up(profiles, domains)
    rng, now = np.random.default_rng(0), int(time.time() // 3600)
    sums, moments, requests = [], [], []
    for i in range(SLICES):
        name, values = f"tenant-{i:04d}", summed.values[i % len(summed.slices)]
        n = float(summed.column("n")[i % len(summed.slices)]) if "n" in summed.columns else 100.0
        for hour in (now - rng.choice(HOURS, ACTIVE, replace=False)).tolist():
            sums.append((summed.key, "tenant", hour, name, "gemma3", "", 20, "raw", values.tobytes()))
            moments.append((summed.key, "tenant", name, "gemma3", hour, n, 0.5 * n, 0.3 * n, n))
            requests.append((hour, "gemma3", "tenant", name, "scored", int(n)))
    with store.writing() as connection:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO sums VALUES (?,?,?,?,?,?,?,?,?)", sums)
        connection.executemany(
            "INSERT INTO moments (sentinel, slice_key, slice, model, hour, n, p, p2, w2) VALUES (?,?,?,?,?,?,?,?,?)",
            moments,
        )
        connection.executemany("INSERT INTO requests VALUES (?,?,?,?,?,?)", requests)
        connection.execute("COMMIT")
    return len(sums)


async def measure(app) -> tuple[float, list[float]]:
    """Seconds of the first page, and of the others."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=600) as client:
        times = []
        for i in range(PAGES + 1):
            began = time.perf_counter()
            answer = await client.get(f"/?key=tenant&hours={HOURS}{QUERIES[i % len(QUERIES)]}")
            times.append(time.perf_counter() - began)
            answer.raise_for_status()
        return times[0], times[1:]


def plain_seconds(store: Store) -> float:
    """Seconds in which SQLite adds up the hourly rows by slice, the median of seven."""
    query = "SELECT slice, sum(n), sum(p), sum(p2) FROM moments WHERE slice_key = 'tenant' GROUP BY slice"
    times = []
    connection = store.reader()
    for _ in range(7):
        began = time.perf_counter()
        connection.execute(query).fetchall()
        times.append(time.perf_counter() - began)
    connection.close()
    return float(np.median(times))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_check(parser)
    options = parser.parse_args()
    traces = read_traces(corpus_path("gemma3")).read_all()
    profiles = profile_traces(traces.to_batches())
    domains = [dict(row)["domain"] for row in profiles["attributes"].to_pylist()]
    sentinel = Sentinel().fit(profiles, profiles["correct"].to_numpy(), groups=domains)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, keys=("tenant",), sentinel=sentinel, most_slices=2 * SLICES)
        n_rows = fill(store, sentinel, profiles, domains)
        app = serve_app(store, Access(store.reader(), host="127.0.0.1"), Worker(store))
        first, times = asyncio.run(measure(app))
        plain = plain_seconds(store)
        (size,) = (
            store.reader().execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()
        )
        store.close()
    result = {
        "slices": SLICES,
        "hours": HOURS,
        "rows_of_sums": n_rows,
        "database_bytes_per_row": round(size / n_rows),
        "pages": PAGES,
        "first_page_seconds": round(first, 2),
        "median_ms": round(1000 * float(np.median(times)), 1),
        "p95_ms": round(1000 * float(np.quantile(times, 0.95)), 1),
        "max_ms": round(1000 * max(times), 1),
        "sqlite_alone_ms": round(1000 * plain, 1),
        "ratio": round(plain / float(np.median(times)), 3),
        "cores": os.cpu_count(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "python": platform.python_version(),
    }
    finish(result, RESULT, options)


if __name__ == "__main__":
    main()
