"""Tables of docs/evidence/speed.md, made from benchmarks/results."""

import json
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PEERS = {
    "loop over tokens with torch, as the paper's, entropy": "a loop with one torch tensor per token, as in the "
    "paper's code; entropy only",
    "loop over tokens with numpy, entropy": "a loop with numpy; entropy only",
    "LM-Polygraph entropy and 4 scores": "LM-Polygraph; entropy and four scores",
    "UQLM TopLogprobsScorer, 3 scores": "UQLM; three scores",
}


def _read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def signals() -> str:
    """Tokens per second of the signals, beside the peers of the same run."""
    found = _read("signals")
    rate, ratio = found["tokens_per_cpu_second"], found["ratios"]
    rows = [
        "| what | tokens/s | nilometer's entropy is faster by | the whole profile is faster by |",
        "|---|---|---|---|",
        f"| nilometer, token entropy | {rate['entropy, from Arrow'] / 1e6:.1f} M | | |",
        f"| nilometer, whole profile | {rate['whole profile, from Arrow'] / 1e6:.1f} M | | |",
    ]
    for name, about in PEERS.items():
        one, whole = (round(ratio[f"{ours} / {name}"]) for ours in ("entropy", "whole profile"))
        rows.append(f"| {about} | {round(rate[name], -3 if rate[name] > 9999 else -2):,} | {one:,} × | {whole:,} × |")
    return "\n".join(rows)


def reading() -> str:
    """From JSONL to arrays: tokens per second, size on disk, memory."""
    parse, memory = _read("parse"), _read("memory")
    rows = ["| reader | tokens/s | nilometer is faster by |", "|---|---|---|"]
    for name, rate in parse["tokens_per_cpu_second"].items():
        ratio = "" if name == "nilometer" else f"{parse['ratio'][name]:.1f} ×"
        rows.append(f"| {name} | {rate:,} | {ratio} |")
    size, runs = parse["bytes_per_token"], memory["runs"]
    peaks = " and ".join(f"{run['rss_peak_mb']:.0f} MB for {run['file_mb']:,.0f} MB" for run in runs)
    rows.append(
        f"\nA token takes {size['jsonl']:,.0f} bytes as JSONL and {size['parquet']:.0f} as nilometer's Parquet. Reading "
        f"and profiling is a stream: peak memory {peaks} of JSONL (`benchmarks/results/memory.json`)."
    )
    few, many = memory["mixed"]["runs"]
    peaks = " and ".join(
        f"{verb} took {few[verb]['rss_peak_mb']:.0f} and {many[verb]['rss_peak_mb']:.0f} MB"
        for verb in ("doctor", "report")
    )
    doctor, kept = (_bytes_each(few, many, verb) for verb in ("doctor", "report"))
    rows.append(
        f"On {few['n_lines']:,} and {many['n_lines']:,} short lines of mixed formats {peaks}. So the doctor takes some "
        f"{doctor} bytes for each further response, for hashes of ids and contents, and a report some {kept}: it keeps "
        "the id, time and attributes of every response and the features that its sentinel and its charts read."
    )
    return "\n".join(rows)


def _bytes_each(few: dict, many: dict, verb: str) -> int:
    """Bytes by which the peak grows with each further response, to two digits."""
    grown = (many[verb]["rss_peak_mb"] - few[verb]["rss_peak_mb"]) * 2**20
    return int(float(f"{grown / (many['doctor']['n_traces'] - few['doctor']['n_traces']):.2g}"))


def report() -> str:
    """One report on a million profiles."""
    found = _read("report")
    return (
        f"A report on {found['n_profiles']:,} profiles in {found['n_slices']} slices, a third of them labelled, page "
        f"included: {found['cpu_seconds']:.0f} s of CPU ({found['seconds']:.0f} s on {found['n_cpus']} cores), "
        f"{found['peak_mb']:,} MB at most, a page of {found['page_kb']} kB."
    )
