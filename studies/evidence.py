"""The labelled collections that the studies of estimators share, as profiles of one model each.

The shipped corpus, and the public sets under ``--data`` (see their README for sources and licences): Linwei94/
LLM-Calibration-Study at ddc349e (MIT), Yuuxii/Influences-on-LLM-Calibration at 59b4b9a (MIT), bplaut/
llm-calibration-and-correctness-prediction at c176fdd (MIT). Features that a set does not have are not made up:
`mmlupro` knows one mean token probability p per response, which enters as nll_avg = -log p and nll_sum = T nll_avg;
`mcq` one token, whose -log p is nll_sum and nll_avg; `qa` the chosen tokens.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nilometer.estimators import Profiles, Responses, as_profiles, as_responses
from nilometer.signals import profile_traces
from nilometer.traces import corpus_path, read_traces, slice_names

DATA = Path(__file__).parents[2] / "shared" / "data" / "traces"
CORPUS = ("specialist", "specialist_samples", "smollm2", "gemma3")
PUBLIC = ("mmlupro", "qa", "mcq")
CONTROLS = ("smollm2", "gemma3")


class Labelled(NamedTuple):
    """Labelled responses, with the names of slices and families as plain arrays."""

    profiles: Profiles
    correct: np.ndarray
    slices: np.ndarray
    families: np.ndarray

    def rows(self, rows: np.ndarray) -> "Labelled":
        return Labelled(self.profiles.rows(rows), self.correct[rows], self.slices[rows], self.families[rows])

    @property
    def responses(self) -> Responses:
        return as_responses(self.profiles, self.slices, correct=self.correct, families=self.families)


@dataclass(frozen=True)
class Collection:
    """Labelled responses of one model, with their slices and families."""

    name: str
    model: str
    labelled: Labelled

    @property
    def families(self) -> list[str]:
        return sorted(set(self.labelled.families.tolist()))


def halves(families: list[str]) -> tuple[list[str], list[str]]:
    """Half for choices and half for figures: every second family in alphabetical order, fixed in advance."""
    families = sorted(families)
    return families[::2], families[1::2]


def load(name: str, data: Path = DATA) -> list[Collection]:
    """All models of one collection."""
    if name in CORPUS:
        return [_corpus(name)]
    return {"mmlupro": _mmlupro, "qa": _qa, "mcq": _mcq}[name](data)


def _corpus(name: str) -> Collection:
    table = profile_traces(read_traces(corpus_path(name)))
    families = np.asarray(slice_names(table, ["domain"]).to_pylist())
    slices = np.asarray(slice_names(table, ["domain", "level"]).to_pylist())
    correct = table["correct"].to_numpy().astype(float)
    return Collection(name, name, Labelled(as_profiles(table), correct, slices, families))


def _read(path: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(path)
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        if not pa.types.is_list(column.type):
            columns[name] = np.asarray(column.to_numpy(zero_copy_only=False))
    return columns


def _collect(name: str, columns: dict, features: dict, slices: np.ndarray, families: np.ndarray) -> list[Collection]:
    names = tuple(features)
    values = np.stack([features[f].astype(float) for f in names], axis=1)
    found = []
    for model in sorted(set(columns["model"].tolist())):
        own = columns["model"] == model
        profiles = Profiles(values[own], names, {"k": (), "logprobs_mode": (), "model": (model,)})
        correct = columns["correct"][own].astype(float)
        found.append(Collection(name, model, Labelled(profiles, correct, slices[own], families[own])))
    return found


def _mmlupro(data: Path) -> list[Collection]:
    columns = _read(data / "mmlupro.parquet")
    average = -np.log(np.clip(columns["mean_token_prob"], 1e-4, 1 - 1e-6))
    features = {
        "nll_avg": average,
        "nll_sum": average * np.maximum(columns["n_tokens"], 1),
        "no_answer": 1.0 - columns["answered"],
    }
    domain = columns["domain"].astype(str)
    return _collect("mmlupro", columns, features, domain, domain)


def _mcq(data: Path) -> list[Collection]:
    columns = _read(data / "mcq_confidence.parquet")
    columns = {name: column[columns["prompt"] == "first"] for name, column in columns.items()}
    nll = -np.log(np.clip(np.nan_to_num(columns["max_prob"].astype(float), nan=1e-4), 1e-4, 1 - 1e-6))
    features = {"nll_avg": nll, "nll_sum": nll, "no_answer": 1.0 - columns["parsed"].astype(float)}
    dataset = columns["dataset"].astype(str)
    slices = np.char.add(np.char.add(dataset, "/"), columns["shots"].astype(str))
    return _collect("mcq", columns, features, slices, dataset)


def _qa(data: Path) -> list[Collection]:
    path = data / "qa_tokens.parquet"
    columns = _read(path)
    lists = pq.read_table(path, columns=["chosen_logprobs"])["chosen_logprobs"].combine_chunks()
    offsets, values = lists.offsets.to_numpy(), lists.values.to_numpy().astype(np.float64)
    lengths = np.diff(offsets)
    totals = np.concatenate([[0.0], np.cumsum(values)])
    total = -(totals[offsets[1:]] - totals[offsets[:-1]])
    known = lengths > 0
    features = {
        "nll_sum": np.where(known, total, np.nan),
        "nll_avg": np.where(known, total / np.maximum(lengths, 1), np.nan),
        "no_answer": (~known).astype(float),
        "truncated": 1.0 - columns["finished"].astype(float),
    }
    keep = columns["prompt_style"].astype(str) != "few_shot"
    columns = {name: column[keep] for name, column in columns.items()}
    features = {name: np.maximum(column[keep], 0) for name, column in features.items()}
    dataset = columns["dataset"].astype(str)
    slices = np.char.add(np.char.add(dataset, "/"), columns["prompt_style"].astype(str))
    return _collect("qa", columns, features, slices, dataset)
