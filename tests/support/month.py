"""A team's traffic as files: answers of a real model by day, tenant and tier, and a change of the model half way."""

import json

import numpy as np
import pyarrow as pa

from nilometer.traces import corpus_path, read_traces

DAYS, SWAP, PER_DAY = 12, 8, 150
FINGERPRINTS = ("fp_a1d03e55", "fp_b2c90f71")
TENANTS = ("acme-corp", "globex", "hooli", "initech", "umbrella", "Zürich AG", "株式会社サンプル", "vandelay")
_TASKS = (
    ("modulo", "sorting"),
    ("gcd", "addition"),
    ("multiplication", "leap_year"),
    ("letter_counting", "sorting"),
    ("subtraction", "gcd"),
    ("word_reversal", "modulo"),
    ("spelling_backward", "addition"),
    ("linear_equation", "base_conversion"),
)


def month(*, seed=0):
    """Traces of twelve days, and the truth of each; from the ninth day on most answers are of a weaker model."""
    rng = np.random.default_rng(seed)
    old, new = (read_traces(corpus_path(name), keep=["top_tokens"]).read_all() for name in ("specialist", "smollm2"))
    domains = [np.array([dict(row)["domain"] for row in table["attributes"].to_pylist()]) for table in (old, new)]
    n = DAYS * PER_DAY
    day, tenant = np.repeat(np.arange(DAYS), PER_DAY), rng.integers(0, len(TENANTS), n)
    is_new = (day >= SWAP) & (rng.random(n) < 0.7)
    task = np.array([_TASKS[t][i] for t, i in zip(tenant, rng.integers(0, 2, n), strict=True)])
    rows = [rng.choice(np.flatnonzero(domains[int(b)] == name)) for b, name in zip(is_new, task, strict=True)]
    place = np.where(is_new, np.array(rows) + len(old), rows)
    shared = [name for name in old.column_names if name in new.column_names]
    table = pa.concat_tables([old.select(shared), new.select(shared)]).take(pa.array(place))
    start = np.datetime64("2026-09-01T08:00", "us")
    times = start + day * np.timedelta64(1, "D") + np.tile(np.arange(PER_DAY), DAYS) * np.timedelta64(180, "s")
    columns = {
        "trace_id": [f"chatcmpl-{i:05d}" for i in range(n)],
        "time": times,
        "model": ["gpt-4o-mini"] * n,
        "model_fingerprint": [FINGERPRINTS[int(d >= SWAP)] for d in day],
        "prompt_id": [None] * n,
        "correct": [None] * n,
        "attributes": [[("tenant", TENANTS[t]), ("tier", "free" if i % 3 else "paid")] for i, t in enumerate(tenant)],
    }
    truth = table["correct"].to_numpy()
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.column_names.index(name), field, pa.array(values, field.type))
    return table, truth


def labels_of(table, truth, n, *, days=SWAP, seed=1):
    """Label n random responses of the first days, as the lines of a CSV."""
    early = np.flatnonzero(np.arange(len(table)) < days * PER_DAY)
    chosen = np.sort(np.random.default_rng(seed).choice(early, n, replace=False))
    ids = table["trace_id"].to_pylist()
    return "trace_id,correct\n" + "".join(f"{ids[i]},{int(truth[i])}\n" for i in chosen)


def openai_line(row, *, k=5):
    """One response as OpenAI's API returns it."""
    content, top = [], np.array(row["top_logprobs"]).reshape(len(row["chosen_logprobs"]), -1)[:, :k]
    for i, logprob in enumerate(row["chosen_logprobs"]):
        names = [f"w{j}" for j in range(top.shape[1])]
        alternatives = [{"token": a, "logprob": b} for a, b in zip(names, top[i].tolist(), strict=True) if b == b]
        token = row["tokens"][i] if row["tokens"] else f"t{i}"
        content.append({"token": token, "logprob": logprob, "bytes": None, "top_logprobs": alternatives})
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": row["answer"] or ""},
        "logprobs": {"content": content},
        "finish_reason": row["finish_reason"],
    }
    return json.dumps(
        {
            "id": row["trace_id"],
            "object": "chat.completion",
            "created": int(row["time"].timestamp()),
            "model": row["model"],
            "system_fingerprint": row["model_fingerprint"],
            "choices": [choice],
            "metadata": dict(row["attributes"]),
        },
        ensure_ascii=False,
    )


def write_month(folder, *, n_labels=400):
    """Write one file of OpenAI responses a day, ``labels.csv`` of the first days, and ``truth.csv`` of all."""
    table, truth = month()
    (folder / "traces").mkdir()
    for day in range(DAYS):
        rows = table.slice(day * PER_DAY, PER_DAY).to_pylist()
        file = folder / "traces" / f"2026-09-{day + 1:02d}.jsonl"
        file.write_text("".join(openai_line(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "labels.csv").write_text(labels_of(table, truth, n_labels), encoding="utf-8")
    ids = table["trace_id"].to_pylist()
    lines = "".join(f"{a},{int(b)}\n" for a, b in zip(ids, truth, strict=True))
    (folder / "truth.csv").write_text("trace_id,correct\n" + lines, encoding="utf-8")
    return table, truth
