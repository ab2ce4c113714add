"""The routing report and its page."""

import json
import re

import numpy as np

from nilometer.decisions import AnswerTable, build_route_report, fit_router
from nilometer.decisions.routes.report import lonely_models
from nilometer.estimators import NotEnoughData, Smoothie
from nilometer.pages import render_route_html


def table(seed=0, n=200, *, labels=True, costs=(4.0, 3.0, 2.0, 1.0)):
    rng = np.random.default_rng(seed)
    scales = np.tile([0.4, 0.8, 1.2, 1.6], (n, 1))
    scales[: n // 2] = scales[: n // 2, ::-1]
    x = rng.normal(size=(n, 1, 3)) + rng.normal(size=(n, 4, 3)) * scales[:, :, None]
    x[:, 1] = np.where(rng.random((n, 1)) < 0.6, x[:, 0] + 0.05, x[:, 1])
    scores = (rng.random((n, 4)) < 1.0 / (1.0 + scales)).astype(float) if labels else None
    names = ("<b>a</b>", "b", "c", "d")
    return AnswerTable(models=names, embeddings=x, scores=scores, costs=np.array(costs))


def slices(n=200):
    return ["one"] * (n // 2) + ["two"] * (n // 2 - 3) + ["tiny"] * 3


def report(data, **arguments):
    return build_route_report(fit_router(data), data, slices=slices(len(data)), by="domain", **arguments)


def test_slices_get_their_own_model_where_it_is_surely_better():
    found = report(table(labels=False))
    rows = {row.slice: row for row in found.slices}
    assert isinstance(rows["tiny"], NotEnoughData)
    assert {rows["one"].model, rows["two"].model} != {found.best}
    assert "nearer to the others here than" in rows["one"].reason + rows["two"].reason


def test_the_report_names_families():
    data = table()
    alone = np.random.default_rng(1).normal(size=(200, 1, 3))
    five = AnswerTable(models=(*data.models, "e"), embeddings=np.concatenate([data.embeddings, alone], axis=1))
    plain = json.loads(json.dumps(report(five).to_dict()))
    assert plain["families"]["families"] == [["<b>a</b>", "b"]]


def test_the_report_is_plain_json():
    found = report(table())
    plain = json.loads(json.dumps(found.to_dict()))
    assert len(plain["models"]) == 4
    assert {row["slice"] for row in plain["slices"]} == {"one", "two", "tiny"}
    assert any(point["kind"] == "cascade" for point in plain["policies"])


def test_the_page_opens_offline_and_escapes_names():
    text = render_route_html(report(table(), notes=("3 answers <were> empty",)))
    assert text.startswith("<!doctype html>")
    assert "<b>a</b></td>" not in text
    assert "3 answers &lt;were&gt; empty" in text
    assert text.count('class="for-screen"') == 3
    assert not re.search(r"(src|href)=[\"']?http", text)


def test_within_a_budget_the_page_begins_with_the_model_that_keeps_it():
    data = table(labels=False)
    found = build_route_report(fit_router(data, budget=1.0), data)
    lead = render_route_html(found).split("<h2>")[0]
    assert "Within 1 a prompt: d " in lead
    assert "Whatever it costs" in lead
    assert "Within" not in render_route_html(report(data)).split("<h2>")[0]


def test_without_labels_there_are_no_policies_and_no_accuracies():
    found = report(table(labels=False))
    assert found.policies == ()
    assert all(row.accuracy is None for row in found.models)
    assert "<svg" in render_route_html(found)


def test_a_model_whose_rows_are_shuffled_is_pointed_out():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1, 8)) + 0.3 * rng.normal(size=(300, 4, 8))
    x[:, 2] = x[rng.permutation(300), 2]
    said = lonely_models(Smoothie().fit(x, models=["a", "b", "c", "d"]))
    assert len(said) == 1
    assert said[0].startswith("c lies")
    assert lonely_models(Smoothie().fit(x[:, [0, 1, 3]])) == []


def test_models_that_never_differ_are_no_reason_to_suspect_another():
    """Half the others at distance 0 make every distance infinitely many times the usual one."""
    x = np.random.default_rng(0).normal(size=(60, 1, 4))
    far = x + 5.0
    assert lonely_models(Smoothie().fit(np.concatenate([x, x, x, far], axis=1))) == []
