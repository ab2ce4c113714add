"""Does attention tell fact from fiction, right from wrong, and the step where a chain goes wrong?

    python studies/attention_study.py --recordings FOLDER [FOLDER ...]

Reads what `studies/attention_record.py` wrote. Every comparison is an effect size (a difference of means over the
pooled standard deviation) after the covariates were regressed out: length for all, domain and level for answers,
position for tokens. Factual and creative requests are paired by topic, have prompts of equal form, and are cut to
equal length. Intervals are bootstraps over prompts (2,000 draws), p-values permutations (5,000), Holm's correction
over all comparisons of a model. Measures on the output beside those on attention show whether attention adds
anything. Results: studies/results/attention_study.json, figures in docs/img.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import altair as alt
import numpy as np
from attention_prompts import is_attempt

from nilometer.signals import (
    TOKEN_ATTENTION_NAMES,
    attention_curves,
    attention_from_batch,
    normalized_attention_entropy,
    ragged_from_batch,
    token_signals,
    token_truth,
)
from nilometer.traces import read_traces

HERE = Path(__file__).parent
RESULT, IMAGES = HERE / "results" / "attention_study.json", HERE.parent / "docs" / "img"
SEED, BOOTSTRAPS, PERMUTATIONS, STEPS, LEAST = 20261125, 2000, 5000, 40, 10
OUTPUT = ("token entropy", "token varentropy", "token nll")
MEASURES = OUTPUT + tuple(name.replace("_", " ") for name in TOKEN_ATTENTION_NAMES)


def answers(folder: Path) -> list[dict]:
    """Load every response with its per-token measures, shape (tokens, measures)."""
    found = []
    for batch in read_traces(folder, keep=["attention"]):
        for row, statistics in enumerate(attention_from_batch(batch)):
            tokens = ragged_from_batch(batch.slice(row, 1))
            signals = token_signals(tokens.chosen, tokens.top)
            curves = np.stack(
                [signals.renormalized_entropy, signals.varentropy, -tokens.chosen, *attention_curves(statistics)],
                axis=1,
            ).astype(float)
            scattered = normalized_attention_entropy(statistics.entropy, statistics.n_keys)
            found.append(
                {
                    "attributes": dict(batch.column("attributes")[row].as_py()),
                    "curves": curves,
                    "map": scattered[:STEPS].mean(axis=0),
                    "vmap": statistics.varentropy[:STEPS].mean(axis=0),
                    "tokens": batch.column("tokens")[row].as_py(),
                    "answer": batch.column("answer")[row].as_py(),
                    "correct": batch.column("correct")[row].as_py(),
                    "prompt": batch.column("attention_prompt")[row].as_py(),
                }
            )
    return found


def residual(values: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    """What is left of values after ordinary least squares on covariates."""
    return values - covariates @ np.linalg.lstsq(covariates, values, rcond=None)[0]


def two_groups(values: np.ndarray, group: np.ndarray, covariates: np.ndarray) -> dict:
    """Effect of group 1 against group 0 with interval and permutation p-value."""
    rng = np.random.default_rng(SEED)
    left = residual(values, covariates)

    def size(x, g):
        a, b = x[g], x[~g]
        pooled = np.sqrt(((len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)) / (len(a) + len(b) - 2))
        return (a.mean() - b.mean()) / pooled if pooled > 0 else 0.0

    effect = size(left, group)
    ones, zeros = np.flatnonzero(group), np.flatnonzero(~group)
    draws = []
    for _ in range(BOOTSTRAPS):
        rows = np.concatenate([rng.choice(ones, len(ones)), rng.choice(zeros, len(zeros))])
        draws.append(size(left[rows], group[rows]))
    shuffled = [size(left, rng.permutation(group)) for _ in range(PERMUTATIONS)]
    p = (1 + np.sum(np.abs(shuffled) >= abs(effect))) / (1 + PERMUTATIONS)
    return _row(effect, draws, p, n=len(values), n_of_group=int(group.sum()))


def paired(differences: np.ndarray) -> dict:
    """Mean difference over its standard deviation, with interval and sign-flip p-value."""
    rng = np.random.default_rng(SEED)

    def size(d):
        spread = d.std(ddof=1)
        return d.mean() / spread if spread > 0 else 0.0

    n = len(differences)
    draws = [size(differences[rng.integers(0, n, n)]) for _ in range(BOOTSTRAPS)]
    flips = rng.choice([-1, 1], (PERMUTATIONS, n))
    p = (1 + np.sum(np.abs((flips * differences).mean(axis=1)) >= abs(differences.mean()))) / (1 + PERMUTATIONS)
    return _row(size(differences), draws, p, n=n)


def _row(effect, draws, p, **counts) -> dict:
    low, high = np.quantile(draws, [0.025, 0.975])
    return {
        "effect": round(float(effect), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "p": float(p),
        **counts,
    }


def dummies(names: list[str]) -> np.ndarray:
    kinds = sorted(set(names))
    return np.array([[name == kind for kind in kinds] for name in names], dtype=float)


def styles(found: list[dict]) -> tuple[list[dict], dict]:
    """Factual minus creative, paired by topic and cut to equal length."""
    by = {(a["attributes"]["topic"], a["attributes"]["domain"]): a for a in found}
    topics = sorted({topic for topic, _ in by})
    pairs = [(by[topic, "factual"], by[topic, "creative"]) for topic in topics]
    means, steps = [], np.full((2, len(pairs), STEPS, len(MEASURES)), np.nan)
    for i, pair in enumerate(pairs):
        length = min(STEPS, *(len(a["curves"]) for a in pair))
        means.append([a["curves"][:length].mean(axis=0) for a in pair])
        for j, a in enumerate(pair):
            steps[j, i, :length] = a["curves"][:length]
    means = np.array(means)
    rows = [
        {"question": "factual − creative", "measure": name, **paired(means[:, 0, m] - means[:, 1, m])}
        for m, name in enumerate(MEASURES)
    ]
    lengths = [[a["prompt"] for a in pair] for pair in pairs]
    extra = {
        "n_topics": len(pairs),
        "prompt_tokens": np.mean(lengths, axis=0).round(2).tolist(),
        "curves": steps,
        "maps": np.array([[a["map"] for a in pair] for pair in pairs]),
        "vmaps": np.array([[a["vmap"] for a in pair] for pair in pairs]),
    }
    return rows, extra


def facts(found: list[dict]) -> tuple[list[dict], dict]:
    """Correct against incorrect among attempts, within domains and lengths."""
    attempt = np.array([is_attempt(a["answer"]) for a in found])
    correct = np.array([a["correct"] >= 0.5 for a in found])
    counts = {
        "correct": int(correct.sum()),
        "incorrect": int((attempt & ~correct).sum()),
        "not_attempted": int((~attempt).sum()),
    }
    rows = _groups(
        "facts: correct − incorrect", [a for a, tried in zip(found, attempt, strict=True) if tried], correct[attempt]
    )
    return rows, counts


def declines(found: list[dict]) -> tuple[list[dict], dict]:
    """Correct, incorrect and not attempted where declining is shown, at the first token of the answer.

    There the model decides; later tokens differ because "I don't know" is another text. Nothing is generated yet, so
    the weight on the prompt is 1 and left out. Things that do not exist are counted and not compared.
    """
    real = [a for a in found if a["attributes"]["gold"]]
    attempt, correct = (
        np.array(v) for v in ([is_attempt(a["answer"]) for a in real], [a["correct"] >= 0.5 for a in real])
    )
    kinds = {"correct": correct, "incorrect": attempt & ~correct, "not attempted": ~attempt}
    rows = []
    for one, other in (("not attempted", "incorrect"), ("not attempted", "correct"), ("correct", "incorrect")):
        if min(kinds[one].sum(), kinds[other].sum()) >= LEAST:
            own = [a for a, use in zip(real, kinds[one] | kinds[other], strict=True) if use]
            group = kinds[one][kinds[one] | kinds[other]]
            rows += _groups(f"declining shown: {one} − {other}", [{**a, "curves": a["curves"][:1]} for a in own], group)
    rows = [row for row in rows if row["measure"] != "attention prompt"]
    invented = [a for a in found if not a["attributes"]["gold"]]
    return rows, {name.replace(" ", "_"): int(kind.sum()) for name, kind in kinds.items()} | {
        "invented": len(invented),
        "invented_declined": sum(not is_attempt(a["answer"]) for a in invented),
    }


def chains(found: list[dict]) -> tuple[list[dict], dict]:
    """Right against wrong chains; and in wrong chains the first wrong token against the right ones before it."""
    usable = [a for a in found if np.isfinite(token_truth(a["tokens"], a["attributes"]["worked"])).any()]
    right = np.array([a["correct"] >= 0.5 for a in usable])
    rows = _groups("chains: right − wrong", usable, right)
    values, covariates, owner, place = [], [], [], []
    for i, a in enumerate(usable):
        truth = token_truth(a["tokens"], a["attributes"]["worked"])
        for t in np.flatnonzero(~np.isnan(truth)):
            values.append(a["curves"][t])
            covariates.append((f"{a['attributes']['domain']}", t))
            owner.append(i)
            place.append(truth[t])
    position = np.array([t for _, t in covariates], dtype=float)
    X = np.column_stack([dummies([d for d, _ in covariates]), position, np.log1p(position)])
    left = np.column_stack([residual(column, X) for column in np.array(values).T])
    owner, truth = np.array(owner), np.array(place)
    gaps = []
    for i in np.unique(owner[truth == 0]):
        own = owner == i
        if (truth[own] == 1).any():
            gaps.append(left[own & (truth == 0)][0] - left[own & (truth == 1)].mean(axis=0))
    gaps = np.array(gaps)
    rows += [
        {"question": "first wrong token − right tokens before it", "measure": name, **paired(gaps[:, m])}
        for m, name in enumerate(MEASURES)
    ]
    return rows, {"n": len(usable), "n_right": int(right.sum()), "n_wrong_with_a_right_start": len(gaps)}


def _groups(question: str, found: list[dict], group: np.ndarray) -> list[dict]:
    lengths = np.array([[len(a["curves"]), a["prompt"]] for a in found], dtype=float)
    slices = dummies([f"{a['attributes']['domain']}-{a['attributes'].get('level', '')}" for a in found])
    covariates = np.column_stack([slices, lengths])
    means = np.array([a["curves"].mean(axis=0) for a in found])
    return [
        {"question": question, "measure": name, **two_groups(means[:, m], group, covariates)}
        for m, name in enumerate(MEASURES)
    ]


def holm(rows: list[dict]) -> None:
    running = 0.0
    for i, row in enumerate(sorted(rows, key=lambda row: row["p"])):
        running = max(running, min(1.0, (len(rows) - i) * row["p"]))
        row["p_holm"] = round(running, 4)
        row["p"] = round(row["p"], 5)


def curve_rows(steps: np.ndarray) -> list[dict]:
    rows = []
    for measure in ("attention entropy", "attention varentropy", "token entropy"):
        m = MEASURES.index(measure)
        for j, kind in enumerate(("factual", "creative")):
            values = steps[j, :, :, m]
            for t in range(values.shape[1]):
                known = values[~np.isnan(values[:, t]), t]
                if len(known) >= 20:
                    half = 1.96 * known.std(ddof=1) / np.sqrt(len(known))
                    rows.append(
                        {
                            "measure": measure,
                            "kind": kind,
                            "step": t,
                            "mean": known.mean(),
                            "low": known.mean() - half,
                            "high": known.mean() + half,
                        }
                    )
    return rows


def curve_figure(rows: list[dict], model: str):
    colour = alt.Color(
        "kind:N", scale=alt.Scale(domain=["factual", "creative"], range=["#2166ac", "#c4561a"]), title=None
    )
    charts = []
    for measure, unit in (
        ("attention entropy", "H / log n"),
        ("attention varentropy", "nats²"),
        ("token entropy", "nats"),
    ):
        base = alt.Chart(alt.Data(values=[r for r in rows if r["measure"] == measure])).encode(
            x=alt.X("step:Q", title="generated token"), color=colour
        )
        scale = alt.Scale(zero=False)
        band = base.mark_area(opacity=0.2).encode(y=alt.Y("low:Q", title=unit, scale=scale), y2="high:Q")
        charts.append(
            (band + base.mark_line().encode(y=alt.Y("mean:Q", scale=scale))).properties(
                width=230, height=170, title=measure
            )
        )
    return alt.hconcat(*charts).properties(title=f"{model}: means over layers and heads, 95 % bands over topics")


def map_figure(extra: dict, model: str):
    charts = []
    for name, key in (("entropy, H / log n", "maps"), ("varentropy, nats²", "vmaps")):
        maps = extra[key]
        gap = maps[:, 0] - maps[:, 1]
        z = gap.mean(axis=0) / np.maximum(gap.std(axis=0, ddof=1), 1e-12)
        for title, values, scheme, limit in (
            (f"{name}: mean", maps.mean(axis=(0, 1)), "viridis", None),
            (f"{name}: factual − creative, d", z, "redblue", float(np.abs(z).max())),
        ):
            cells = [{"layer": i, "head": j, "value": float(v)} for (i, j), v in np.ndenumerate(values)]
            scale = alt.Scale(scheme=scheme) if limit is None else alt.Scale(scheme=scheme, domain=[-limit, limit])
            charts.append(
                alt.Chart(alt.Data(values=cells))
                .mark_rect()
                .encode(
                    x=alt.X("head:O"),
                    y=alt.Y("layer:O", sort="descending"),
                    color=alt.Color("value:Q", scale=scale, title=None),
                )
                .properties(width=130, height=260, title=alt.Title(title, fontSize=10))
            )
    return alt.hconcat(*charts).resolve_scale(color="independent").properties(title=f"{model}: layers and heads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", required=True, nargs="+", type=Path)
    options = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    result = {
        "seed": SEED,
        "bootstraps": BOOTSTRAPS,
        "permutations": PERMUTATIONS,
        "numpy": version("numpy"),
        "models": {},
    }
    for folder in options.recordings:
        rows, about = [], {}
        for kind, study in (
            ("styles", styles),
            ("facts", facts),
            ("declines", declines),
            ("chains", chains),
        ):
            if not any((folder / kind).glob("*.parquet")):
                about[kind] = "not recorded"
                continue
            more, extra = study(answers(folder / kind))
            rows += more
            if kind == "styles":
                for name, figure in (
                    ("steps", curve_figure(curve_rows(extra.pop("curves")), folder.name)),
                    ("maps", map_figure(extra, folder.name)),
                ):
                    figure.save(IMAGES / f"attention_{name}_{folder.name}.svg")
                extra = {key: value for key, value in extra.items() if not isinstance(value, np.ndarray)}
            about[kind] = extra
        holm(rows)
        result["models"][folder.name] = {**about, "comparisons": rows}
        print(folder.name, json.dumps(about))
        for row in rows:
            print(
                f"{row['question']:45s} {row['measure']:28s} {row['effect']:6.2f} [{row['low']:5.2f}, {row['high']:5.2f}] p_holm {row['p_holm']:.4f}"
            )
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
