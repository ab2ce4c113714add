"""Break the readers: mutated trace files, labels, slice expressions and saved files; results/fuzz.json.

Inputs are the recorded files of the tests and small cases, changed byte by byte and value by value. An input is a
finding if reading it raises anything outside the error tree, loses a good line beside it, does not count every line
once, allocates far more than was given, takes more than ten CPU seconds, or if an expression reads anything outside
its table. With ``--engine atheris`` (``pip install atheris``) coverage guides the bytes instead of chance.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import re
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

with contextlib.ExitStack() as _stack:
    if "atheris" in sys.argv:
        import atheris

        _stack.enter_context(atheris.instrument_imports(include=["nilometer"]))
    from nilometer.errors import NilometerError
    from nilometer.traces import (
        TRACE_SCHEMA,
        LabelReport,
        Trace,
        read_labels,
        read_traces,
        slice_names,
        trace_batch,
        write_traces,
    )

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "fuzz.json"
SECRET = "zq-secret-7391"
_RECORDED = {".jsonl", ".sse", ".json", ".txt", ".gz", ".eval"}
"""Files of these kinds are recorded answers and cases; Parquet is the target ``saved``."""
_MOST_SECONDS = 10
_MOST_GROWTH = 3000
_KEPT = 40
_CASES = (
    b'{"trace_id":"a","answer":5}',
    b'{"k": 2147483648, "chosen_logprobs": [-1], "top_logprobs": [[-1]]}',
    b'{"content": "a", "completion_probabilities": [{"prob": -1, "token": "a"}]}',
    b'{"done":false,"response":"x","model":"m","logprobs":[{"token":"a","logprob":5}]}',
    b'{"text":"x","meta_info":{"id":"s","finish_reason":null,"output_token_logprobs":[[-1,1,"x"]]}}',
    b'{"index":1,"token":{"id":1,"text":"x","logprob":-1},"generated_text":null,"details":null}',
    b'{"doc_id":1,"resps":[[["-1.0","False"]],[["-0.5","True"]]],"acc":1.0}',
    b'{"id":"a","choices":[{"text":"x","logprobs":{"tokens":["a"],"token_logprobs":[-1],"top_logprobs":[{"a":-1}]}}]}',
    b'{"prompt_id":"p","outputs":{"m":["x","y"]},"correct":{"m":[1,0]},"costs":{"m":0.1}}',
)
_LABELS = (
    b"trace_id,correct,source,time\na,1,human,2026-01-01T00:00:00Z\nb,no,,\n",
    b'{"trace_id":"a","correct":true,"time":1700000000}\n{"trace_id":"b","score":0.5}\n',
    b'trace_id\tscore\na\t"1"\nb\t0.5\n',
)
_VALUES = (
    None, True, -1, 0, 5, 2**31, 2**63, 10**400, 1e308, -1e308, 1e-320, float("nan"), float("inf"), "", "nan", "x",
    "\ud800", "\u202e", "\x00", "9999-12-31T23:59:59-12:00", [], {}, [[]], [None], {"a": 1}, "9" * 50,
)  # fmt: skip
_ATOMS = (
    "domain", "n_tokens", "model", "time", "attributes", "1", "'x'", "NULL", "*", "answer", '"weird name"', "correct",
    "read_text('/etc/passwd')", "(SELECT 1)", "getenv('HOME')", "range(9)", "random()", "glob('*')", "k",
)  # fmt: skip
_FORMS = (
    "{0} > {1}", "lower({0})", "CASE WHEN {0} THEN {1} END", "{0} || {1}", "coalesce({0}, {1})", "{0}::int", "({0})",
    "date_trunc('day', {0})", "regexp_extract({0}, {1})", "{0} IN ({1})", "{0}); {1} --", "max({0}) OVER ()", "-{0}",
    "repeat({0}, 100)", "{0}[{1}]", "{0}.{1}", "NOT {0} AND {1}", "count({0})", "list_transform([{0}], x -> {1})",
)  # fmt: skip


class Finding(Exception):
    """An input that broke a promise."""


@dataclass
class Tally:
    """What one target saw."""

    n_inputs: int = 0
    seconds: float = 0.0
    refused: int = 0
    """Inputs that ended in a message of the error tree, where that is allowed."""
    findings: Counter[str] = field(default_factory=Counter)
    smallest: dict[str, bytes] = field(default_factory=dict)

    def note(self, signature: str, data: bytes) -> None:
        """Keep the smallest input of each signature."""
        self.findings[signature] += 1
        if signature not in self.smallest or len(data) < len(self.smallest[signature]):
            self.smallest[signature] = data


def _good(i: int) -> bytes:
    token = {"token": "4", "logprob": -0.5, "top_logprobs": [{"token": "4", "logprob": -0.5}]}
    choice = {"index": 0, "message": {"content": "4"}, "finish_reason": "stop", "logprobs": {"content": [token]}}
    return json.dumps({"id": f"good-{i}", "model": "m", "choices": [choice]}).encode()


_GOOD = [_good(i) for i in range(4)]


class Fuzzer:
    """Checks inputs of the four targets in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "secret.txt").write_text(SECRET)
        self._table = _table()
        self.checks: dict[str, Callable[[bytes], bool]] = {
            "reader": self._reader,
            "labels": self._labels,
            "slices": self._slices,
            "saved": self._saved,
        }

    def run(self, target: str, data: bytes, tally: Tally) -> None:
        """Check one input and note what it broke."""
        started = time.process_time()
        try:
            tally.refused += self.checks[target](data)
        except Finding as exc:
            tally.note(str(exc), data)
        except NilometerError as exc:
            tally.note(f"ABORT {type(exc).__name__}", data)
        except (Exception, RecursionError, MemoryError) as exc:  # noqa: BLE001 - every other exception is a finding
            tally.note(_signature(exc), data)
        seconds = time.process_time() - started
        if seconds > _MOST_SECONDS:
            tally.note("SLOW", data)
        tally.n_inputs += 1
        tally.seconds += seconds

    def _reader(self, data: bytes) -> bool:
        is_beside = len(data) % 4 != 0
        path = self._folder / "t.jsonl"
        path.write_bytes(b"\n".join([*_GOOD[:2], data, *_GOOD[2:]]) + b"\n" if is_beside else data)
        stream = read_traces(path)
        try:
            ids = self._drain(stream, len(data))
        except NilometerError:
            if is_beside:
                raise
            return True
        _accounted(stream, path.read_bytes() if is_beside else b"")
        if is_beside and len([i for i in ids if i in {f"good-{n}" for n in range(4)}]) < 4:
            raise Finding("LOST a good line beside it")
        return False

    def _drain(self, stream: Any, size: int) -> list[str]:
        ids: list[str] = []
        for batch in stream:
            ids += batch.column("trace_id").to_pylist()
            n_values = len(batch.column("top_logprobs").flatten())
            if n_values > _MOST_GROWTH * max(size, 100):
                raise Finding("AMPLIFY")
            highest = pa.compute.max(batch.column("top_logprobs").flatten()).as_py()
            if highest is not None and highest > 1e-3:
                raise Finding("POSITIVE log-probability")
        return ids

    def _labels(self, data: bytes) -> bool:
        path = self._folder / ("labels.tsv" if b"\t" in data[:40] else "labels.csv")
        path.write_bytes(data)
        report = LabelReport()
        try:
            table = read_labels(path, report=report)
        except NilometerError:
            return True
        n_lines = len([line for line in data.split(b"\n") if line.strip()[:1] == b"{"])
        if data.lstrip()[:1] == b"{" and table.num_rows + report.n_bad + report.n_empty < n_lines:
            raise Finding("SILENT fewer labels counted than lines")
        return False

    def _slices(self, data: bytes) -> bool:
        expression = data.decode("utf-8", "replace")
        before = set(self._folder.iterdir())
        try:
            names = slice_names(self._table, [expression])
        except NilometerError:
            return True
        if len(names) != self._table.num_rows:
            raise Finding("LENGTH of slice names")
        text = " ".join(map(str, names.to_pylist()))
        if SECRET in text or "root:" in text or set(self._folder.iterdir()) != before:
            raise Finding("ESCAPE from the table")
        return False

    def _saved(self, data: bytes) -> bool:
        path = self._folder / "t.parquet"
        path.write_bytes(data)
        stream = read_traces(path)
        try:
            self._drain(stream, len(data))
        except NilometerError:
            return True
        _accounted(stream)
        return False


def _accounted(stream: Any, data: bytes = b"") -> None:
    """Check that every line is counted once, and that no line of the data which begins like an object is left out."""
    if sum(file.n_lines for file in stream.report.files) < sum(line.startswith(b'{"') for line in data.split(b"\n")):
        raise Finding("SILENT a line that is not counted")
    for file in stream.report.files:
        if file.n_lines != file.n_read + file.n_skipped + file.n_bad + file.n_lost:
            raise Finding("SILENT a line counted twice or never")


def _signature(exc: BaseException) -> str:
    own = [frame for frame in traceback.extract_tb(exc.__traceback__) if "nilometer" in frame.filename]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    return f"CRASH {type(exc).__name__} {place}"


def _table() -> pa.Table:
    rows = [
        {"trace_id": f"t{i}", "model": "m", "n_tokens": i, "time": 0, "attributes": [("domain", "a"), ("", "b")]}
        for i in range(6)
    ]
    return pa.Table.from_pylist(rows, schema=TRACE_SCHEMA)


def seeds(target: str, folder: Path) -> list[bytes]:
    """Return the inputs that mutation begins with."""
    tests = ROOT / "tests" / "traces"
    if target == "labels":
        return [*_LABELS, *(path.read_bytes() for path in sorted(tests.glob("fuzzed/*.csv")))]
    if target == "slices":
        return [atom.encode() for atom in _ATOMS]
    if target == "saved":
        path = folder / "seed.parquet"
        chosen = np.full(4, -0.5, np.float32)
        traces = [
            Trace(trace_id=f"t{i}", k=2, n_tokens=4, chosen_logprobs=chosen, top_logprobs=np.tile([-0.5, -2], (4, 1)))
            for i in range(20)
        ]
        write_traces(path, [trace_batch(traces)])
        return [path.read_bytes()]
    recorded = [path for path in tests.rglob("*") if path.suffix in _RECORDED]
    return [*_CASES, *(path.read_bytes() for path in sorted(recorded))]


def mutated(rng: random.Random, corpus: list[bytes], target: str) -> bytes:
    """Return an input some changes away from one of the corpus."""
    if target == "slices" and rng.random() < 0.8:
        return _expression(rng, 3).encode()
    data = rng.choice(corpus)
    if target in {"reader", "labels"} and rng.random() < 0.7:
        data = _changed_lines(rng, data, corpus)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 4, 8)) if target != "saved" else rng.choice((1, 1, 2, 4))):
        data = _changed_bytes(rng, data)
    return data


def _expression(rng: random.Random, depth: int) -> str:
    if not depth or rng.random() < 0.3:
        return rng.choice(_ATOMS)
    return rng.choice(_FORMS).format(_expression(rng, depth - 1), _expression(rng, depth - 1))


def _changed_lines(rng: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    lines = data.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = rng.randrange(len(lines))
        choice = rng.random()
        if choice < 0.1:
            lines.insert(place, rng.choice(rng.choice(corpus).split(b"\n")))
        elif choice < 0.2 and len(lines) > 1:
            del lines[place]
        elif choice < 0.25:
            lines.insert(place, lines[place])
        else:
            lines[place] = _changed_json(rng, lines[place])
    return b"\n".join(lines)


def _changed_json(rng: random.Random, line: bytes) -> bytes:
    prefix = b"data: " if line.startswith(b"data: ") else b""
    try:
        value = json.loads(line.removeprefix(prefix))
    except (ValueError, RecursionError):
        return _changed_bytes(rng, line)
    places = list(_places(value, 0))
    if not places:
        return line
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        holder, key = rng.choice(places)
        if isinstance(holder, dict) and key not in holder:
            continue
        if isinstance(holder, list) and key >= len(holder):
            continue
        _change(rng, holder, key)
    try:
        return prefix + json.dumps(value).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return line


def _places(value: Any, depth: int) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        if depth < 8:
            yield from _places(inner, depth + 1)


def _change(rng: random.Random, holder: Any, key: Any) -> None:
    choice = rng.random()
    if choice < 0.6:
        holder[key] = rng.choice(_VALUES)
    elif choice < 0.75:
        del holder[key]
    elif choice < 0.85:
        holder[key] = [holder[key]]
    elif choice < 0.95 and isinstance(holder, dict):
        holder[rng.choice(("id", "choices", "logprobs", "k", "time", "response", "error", "correct"))] = holder[key]
    else:
        holder[key] = str(holder[key])[:50]


def _changed_bytes(rng: random.Random, data: bytes) -> bytes:
    if not data:
        return bytes([rng.randrange(256)])
    place = rng.randrange(len(data))
    choice = rng.random()
    if choice < 0.4:
        return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1 :]
    if choice < 0.6:
        return data[:place] + data[place + rng.randrange(1, 30) :]
    if choice < 0.8:
        piece = rng.choice(
            (b"[" * 3000, b'"', b"\\ud800", b"\x00", b"\xff", b"\r", b"\n", b"NaN", b"1e999", b"}", b"{")
        )
        return data[:place] + piece + data[place:]
    return data[:place]


def by_chance(fuzzer: Fuzzer, tallies: dict[str, Tally], folder: Path, options: argparse.Namespace) -> None:
    """Mutate by chance until the time is up, the targets in turn."""
    rng = random.Random(options.seed)
    corpora = {target: seeds(target, folder) for target in tallies}
    shares = {"reader": 6, "labels": 2, "slices": 1, "saved": 2}
    turn = [target for target in tallies for _ in range(shares[target])]
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        for target in turn:
            fuzzer.run(target, mutated(rng, corpora[target], target), tallies[target])


def by_coverage(fuzzer: Fuzzer, tallies: dict[str, Tally], folder: Path, options: argparse.Namespace) -> None:
    """Let atheris choose the bytes; it ends the process, so results are written as they come."""
    (target,) = tallies
    rng = random.Random(options.seed)
    corpus = seeds(target, folder)
    started = written = time.monotonic()

    def one(data: bytes) -> None:
        nonlocal written
        fuzzer.run(target, data, tallies[target])
        if time.monotonic() - written > 20 or time.monotonic() - started > options.seconds - 3:
            written = time.monotonic()
            save(tallies, options, started)

    def mutator(data: bytes, max_size: int, seed: int) -> bytes:
        del seed
        if rng.random() < 0.5:
            return mutated(rng, [data or corpus[0], rng.choice(corpus)], target)[:max_size]
        return atheris.Mutate(data, max_size)

    inputs = folder / "corpus"
    inputs.mkdir()
    for number, data in enumerate(corpus):
        (inputs / str(number)).write_bytes(data)
    flags = [f"-max_total_time={options.seconds}", "-max_len=20000", f"-seed={options.seed}", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *flags, str(inputs)], one, custom_mutator=mutator)
    atheris.Fuzz()


def save(tallies: dict[str, Tally], options: argparse.Namespace, started: float) -> dict[str, Any]:
    """Write this round over the one of the same engine, targets and seed, and return it."""
    round_ = {
        "engine": options.engine,
        "seed": options.seed,
        "seconds": round(time.monotonic() - started, 1),
        "targets": {
            name: {
                "n_inputs": tally.n_inputs,
                "seconds": round(tally.seconds, 1),
                "n_refused": tally.refused,
                "findings": dict(tally.findings.most_common(_KEPT)),
            }
            for name, tally in tallies.items()
        },
        "versions": {name: version(name) for name in ("msgspec", "pyarrow", "duckdb")},
        "python": platform.python_version(),
    }
    if options.out is not None:
        rounds = json.loads(options.out.read_text()) if options.out.exists() else []
        same = ("engine", "seed")
        rounds = [
            old
            for old in rounds
            if not (all(old[key] == round_[key] for key in same) and list(old["targets"]) == list(round_["targets"]))
        ]
        options.out.parent.mkdir(exist_ok=True)
        options.out.write_text(json.dumps([*rounds, round_], indent=1) + "\n")
    if options.finds is not None:
        options.finds.mkdir(exist_ok=True, parents=True)
        for name, tally in tallies.items():
            for signature, data in tally.smallest.items():
                (options.finds / f"{name} {re.sub(r'[^A-Za-z0-9_.]+', '_', signature)[:80]}").write_bytes(data)
    return round_


def main() -> None:
    """Fuzz, print what was found, and end with 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="+", default=["reader", "labels", "slices", "saved"])
    parser.add_argument("--engine", choices=["chance", "atheris"], default="chance")
    parser.add_argument("--out", type=lambda text: Path(text).resolve(), help="result file to add this round to")
    parser.add_argument(
        "--finds", type=lambda text: Path(text).resolve(), help="folder for the smallest input of each finding"
    )
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    os.environ.setdefault("NO_COLOR", "1")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        os.chdir(folder)
        tallies = {target: Tally() for target in options.targets}
        run = by_chance if options.engine == "chance" else by_coverage
        run(Fuzzer(folder), tallies, folder, options)
        round_ = save(tallies, options, started)
    print(json.dumps(round_, indent=1))
    sys.exit(any(tally.findings for tally in tallies.values()))


if __name__ == "__main__":
    main()
