"""What is believed about the answer to one prompt: answers with weights, and what is not known of them."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nilometer.arrays import Floats
from nilometer.errors import NotEnoughDataError
from nilometer.signals import Parser, canonical_answer

from .draws import FailedDraw

__all__ = ["Bounds", "Posterior"]

_ROUNDING = 1e-3
_EXAMPLES, _EXAMPLE_LENGTH = 5, 120


class Bounds(NamedTuple):
    """The smallest and the largest value that what is known allows."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """A distribution over the answers to one prompt.

    Make it with ``from_samples``, ``from_label_logprobs``, or ``posterior_from_response`` and its neighbours.
    Equal answers are merged and stand in a fixed order (numbers ascending, others as in ``labels``, else
    alphabetically), which is also how rules break ties: the first of equally good answers wins.
    """

    values: tuple[Any, ...]
    """Different answers: numbers, texts, ``frozenset`` (sets), sorted ``tuple`` (bags)."""
    weights: Floats
    """Shape (values,), probabilities that sum to 1."""
    labels: tuple[Any, ...] | None = None
    """The whole scale, where there is one."""
    n_samples: int | None = None
    """Draws behind the weights; None if they come from log-probabilities."""
    n_effective: float | None = None
    """``1 / sum(w_i**2)`` over the draws, in [1, n_samples]; None if there are no draws."""
    missing_mass: float = 0.0
    """Probability that the model gave to anything but the listed labels, in [0, 1)."""
    open_labels: tuple[Any, ...] = ()
    """Labels whose probability is not fully known, because the provider listed too few tokens."""
    largest_open: float = 0.0
    """No open label holds more of the missing mass than this."""
    n_failures: int = 0
    """Answers that could not be read."""
    failures: tuple[str, ...] = ()
    """The first few of them, shortened."""
    temperature: float | None = None
    """To which the probabilities refer; None if nobody said."""

    def __post_init__(self) -> None:
        weights = np.array(self.weights, dtype=np.float64)
        if weights.shape != (len(self.values),) or not weights.size:
            raise ValueError(f"`weights` must be one per value, got {weights.shape} for {len(self.values)}.")
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(f"`weights` must be finite and >= 0, got {weights.tolist()[:5]}.")
        total = float(weights.sum())
        if not 0 < total < math.inf:
            raise ValueError(f"`weights` must sum to more than 0, got {total:g}.")
        weights /= total
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)

    @property
    def kind(self) -> str:
        """What the answers are: ``number``, ``set`` (bags too) or ``text``."""
        if all(isinstance(value, int | float) for value in self.values):
            return "number"
        return "set" if all(isinstance(value, frozenset | tuple) for value in self.values) else "text"

    @property
    def numbers(self) -> Floats:
        """The values as numbers, shape (values,)."""
        if self.kind != "number":
            raise ValueError(f"the answers must be numbers, got {self.values[0]!r}. Read them with `parse_number`.")
        return np.array(self.values, dtype=np.float64)

    @property
    def mean(self) -> float:
        """Expected value of the answer."""
        return float(self.weights @ self.numbers)

    @property
    def sd(self) -> float:
        """Standard deviation of the answer; how unsure the model is, not how unsure the mean is."""
        return float(np.sqrt(self.weights @ (self.numbers - self.mean) ** 2))

    def mean_bounds(self) -> Bounds:
        r"""Smallest and largest mean over every way to give the missing mass to the open labels.

        .. math:: \frac{\sum_i p_i y_i + \sum_u q_u y_u}{\sum_i p_i + \sum_u q_u}, \quad
                  0 \le q_u \le c, \; \textstyle\sum_u q_u \le m

        with the missing mass ``m`` and the largest open share ``c``. The best filling gives mass to the open
        labels from the outermost inward, as long as they lie beyond the mean reached so far.
        """
        listed = self.weights * (1 - self.missing_mass)
        start = (float(listed @ self.numbers), float(listed.sum()))
        ordered = sorted(float(label) for label in self.open_labels)
        return Bounds(self._filled(start, ordered, sign=1), self._filled(start, ordered[::-1], sign=-1))

    def _filled(self, start: tuple[float, float], ordered: Sequence[float], *, sign: int) -> float:
        total, mass = start
        left = self.missing_mass
        for label in ordered:
            share = min(left, self.largest_open)
            if share <= 0 or sign * (total / mass - label) <= 0:
                break
            total, mass, left = total + share * label, mass + share, left - share
        return total / mass

    def tempered(self, temperature: float) -> "Posterior":
        """Return the posterior with the weights raised to ``self.temperature / temperature`` and renormalised.

        For label log-probabilities this is the model's own distribution at that temperature, given that it
        answers with a listed label whose probability is that of one token. Draws carry no probabilities to raise:
        weight them when the posterior is made (`logprobs` and `sampling_logprobs` of ``from_samples``).

        Raises
        ------
        ValueError
            If a temperature is unknown or not positive, or the weights come from draws.
        """
        if not (temperature > 0 and math.isfinite(temperature)):
            raise ValueError(f"`temperature` must be a finite number > 0, got {temperature}.")
        if self.n_samples is not None:
            raise ValueError(
                "weights of samples cannot be moved to another temperature. Give `logprobs` and `sampling_logprobs` "
                "to `Posterior.from_samples`, or draw at the temperature you want."
            )
        if not self.temperature:
            raise ValueError("the posterior must know the temperature of its log-probabilities. Give `temperature`.")
        power = self.temperature / temperature
        return replace(self, weights=_powered(self.weights, power), temperature=temperature)

    def reweighted(self, weights: ArrayLike, values: Sequence[Any] | None = None) -> "Posterior":
        """Return the same posterior with other weights, and with other values in their place."""
        kept = self.values if values is None else tuple(values)
        return replace(self, weights=np.asarray(weights, dtype=np.float64), values=kept)

    @classmethod
    def from_samples(
        cls,
        samples: Sequence[Any],
        parse: Parser | None = None,
        *,
        labels: Sequence[Any] | None = None,
        logprobs: ArrayLike | None = None,
        sampling_logprobs: ArrayLike | None = None,
        temperature: float | None = None,
    ) -> "Posterior":
        """Make a posterior from answers that were drawn from a model.

        Without log-probabilities every draw counts the same, duplicates included. With `logprobs` alone every
        *different* text counts once, in proportion to its probability (Jinnai et al. 2024); weighting repeated
        draws by their probability would count it twice. With both, draws count by the ratio of the two, which
        carries them to another temperature or model; where sampling cut the tail off (top-k, top-p), no weight
        brings it back.

        Parameters
        ----------
        samples
            Answers: texts, or values that are read already; lists and sets are sets, None is a failed draw.
        parse
            Reads a text; what it returns None for is counted in ``n_failures``.
        labels
            The scale; answers outside it are failures.
        logprobs
            Shape (samples,), log-probability of each whole answer under the distribution wanted.
        sampling_logprobs
            Shape (samples,), log-probability under the distribution that was drawn from.
        temperature
            To which the draws refer.

        Raises
        ------
        NotEnoughDataError
            If there are no samples, or none can be read.
        ValueError
            If a log-probability is positive or NaN, or a number is not finite.

        Examples
        --------
        >>> posterior = Posterior.from_samples(["4", "4", " 5", "?"], lambda text: int(text) if text != "?" else None)
        >>> posterior.values, posterior.weights.round(3).tolist(), posterior.n_failures
        ((4, 5), [0.667, 0.333], 1)
        """
        kept, read, failed = _read(samples, parse, labels)
        weights = _draw_weights(
            [samples[i] for i in kept], kept, logprobs=logprobs, sampling_logprobs=sampling_logprobs
        )
        values, merged = _merged(read, weights, labels)
        return cls(
            values=values,
            weights=merged,
            labels=None if labels is None else tuple(labels),
            n_samples=len(kept),
            n_effective=float(weights.sum() ** 2 / (weights**2).sum()),
            n_failures=len(failed),
            failures=tuple(str(text)[:_EXAMPLE_LENGTH] for text in failed[:_EXAMPLES]),
            temperature=temperature,
        )

    @classmethod
    def from_label_logprobs(
        cls,
        logprobs: Mapping[Hashable, float],
        *,
        labels: Sequence[Any] | None = None,
        parse: Parser | None = None,
        smallest_listed: float | None = None,
        temperature: float | None = None,
    ) -> "Posterior":
        """Make a posterior from the log-probability of each label.

        Labels of the scale that are not listed stay open: each holds at most the smallest probability that was
        listed, all together at most the missing mass.

        Parameters
        ----------
        logprobs
            Log-probability (natural) of each label or token text; variants that `parse` reads as one label add up.
        labels
            The scale; other keys count as missing mass.
        parse
            Reads a key.
        smallest_listed
            Smallest probability that the provider listed, other tokens included; by default that of the keys.
        temperature
            To which the log-probabilities refer; 1 where the server reports them before temperature.

        Raises
        ------
        NotEnoughDataError
            If no label has a probability.
        ValueError
            If a log-probability is positive or NaN, or the probabilities sum to more than 1.

        Examples
        --------
        >>> posterior = Posterior.from_label_logprobs({4: -0.5, 5: -1.2}, labels=range(1, 6))
        >>> round(posterior.mean, 3), round(posterior.missing_mass, 3), posterior.open_labels
        (4.332, 0.092, (1, 2, 3))
        """
        listed = np.array([*logprobs.values()], dtype=np.float64)
        _check_logprobs(listed, "logprobs")
        masses = np.exp(np.minimum(listed, 0.0))
        if masses.sum() > 1 + _ROUNDING:
            raise ValueError(f"`logprobs` must be of probabilities that sum to at most 1, got {masses.sum():.3f}.")
        found: dict[Any, float] = {}
        for key, mass in zip(logprobs, masses, strict=True):
            value = parse(str(key)) if parse else key
            if value is not None and (labels is None or value in labels) and mass > 0:
                found[value] = found.get(value, 0.0) + float(mass)
        if smallest_listed is None:
            smallest_listed = float(masses.min(initial=1.0))
        return cls.from_masses(found, labels=labels, largest_open=smallest_listed, temperature=temperature)

    @classmethod
    def from_masses(
        cls,
        masses: Mapping[Any, float],
        *,
        labels: Sequence[Any] | None,
        largest_open: float,
        open_labels: Sequence[Any] | None = None,
        temperature: float | None = None,
    ) -> "Posterior":
        """Make a posterior from probabilities of labels that need not sum to 1; the rest is missing mass."""
        if not masses:
            raise NotEnoughDataError(
                "no label of the scale has a probability.", "Ask for more `top_logprobs`, or check `labels`."
            )
        missing = max(0.0, 1.0 - math.fsum(masses.values()))
        left = [label for label in labels or () if label not in masses] if open_labels is None else open_labels
        values, weights = _merged([*masses], np.array([*masses.values()]), labels)
        return cls(
            values=values,
            weights=weights,
            labels=None if labels is None else tuple(labels),
            missing_mass=missing,
            open_labels=tuple(left),
            largest_open=min(missing, largest_open),
            temperature=temperature,
        )


def _powered(weights: Floats, power: float) -> Floats:
    """Raise weights to a power in log space; zeros stay zero. Shape (values,), not normalised."""
    logs = np.log(np.maximum(weights, np.finfo(float).tiny)) * power
    raised: Floats = np.where(weights > 0, np.exp(np.maximum(logs - logs.max(), -700.0)), 0.0)
    return raised


def _read(samples: Sequence[Any], parse: Parser | None, labels: Sequence[Any] | None) -> tuple[list[int], Any, Any]:
    """Places of the readable samples, their values, and the samples that are not readable."""
    if isinstance(samples, str):
        raise TypeError("`samples` must be a sequence of answers, got one text.")
    if not len(samples):
        raise NotEnoughDataError("there are no samples.", "Give at least one answer.")
    kept, read, failed = [], [], []
    for place, sample in enumerate(samples):
        value = _value(sample, parse)
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, int | float) and not math.isfinite(value):
            raise ValueError(f"`samples` must be finite numbers, got {value!r}.")
        if value is None or (labels is not None and value not in labels):
            failed.append(sample)
        else:
            kept.append(place)
            read.append(value)
    if not kept:
        shown = str(failed[0])[:_EXAMPLE_LENGTH]
        raise NotEnoughDataError(
            f"none of the {len(samples):,} samples can be read, for example {shown!r}.",
            "Check `parse` and `labels`.",
        )
    return kept, read, failed


def _value(sample: Any, parse: Parser | None) -> Any:
    """What a sample says: lists and objects of JSON are read by the parser as text, and are sets without one."""
    if isinstance(sample, FailedDraw):
        return None
    if parse is not None and isinstance(sample, list | set | frozenset | dict):
        return parse(json.dumps(sample, ensure_ascii=False, default=list))
    if isinstance(sample, str):
        return parse(sample) if parse else sample
    return canonical_answer(sample)


def _check_logprobs(values: Floats, name: str) -> None:
    if np.isnan(values).any():
        raise ValueError(f"`{name}` must be numbers, got NaN.")
    if values.size and values.max() > _ROUNDING:
        raise ValueError(f"`{name}` must be <= 0, got {values.max():g}.")


def _draw_weights(samples: list[Any], kept: list[int], *, logprobs: Any, sampling_logprobs: Any) -> Floats:
    if logprobs is None:
        if sampling_logprobs is not None:
            raise ValueError("`sampling_logprobs` must come with `logprobs`, the log-probabilities wanted.")
        return np.ones(len(kept))
    wanted = np.asarray(logprobs, dtype=np.float64)
    drawn = np.zeros_like(wanted) if sampling_logprobs is None else np.asarray(sampling_logprobs, dtype=np.float64)
    for values, name in ((wanted, "logprobs"), (drawn, "sampling_logprobs")):
        if values.ndim != 1 or len(values) <= kept[-1]:
            raise ValueError(f"`{name}` must be one per sample, got shape {values.shape}.")
        _check_logprobs(values, name)
    logs = (wanted - drawn)[kept]
    if sampling_logprobs is None:
        seen: set[Any] = set()
        first = [not (sample in seen or seen.add(sample)) for sample in samples]  # type: ignore[func-returns-value]
        logs = np.where(first, logs, -np.inf)
    if not np.isfinite(logs).any():
        raise ValueError("`logprobs` must give at least one readable sample a probability above 0.")
    weights: Floats = np.exp(np.maximum(logs - logs.max(), -745.0))
    return np.where(np.isfinite(logs), weights, 0.0)


def _merged(values: Sequence[Any], weights: Floats, labels: Sequence[Any] | None) -> tuple[tuple[Any, ...], Floats]:
    """Merge equal values; numbers ascending, others in the order of the scale or of the alphabet."""
    totals: dict[Any, float] = {}
    for value, weight in zip(values, weights.tolist(), strict=True):
        totals[value] = totals.get(value, 0.0) + weight
    places = {label: place for place, label in enumerate(labels or ())}
    ordered = sorted(totals, key=lambda value: (places.get(value, -1), *_order_key(value)))
    if all(isinstance(value, int | float) for value in totals):
        ordered = sorted(totals)
    return tuple(ordered), np.array([totals[value] for value in ordered])


def _order_key(value: Any) -> tuple[int, Any]:
    """Return a key under which answers of one kind stand in a fixed order: small sets first, then by their items."""
    if isinstance(value, frozenset | tuple):
        return len(value), sorted(map(str, value))
    return 0, str(value)
