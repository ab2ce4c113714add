"""The data sets of the routing studies: answers of several models to the same prompts, with scores and prices.

    python studies/route_data.py --data FOLDER --embeddings FOLDER   # embeds all texts

FOLDER holds, where it is not the recorded corpus that comes with the package or the golden files beside the checkout:

- ``routerbench_{arc_challenge,winograde,mbpp}_{train,test}.csv``: RouterBench rows (responses, scores and prices
  of 11 models) as kept in github.com/shuhao02/RouterDC, datasets/routerbench_zs. No licence file there: they are
  read for evaluation and never passed on.
- ``mqm_ted_{zhen,ende}.tsv``: translations with human MQM annotations, github.com/google/wmt-mqm-human-evaluation,
  folders ted/zhen and ted/ende (Apache-2.0).

What is missing is left out, and the result says so.
"""

import argparse
import ast
import csv
import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nilometer.decisions import AnswerTable
from nilometer.errors import ConfigError
from nilometer.models import embed_texts, make_embedder
from nilometer.signals import answer_embeddings, final_answer, read_answer
from nilometer.traces import corpus_path, read_panel, read_traces

GOLDEN = Path(__file__).parents[2] / "shared" / "data" / "smoothie"


class Dataset(NamedTuple):
    """One data set: texts as given, and the table that routes are decided on."""

    name: str
    source: str
    table: AnswerTable
    answers: list[list[str | None]] | None
    """(prompts, models) what decides whether two answers are the same; None where texts are compared."""
    score: str
    texts: list[list[str | None]] | None = None


def datasets(folder: Path | None, cache: Path | None) -> tuple[list[Dataset], list[str]]:
    """All data sets that are there, and a sentence per missing one."""
    found, missing = [], []
    for name, load in LOADERS.items():
        try:
            found.append(load(folder or Path("none"), cache))
        except FileNotFoundError as exc:
            missing.append(f"{name}: {Path(str(exc.filename)).name} is not there")
        except ConfigError as exc:
            missing.append(f"{name}: {exc}")
    return found, missing


def embedded(texts: list[list[str | None]], cache: Path | None, name: str = "minilm") -> np.ndarray:
    """(prompts, models, dim) vectors; from the cache alone where the embedder is not installed."""
    flat = [text for row in texts for text in row]
    kept = None if cache is None or name == "ngrams" else cache / "embeddings.sqlite"
    vectors = embed_texts(flat, _Late(name), cache=kept, batch=32).vectors
    return vectors.reshape(len(texts), len(texts[0]), -1)


class _Late:
    """Loads its model only when a text is not in the cache."""

    def __init__(self, name: str) -> None:
        self.name = f"study-{name}"
        self._kind = name

    def embed(self, texts):
        if not hasattr(self, "_model"):
            self._model = make_embedder(self._kind)
        return self._model.embed(texts)


def routerbench(task: str, kind: str | None, embedder: str = "minilm"):
    def load(folder: Path, cache: Path | None) -> Dataset:
        rows: dict[str, dict] = {}
        csv.field_size_limit(10**9)
        for part in ("train", "test"):
            with (folder / f"routerbench_{task}_{part}.csv").open(encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    rows.setdefault(row["sample_id"], row)
        models = sorted(name.split("|")[0] for name in next(iter(rows.values())) if name.endswith("|model_response"))
        kept = [row for row in rows.values() if all(row[model] != "" for model in models)]
        texts = [[_text(row[f"{model}|model_response"]) for model in models] for row in kept]
        prompts = [_question(_text(row["prompt"])) for row in kept]
        costs = np.array([np.mean([float(row[f"{m}|total_cost"]) for row in kept]) for m in models])
        scores = np.array([[float(row[model]) for model in models] for row in kept])
        answers = [[read_answer(text, kind) for text in row] for row in texts] if kind else None
        vectors = answer_embeddings(answers) if answers else embedded(texts, cache, embedder)
        short = tuple(model.split("/")[-1] for model in models)
        inputs = embedded([[prompt] for prompt in prompts], cache)[:, 0]
        table = AnswerTable(models=short, embeddings=vectors, prompts=inputs, scores=scores, costs=costs)
        return Dataset(f"RouterBench {task}", "shuhao02/RouterDC, no licence file", table, answers, "accuracy")

    return load


def _text(value: str) -> str:
    try:
        items = ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value
    return str(items[0]) if isinstance(items, list) and items else str(items)


def _question(prompt: str) -> str:
    """The last question of a few-shot prompt."""
    blocks = [block for block in re.split(r"\n\s*\n", prompt.strip()) if block.strip()]
    return blocks[-1]


_WEIGHTS = {"Major": 5.0, "Minor": 1.0}


def wmt(pair: str, embedder: str):
    def load(folder: Path, cache: Path | None) -> Dataset:
        penalties: dict[tuple[str, str], float] = {}
        texts: dict[tuple[str, str], str] = {}
        sources: dict[str, str] = {}
        with (folder / f"mqm_ted_{pair}.tsv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                key = row["seg_id"], row["system"]
                sources[row["seg_id"]] = re.sub(r"</?v>", "", row["source"])
                texts[key] = re.sub(r"</?v>", "", row["target"])
                penalties[key] = penalties.get(key, 0.0) + _penalty(row["category"], row["severity"])
        systems = sorted({system for _, system in texts} - {"ref", "refA", "refB", "ref-A", "ref-B"})
        segments = [s for s in sources if all((s, system) in texts for system in systems)]
        answers = [[texts[s, system] for system in systems] for s in segments]
        scores = np.array([[max(0.0, 1.0 - penalties[s, system] / 25.0) for system in systems] for s in segments])
        inputs = embedded([[sources[s]] for s in segments], cache, "ngrams")[:, 0]
        table = AnswerTable(
            models=tuple(systems),
            embeddings=embedded(answers, cache, embedder),
            prompts=inputs,
            scores=scores,
            costs=None,
        )
        name = f"WMT21 TED {pair[:2]}-{pair[2:]}, {embedder}"
        return Dataset(name, "google/wmt-mqm-human-evaluation, Apache-2.0", table, None, "1 - MQM / 25", answers)

    return load


def _penalty(category: str, severity: str) -> float:
    """MQM weights of the metrics shared task: 25 for non-translation, 5 major, 1 minor, .1 minor punctuation."""
    if category.lower().startswith("non-translation"):
        return 25.0
    if severity == "Minor" and category.lower() == "fluency/punctuation":
        return 0.1
    return _WEIGHTS.get(severity, 0.0)


def cnn(folder: Path, cache: Path | None) -> Dataset:
    head = json.loads((GOLDEN / "cnn_reference_minilm.json").read_text(encoding="utf-8"))
    rouge = np.load(GOLDEN / "cnn_rouge_per_sample.npy", allow_pickle=False)
    table = AnswerTable(
        models=tuple(head["models"]),
        embeddings=np.load(GOLDEN / "cnn_gen_emb_minilm.npy", allow_pickle=False),
        prompts=np.load(GOLDEN / "cnn_proxy_input_emb_minilm.npy", allow_pickle=False),
        scores=rouge[:, :, 1],
        costs=None,
    )
    return Dataset("CNN/DailyMail", "HazyResearch/smoothie, MIT; references yixinL7/BRIO", table, None, "ROUGE-2")


CORPUS_KINDS = {"sorting": "sequence", "word_reversal": "sequence", "spelling_backward": "word", "leap_year": "yes_no"}


def corpus(folder: Path, cache: Path | None) -> Dataset:
    """The recorded models of this package on the prompts that all three answered, compared by final answer."""
    paths = [corpus_path(name) for name in ("specialist", "smollm2", "gemma3")]
    panel = read_panel(read_traces(paths).read_all())
    keep = (panel.rows >= 0).all(axis=(1, 2)).nonzero()[0]
    domains = panel.slices("domain")
    texts = panel.answers()
    answers = [
        [
            read_answer(cell[0], CORPUS_KINDS.get(str(domains[i]), "number")) or final_answer(cell[0] or "")
            for cell in texts[i]
        ]
        for i in keep
    ]
    scores = panel.means(panel.table["correct"].to_numpy())[keep]
    prompts = np.asarray(panel.prompts(), dtype=object)[keep].tolist()
    inputs = make_embedder("ngrams").embed(prompts)
    table = AnswerTable(
        models=panel.models,
        embeddings=answer_embeddings(answers),
        prompts=inputs,
        scores=scores,
        costs=None,
        groups=domains[keep],
    )
    return Dataset("recorded corpus", "this package", table, answers, "accuracy")


LOADERS = {
    "recorded corpus": corpus,
    "CNN/DailyMail": cnn,
    "RouterBench arc_challenge": routerbench("arc_challenge", "choice"),
    "RouterBench winograde": routerbench("winograde", "choice"),
    "RouterBench mbpp": routerbench("mbpp", None, "wordllama"),
    "WMT21 TED zh-en, minilm": wmt("zhen", "minilm"),
    "WMT21 TED zh-en, wordllama": wmt("zhen", "wordllama"),
    "WMT21 TED zh-en, ngrams": wmt("zhen", "ngrams"),
    "WMT21 TED en-de, wordllama": wmt("ende", "wordllama"),
    "WMT21 TED en-de, ngrams": wmt("ende", "ngrams"),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--embeddings", type=Path)
    options = parser.parse_args()
    found, missing = datasets(options.data, options.embeddings)
    for one in found:
        means = dict(zip(one.table.models, np.nanmean(one.table.scores, axis=0).round(3).tolist(), strict=True))
        print(f"{one.name}: {len(one.table)} prompts, {len(one.table.models)} models, {one.score} {means}")
    print("\n".join(missing))


if __name__ == "__main__":
    main()
