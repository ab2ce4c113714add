"""The table of profile features: the one place that says what each name means."""

from typing import NamedTuple

__all__ = ["FEATURES", "FEATURE_NAMES", "PAPER_FEATURES", "Feature"]


class Feature(NamedTuple):
    """One entry of a profile.

    ``sign`` is +1 if a high value speaks for a correct answer, -1 if against, 0 if it is not known.
    """

    name: str
    formula: str
    low: float
    high: float
    unit: str
    sign: int
    doc: str


_INF = float("inf")


def _f(name: str, formula: str, scale: tuple[tuple[float, float], str, int], *, doc: str) -> Feature:
    bounds, unit, sign = scale
    return Feature(name, formula, *bounds, unit, sign, doc)


_UP = (0.0, _INF)
_UNIT = (0.0, 1.0)
_ANY = (-_INF, _INF)

_PAPER = (
    _f("mean", "(1/T) Σ h", (_UP, "nats", -1), doc="mean token entropy"),
    _f(
        "std",
        "√(Σ (h − mean)² / (T − 1))",
        (_UP, "nats", -1),
        doc="unbiased standard deviation; 0 for one token",
    ),
    _f("max", "max h", (_UP, "nats", -1), doc="largest token entropy"),
    _f("q10", "quantile 0.10 of h", (_UP, "nats", -1), doc="linearly interpolated quantile"),
    _f("q25", "quantile 0.25 of h", (_UP, "nats", -1), doc="linearly interpolated quantile"),
    _f("q50", "quantile 0.50 of h", (_UP, "nats", -1), doc="linearly interpolated quantile"),
    _f("q75", "quantile 0.75 of h", (_UP, "nats", -1), doc="linearly interpolated quantile"),
    _f("q90", "quantile 0.90 of h", (_UP, "nats", -1), doc="linearly interpolated quantile"),
    _f(
        "skewness",
        "mean((h − mean)³) / (std³ + 1e-8)",
        (_ANY, "1", 0),
        doc="with the unbiased std; 0 for one token",
    ),
    _f("kurtosis", "mean((h − mean)⁴) / (std⁴ + 1e-8)", (_UP, "1", 0), doc="not excess; 0 for one token"),
    _f("se_sum", "Σ h", (_UP, "nats", -1), doc="accumulated entropy; grows with length"),
    _f("nll_avg", "mean n", (_UP, "nats", -1), doc="mean negative log-probability of the sampled tokens"),
    _f("nll_max", "max n", (_UP, "nats", -1), doc="least probable sampled token"),
    _f("nll_sum", "Σ n", (_UP, "nats", -1), doc="negative log-probability of the whole answer"),
    _f("lntp", "Σ n log(n + 1e-8)", (_ANY, "nats²", -1), doc="the paper's code, not the literature's LNTP"),
    _f("mtp", "max n log(n + 1e-8)", (_ANY, "nats²", -1), doc="the paper's code, not the literature's MTP"),
    _f("ppl", "exp(nll_avg)", ((1.0, _INF), "1", -1), doc="perplexity of the answer"),
)

_SPAN = "inside the last \\boxed{...}, else the last 32 tokens"

_EXTENDED = (
    _f("margin_min", "min m", (_UNIT, "1", 1), doc="smallest gap between the two best alternatives"),
    _f("margin_q05", "quantile 0.05 of m", (_UNIT, "1", 1), doc="low quantile of the gap"),
    _f("margin_mean", "mean m", (_UNIT, "1", 1), doc="mean gap"),
    _f("varentropy_mean", "mean v", (_UP, "nats²", -1), doc="mean varentropy of the renormalised list"),
    _f("varentropy_max", "max v", (_UP, "nats²", -1), doc="largest varentropy"),
    _f("share_above_0_5", "share of h > 0.5", (_UNIT, "1", -1), doc="share of unsure tokens"),
    _f("share_above_1", "share of h > 1", (_UNIT, "1", -1), doc="share of unsure tokens"),
    _f("share_above_2", "share of h > 2", (_UNIT, "1", -1), doc="share of unsure tokens"),
    _f("count_above_1", "number of h > 1", (_UP, "tokens", -1), doc="number of unsure tokens"),
    _f("share_not_best", "share of rank > 1", (_UNIT, "1", -1), doc="sampled tokens that were not the best"),
    _f("prob_min", "min p(sampled)", (_UNIT, "1", 1), doc="least probable sampled token"),
    _f("confidence_mean", "mean c", (_UP, "nats", 1), doc="c = −mean log p over the list (DeepConf)"),
    _f(
        "confidence_low_32",
        "lowest mean of c over 32 tokens",
        (_UP, "nats", 1),
        doc="lowest group; whole answer if shorter",
    ),
    _f("confidence_low_128", "lowest mean of c over 128 tokens", (_UP, "nats", 1), doc="lowest group"),
    _f("confidence_low_512", "lowest mean of c over 512 tokens", (_UP, "nats", 1), doc="lowest group"),
    _f("confidence_bottom_10", "mean of the lowest tenth of c", (_UP, "nats", 1), doc="at least one token"),
    _f("confidence_tail_128", "mean of the last 128 of c", (_UP, "nats", 1), doc="end of the answer"),
    *(
        _f(
            f"decile_{i}",
            f"mean h, tokens in [{i}/10, {i + 1}/10) of the answer",
            (_UP, "nats", -1),
            doc="entropy by position",
        )
        for i in range(10)
    ),
    _f("slope", "least-squares slope of h on position in [0, 1]", (_ANY, "nats", 0), doc="0 for one token"),
    _f("linearity", "R² of that line", (_UNIT, "1", 0), doc="0 for one token or constant h"),
    _f("argmax_position", "position of max h", (_UNIT, "1", 0), doc="first of equals; 0 is the first token"),
    _f(
        "last_minus_first",
        "mean h of the last third − of the first",
        (_ANY, "nats", -1),
        doc="0 for fewer than 3 tokens",
    ),
    _f("answer_prob_min", "min p(sampled) in the answer span", (_UNIT, "1", 1), doc=_SPAN),
    _f("answer_margin_mean", "mean m in the answer span", (_UNIT, "1", 1), doc=_SPAN),
    _f("answer_entropy_max", "max h in the answer span", (_UP, "nats", -1), doc=_SPAN),
    _f("tail_mass_mean", "mean r", (_UNIT, "1", -1), doc="probability outside the list"),
    _f("tail_mass_max", "max r", (_UNIT, "1", -1), doc="probability outside the list"),
    _f("log_length", "log(1 + T)", (_UP, "log tokens", 0), doc="length of the answer"),
    _f("truncated", "finish reason is a length limit", (_UNIT, "flag", -1), doc="cut at the token limit"),
    _f("no_answer", "no token or empty text", (_UNIT, "flag", -1), doc="nothing was answered"),
)

FEATURES: dict[str, Feature] = {feature.name: feature for feature in (*_PAPER, *_EXTENDED)}
"""h token entropy, n = −log p(sampled), m margin, v varentropy, c list confidence, r tail mass, T tokens."""

FEATURE_NAMES: tuple[str, ...] = tuple(FEATURES)
PAPER_FEATURES: tuple[str, ...] = tuple(feature.name for feature in _PAPER)
