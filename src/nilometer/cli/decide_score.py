"""``nilometer decide --score``: the probability of every candidate, asked of the model instead of drawn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from nilometer import estimators, models, signals
from nilometer.errors import ConfigError, NotEnoughDataError, TraceFormatError

from .common import progress, talk
from .decide_inputs import Asked, Reading, listed_candidates, read_questions
from .runners import keys_from_environment, open_runner

__all__ = ["ScoreOptions", "score_candidates"]

_AT_ONCE = 16


class ScoreOptions(NamedTuple):
    """What scores."""

    where: str
    model_name: str | None
    retries: models.Retries = models.PATIENT
    concurrency: int = 16


def score_candidates(files: Sequence[str], reading: Reading, options: ScoreOptions) -> Asked:
    """Score the candidates of every prompt, those of its line or the labels of the scale, and make posteriors.

    Labels are scored with and without a space before them, since models differ in what they write; a chat template
    takes them as they are.

    Raises
    ------
    ConfigError
        If a prompt has no candidates, or the model cannot be opened.
    """
    questions = read_questions(files)
    given = [_texts(question) for question in questions]
    scorer, is_chat = _scorer(options)
    usual = [signals.label_text(label) for label in reading.labels or ()]
    candidates = [own or (usual if is_chat else [*usual, *(f" {text}" for text in usual)]) for own in given]
    missing = next((one.prompt_id for one, own in zip(questions, candidates, strict=True) if not own), None)
    if missing is not None:
        raise ConfigError(f"the prompt {missing} has nothing to score. Give `candidates` in its line, or `--labels`.")
    asked = Asked()
    with progress("Scoring") as advance:
        for start in range(0, len(questions), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found = scorer.score([one.prompt for one in questions[part]], candidates[part])
            for question, texts, logprobs in zip(questions[part], candidates[part], found, strict=True):
                _add(asked, question, _posterior(texts, logprobs, reading), reading)
            advance(len(found))
    _say(asked, sum(map(len, candidates)))
    return asked


def _texts(question: models.Question) -> list[str]:
    """The candidates of a line as texts, each once."""
    try:
        texts = list(dict.fromkeys(map(str, listed_candidates(question.candidates) or ())))
    except TraceFormatError as exc:
        raise TraceFormatError(f"{question.place}: {exc}") from exc
    if "" in texts:
        raise TraceFormatError(f"{question.place}: a candidate must have a text, got ''.")
    return texts


def _scorer(options: ScoreOptions) -> tuple[models.Scorer, bool]:
    """Return what scores, and whether candidates stand in a chat template."""
    kind, _, where = options.where.partition(":")
    if kind in {"openai", "vllm"} and where:
        if options.model_name is None:
            raise ConfigError("`--model-name` must name the model at the server.")
        made = models.EchoScorer if kind == "openai" else models.PromptScorer
        scorer = made(
            where,
            model=options.model_name,
            keys=keys_from_environment(),
            retries=options.retries,
            concurrency=options.concurrency,
        )
        return scorer, kind == "vllm"
    if kind not in {"hf", "smollm2"}:
        raise ConfigError(f"`--score` must be hf:FOLDER, smollm2, openai:URL or vllm:URL, got {options.where!r}.")
    runner = open_runner(options.where, name=options.model_name)
    assert isinstance(runner, models.HFRunner), "the other kinds are opened above"
    return models.HFScorer(runner), False


def _posterior(texts: Sequence[str], logprobs: Any, reading: Reading) -> estimators.Posterior | NotEnoughDataError:
    """Posterior over what the candidates say; one that the numbers of a server overfill is brought to 1."""
    import numpy as np

    total = float(np.logaddexp.reduce(logprobs))
    scored: dict[Hashable, float] = dict(zip(texts, (logprobs - max(total, 0.0)).tolist(), strict=True))
    try:
        return estimators.Posterior.from_label_logprobs(
            scored, labels=reading.labels, parse=reading.plain, smallest_listed=0.0, temperature=1.0
        )
    except NotEnoughDataError as exc:
        return exc


def _add(
    asked: Asked, question: models.Question, posterior: estimators.Posterior | NotEnoughDataError, reading: Reading
) -> None:
    asked.add(question.prompt_id, posterior)
    asked.facts.append({})
    if question.gold is not None:
        asked.truths[question.prompt_id] = reading.plain(question.gold)


def _say(asked: Asked, n_candidates: int) -> None:
    import numpy as np

    missing = [one.missing_mass for one in asked.posteriors if isinstance(one, estimators.Posterior)]
    mean, most = (float(np.mean(missing)), max(missing)) if missing else (1.0, 1.0)
    asked.summary = {"n_scored": n_candidates, "mean_missing_mass": mean}
    talk(
        f"Scored {n_candidates:,} candidates of {len(asked.ids):,} prompts; {mean:.1%} of the probability is on none "
        f"of them, at most {most:.1%}."
    )
