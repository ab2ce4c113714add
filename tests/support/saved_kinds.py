"""Every kind of file that is given from hand to hand: how one is made, and what it loads as."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from nilometer.decisions import (
    AnswerTable,
    PlannedLabel,
    fit_router,
    load_router,
    read_label_plan,
    save_router,
    write_label_plan,
)
from nilometer.errors import NilometerError
from nilometer.estimators import (
    Sentinel,
    TokenConfidence,
    load_sentinel,
    load_token_confidence,
    save_sentinel,
    save_token_confidence,
)
from nilometer.models import (
    Canary,
    SamplerThresholds,
    read_canary,
    read_thresholds,
    write_canary,
    write_thresholds,
)
from nilometer.signals import profile_traces, read_profiles, write_profiles
from nilometer.traces import corpus_path, read_traces, write_traces

RNG = np.random.default_rng(11)
TRACES = read_traces(corpus_path("smollm2")).read_all().slice(0, 40)
DATA = pa.table({"max": RNG.gamma(2.0, 0.5, 60), "nll_sum": RNG.gamma(2.0, 1.0, 60)})


def _save_sentinel(path):
    correct = np.arange(60) % 3 > 0
    save_sentinel(path, Sentinel(bootstraps=0).fit(DATA, correct, groups=np.arange(60) % 6))


def _save_router(path):
    rng = np.random.default_rng(3)
    data = AnswerTable(
        models=("a", "b", "c"),
        embeddings=rng.normal(size=(20, 3, 2)),
        prompts=rng.normal(size=(20, 2)).astype(np.float32),
        costs=np.array([3.0, 2.0, 1.0]),
        scores=(rng.random((20, 3)) < 0.6).astype(float),
    )
    save_router(path, fit_router(data, n_neighbors=5))


def save_plan(path, form):
    planned = [
        PlannedLabel(
            trace_id=f"t{i}",
            slice="=a" if i % 2 else "b",
            stratum=i % 3,
            stratum_size=7,
            inclusion_probability=1 / 3,
            p_correct=None if i == 4 else i / 13,
            labels_before=2,
            correct_before=1.5,
        )
        for i in range(12)
    ]
    write_label_plan(path, planned, {}, form=form)


def _save_confidence(path):
    X = RNG.exponential(1.0, (200, 1))
    save_token_confidence(path, TokenConfidence(names=("nll",)).fit(X, np.arange(200) % 3 > 0))


def _load_sentinel(path):
    sentinel = load_sentinel(path)
    labelled = sentinel.labelled_
    columns = [labelled.profiles.column(name).tolist() for name in labelled.profiles.names]
    return sentinel.get_params(), columns, labelled.correct.tolist(), [asdict(e) for e in sentinel.estimate(DATA)]


def _load_router(path):
    router = load_router(path)
    return router.smoothie.sums_.tolist(), router.costs.tolist(), [router.route(p) for p in ([0.0, 0.0], [1.0, -1.0])]


def _load_confidence(path):
    found = load_token_confidence(path)
    return found.names, found.n_tokens_, found.predict_proba([[0.5], [3.0]]).tolist()


def _load_plan(path):
    near = [
        {**asdict(row), "p_correct": row.p_correct and round(row.p_correct, 8)} for row in read_label_plan(path).labels
    ]
    return [{**row, "inclusion_probability": round(row["inclusion_probability"], 8)} for row in near]


def _load_traces(path):
    reader = read_traces(path)
    rows = reader.read_all().to_pylist()
    if reader.report.n_bad:
        raise NilometerError(f"{path}: {reader.report.n_bad} bad rows, counted")
    return repr(rows)


KINDS = {
    "sentinel": (_save_sentinel, _load_sentinel),
    "router": (_save_router, _load_router),
    "canary": (
        lambda path: write_canary(
            path, Canary("m", 2, "raw", ["2026-01-01T00:00:00Z"], {"x": [[-0.5, None]], "y": [[-0.25, -1.5]]})
        ),
        read_canary,
    ),
    "plan.jsonl": (lambda path: save_plan(path, "jsonl"), _load_plan),
    "plan.csv": (lambda path: save_plan(path, "csv"), _load_plan),
    "confidence": (_save_confidence, _load_confidence),
    "thresholds": (
        lambda path: write_thresholds(path, SamplerThresholds(0.1, 1.0, 0.2, 1.5, None, 0.5, 20, "m", 500)),
        read_thresholds,
    ),
    "profiles": (
        lambda path: write_profiles(path, profile_traces(TRACES)),
        lambda path: repr(read_profiles([path]).to_pylist()),
    ),
    "traces": (lambda path: write_traces(path, TRACES), _load_traces),
}
