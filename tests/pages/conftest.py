"""Results with the same text in every field, texts that try to act, and a browser where there is one."""

import numpy as np
import pytest

from nilometer.decisions import (
    Alert,
    Curve,
    Decision,
    Decisions,
    Event,
    Example,
    ModelRow,
    Outlook,
    PolicyPoint,
    Report,
    RouteReport,
    SliceAcquisition,
    SlicePlan,
    SliceRow,
    Watch,
    WindowSlice,
)
from nilometer.estimators import Estimate, FamilyCheck, ModelQualities, NotEnoughData, SliceEstimates
from nilometer.pages import (
    AnswerView,
    TokenView,
    render_html,
    render_route_html,
    render_tokens,
    render_watch_html,
)
from nilometer.traces import diagnose

INJECTIONS = (
    "</script><script>window.acted=1</script>",
    "<!--<script>",
    "<!--<script></script>",
    "]]><script>window.acted=1</script>",
    "</style><script>window.acted=1</script>",
    "</title><img src=x onerror=window.acted=1>",
    "<svg onload=window.acted=1>",
    "</text></svg><script>window.acted=1</script>",
    '" onmouseover="window.acted=1" x="',
    "' onfocus='window.acted=1' autofocus x='",
    '"><iframe srcdoc="<script>parent.acted=1</script>">',
    "javascript:window.acted=1",
    "<a href=https://example.com>x</a>",
    "<meta http-equiv=refresh content=0;url=https://example.com>",
    "<base href=https://example.com>",
    "@import url(https://example.com/x.css);",
    "{{ 7 * 191 }}{% raw %}",
    "${window.acted=1}`",
    "\\u003cscript\\u003e",
    '\\" + (1 + 1) + "',
    "&lt;b&gt;&#0;",
    "a\x00b\x01c\x08\x0b\x0c\x1f\x7f\x9b",
    "\x1b]0;HIJACK\x07\x1b[2J",
    "\u202e0.54 (0.14 to 0.54)\u202c\u2066\u200f",
    "\ufffe\uffff\ufdd0\U0001ffff",
    "lone \ud800 half",
    "line\u2028paragraph\u2029\r\nend\rx",
    "\u200b\ufeff\u00ad\U000e0041",
    "k" * 20_000,
    "__proto__",
    "",
)


def _estimate(name, text, accuracy=0.4):
    return Estimate(
        slice=name,
        n=100,
        accuracy=accuracy,
        low=0.3,
        high=0.5,
        confidence_level=0.95,
        method=text,
        n_labels=10,
        realized_accuracy=0.45,
        note=text,
    )


def watch_of(text):
    names = (text, "other")
    windows = (text, "2026-01-02")
    rows = tuple(
        WindowSlice(window=window, slice=name, n=50, share=0.5, estimate=_estimate(name, text), realized=None)
        for window in windows
        for name in names
    )
    alert = Alert(kind=text, slice=text, window=text, message=text, p_value=0.01)
    event = Event(
        kind=text,
        start=text,
        end="2026-01-02",
        slices=(text,),
        n_slices=2,
        before=0.8,
        after=0.5,
        reasons=(text,),
        alerts=(alert,),
    )
    return Watch(
        by=(text,), windows=windows, rows=rows, changes=(), alerts=(alert,), notes=(text,), events=(event,), every=text
    )


def report_of(text):
    few = NotEnoughData(slice=f"few {text}", n=1, reason=text, needed=text)
    estimates = SliceEstimates([_estimate(text, text), _estimate("other", "", 0.9), few])
    plan = tuple(
        SlicePlan(slice=row.slice, n=100, n_labels=10, n_new=5, half_width=0.2, expected_half_width=0.1)
        for row in estimates
    )
    acquisition = SliceAcquisition(
        slice=text,
        n=100,
        share=0.5,
        accuracy=0.4,
        p_worst=0.9,
        n_new=10,
        cost=10.0,
        errors_closed=1.5,
        errors_closed_per_cost=0.1,
    )
    curve = Curve(text, (0.1, 0.9), (0.2, 0.8), (0.1, 0.1))
    return Report(
        by=(text, "b"),
        n=201,
        n_labels=10,
        method=text,
        confidence_level=0.95,
        estimates=estimates,
        entropy_curves=(curve,),
        calibration=curve,
        scores=(curve,),
        examples=(Example(text, text, text, (text, "x"), (0.5, 1.0), 0.0),),
        diagnosis={"findings": [{"severity": text, "message": text, "cure": text}]},
        notes=(text,),
        overall=_estimate("(all traffic)", text),
        label_free=estimates,
        outlook=Outlook(plan, 100, (acquisition,)),
        watch=watch_of(text),
    )


def commands_of(text):
    return dict.fromkeys(("watch", "label", "acquire", "weak"), text)


def ranking_of(text):
    return Report(
        by=(text,),
        n=2,
        n_labels=0,
        method=text,
        confidence_level=0.95,
        estimates=SliceEstimates([]),
        overall=NotEnoughData(slice="(all traffic)", n=2, reason="No labels and no sentinel.", needed="Label some."),
        ranking=((text, 2, 0.5),),
        notes=(text,),
    )


def routes_of(text):
    models = (text, "other")
    rows = tuple(ModelRow(name, 5, -0.1, -0.2, 0.0, 0.5, 0.4, 0.6, 3, 1.0) for name in models)
    points = tuple(PolicyPoint(name, "model", 1.0 + i, 0.5, 0.4, 0.6, 5) for i, name in enumerate(models))
    chosen = SliceRow(text, 20, text, text, (-0.1, -0.2), (-0.2, -0.3), (0.0, -0.1), (0.5, None))
    few = NotEnoughData(slice=text, n=1, reason=text, needed=text)
    families = FamilyCheck(
        families=((text, "other"),), pairs=(), best=text, reason=text, best_masked=text, changed_routes=0.1
    )
    return RouteReport(
        by=text,
        names=models,
        n_prompts=20,
        models=rows,
        best=text,
        separation=text,
        families=families,
        slices=(chosen, few),
        policies=points,
        cost_unit=text,
        explanation=text,
        notes=(text,),
    )


def answers_of(text):
    tokens = tuple(TokenView(part, 0.3, 0.5, 1.0, 0.5, ((part, 0.5), (None, 0.25))) for part in (text, "x"))
    return [AnswerView(text, text, tokens, 0.0, np.full((2, 2, 2), 0.5))]


def decisions_of(text):
    row = Decision(
        value=text,
        risk=0.2,
        runner_up=text,
        regret=0.1,
        stability=0.9,
        n_effective=5.0,
        missing_mass=0.0,
        n_failures=0,
        rule=text,
    )
    return Decisions([row], rule=text, expected=0.2)


def qualities_of(text):
    return ModelQualities((text, "other"), np.array([0.1, 0.2]), np.eye(2) * 0.01, 20, 20.0)


@pytest.fixture(scope="session")
def injections():
    """Texts that try to act: those that may stand in one text together as one, and those that end others apart."""
    return ("".join(text for text in INJECTIONS if len(text) < 1000), "<!--<script>", INJECTIONS[0] * 2000)


@pytest.fixture(params=INJECTIONS, ids=lambda text: ascii(text)[:30])
def injection(request):
    """A text that tries to act."""
    return request.param


@pytest.fixture(scope="session")
def results():
    """Functions that make a result with a text in every field."""
    return {
        "estimates": lambda text: report_of(text).estimates,
        "report": report_of,
        "watch": watch_of,
        "routes": routes_of,
        "qualities": qualities_of,
        "decisions": decisions_of,
        "diagnosis": lambda text: diagnose([]),
    }


@pytest.fixture(scope="session")
def pages():
    """Functions that write a page with a text in every field."""
    return {
        "report": lambda text: render_html(report_of(text), title=text, commands=commands_of(text)),
        "ranking": lambda text: render_html(ranking_of(text)),
        "watch": lambda text: render_watch_html(watch_of(text), title=text),
        "routes": lambda text: render_route_html(routes_of(text), title=text),
        "tokens": lambda text: render_tokens(answers_of(text), calibrated=True, title=text),
    }
