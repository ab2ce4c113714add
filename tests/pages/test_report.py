"""The report as a page: its first screen, its table with and without a script, and its size with many slices."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest

from nilometer.decisions import Alert, Event, Outlook, Report, SlicePlan, Watch, WindowSlice, overall_accuracy
from nilometer.estimators import Estimate, NotEnoughData, SliceEstimates, as_responses
from nilometer.pages import render_html


def _estimate(i, accuracy):
    ends = {"low": max(accuracy - 0.1, 0.0), "high": min(accuracy + 0.1, 1.0)}
    note = f"median nll_sum {2 + i / 1000:.3f} is above every labelled slice"
    return Estimate(
        slice=f"tenant {i:05}",
        n=200,
        accuracy=accuracy,
        confidence_level=0.95,
        method="m",
        note=note,
        n_labels=3,
        **ends,
    )


def _report(n, *, windows=2):
    rng = np.random.default_rng(0)
    known = [_estimate(i, float(a)) for i, a in enumerate(rng.random(n - 1))]
    rows = SliceEstimates([*known, NotEnoughData(slice="new", n=200, reason="One family.", needed="Label more.")])
    names = np.repeat([row.slice for row in rows], 200)
    overall = overall_accuracy(rows, as_responses(pa.table({"max": np.ones(len(names))}), names))
    halves = {"half_width": 0.2, "expected_half_width": 0.1}
    plan = tuple(SlicePlan(slice=row.slice, n=200, n_labels=3, n_new=i % 3, **halves) for i, row in enumerate(rows))
    labels = tuple(f"2026-01-{i + 2:02}" for i in range(windows))
    seen = tuple(
        WindowSlice(window=window, slice=row.slice, n=20, share=1 / n, estimate=row, realized=None)
        for window in labels
        for row in rows
    )
    alerts = tuple(
        Alert(
            kind="k", slice=row.slice, window=labels[-1], message="the estimated accuracy fell by 0.300", p_value=0.01
        )
        for row in known[::2]
    )
    event = Event(
        kind="accuracy fell",
        start=labels[-1],
        end=labels[-1],
        slices=tuple(alert.slice for alert in alerts),
        n_slices=n,
        before=0.8,
        after=0.5,
        reasons=(),
        alerts=alerts,
    )
    watch = Watch(by=("tenant",), windows=labels, rows=seen, changes=(), alerts=alerts, notes=(), events=(event,))
    return Report(
        by=("tenant",),
        n=200 * n,
        n_labels=3 * n,
        method="m",
        confidence_level=0.95,
        estimates=rows,
        overall=overall,
        outlook=Outlook(plan, 100, ()),
        watch=watch,
    )


def _text(page):
    return re.sub(r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.S))


def test_the_first_screen_has_verdict_number_worst_slices_changes_and_commands():
    commands = {step: f"nilometer {step} traces --by tenant" for step in ("watch", "label", "acquire", "weak")}
    page = render_html(_report(8), commands=commands)
    first = _text(page.split("<h2>All slices")[0])
    assert "of the answers are correct" in first
    assert re.search(r"All traffic 0\.\d\d of the answers are correct, 0\.\d\d to 0\.\d\d", first)
    assert len(re.findall(r"\d+% of all errors", first)) == 3
    assert "In 2026-01-03: accuracy fell in 4 of 8 slices" in first
    assert "nilometer watch traces --by tenant" in first
    assert "nilometer label traces --by tenant" in first
    assert "nilometer" not in _text(render_html(_report(8)).split("<h2>All slices")[0])


def test_without_a_script_every_slice_is_there_the_rest_in_a_fold():
    page = render_html(_report(70))
    shown, rest = page.split('<details class="rest">')
    assert all(f"tenant {i:05}</td>" in page for i in range(69))
    assert shown.split("<h2>All slices")[1].count("<tr data-state") == 50
    assert rest.split("</details>\n</div>")[0].count("<tr data-state") == 20
    assert "20 more rows" in page


def test_a_state_is_a_word_and_a_sign_not_a_colour_alone():
    page = _text(render_html(_report(8)))
    for word in ("▲ changed", "? unknown", "✓ known"):
        assert word in page


def test_the_data_block_is_in_columns_that_agree_with_the_report():
    report = _report(8)
    data = json.loads(re.search(r'id="numbers">(.*?)</script>', render_html(report), re.S).group(1))
    found = dict(zip(data["slices"]["slice"], data["slices"]["accuracy"], strict=True))
    assert found == {
        row.slice: round(row.accuracy, 4) if isinstance(row, Estimate) else None for row in report.estimates
    }
    assert data["overall"]["accuracy"] == report.overall.accuracy


@pytest.mark.slow
def test_five_thousand_slices_stay_below_three_megabytes():
    page = render_html(_report(5000, windows=12))
    assert page.count("<tr data-state") == 5000
    assert len(page.encode()) < 3_000_000


@pytest.fixture
def opened(browser, tmp_path):
    file = tmp_path / "report.html"
    commands = {step: f"nilometer {step} traces" for step in ("watch", "label", "acquire", "weak")}
    file.write_text(render_html(_report(70), commands=commands), encoding="utf-8")
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.goto(f"file://{file}")
    yield page
    assert page.faults == []
    page.close()


def _cells(page, column):
    return page.locator(f".slices >> nth=0 >> tbody td:nth-child({column})").all_inner_texts()


@pytest.mark.slow
def test_the_table_folds_searches_and_filters(opened):
    assert len(_cells(opened, 1)) == 50
    opened.get_by_role("button", name="Show all 70").click()
    assert len(_cells(opened, 1)) == 70
    opened.get_by_label("Search rows").first.fill("tenant 0000")
    assert len(_cells(opened, 1)) == 10
    opened.get_by_label("Search rows").first.fill("")
    opened.get_by_label("State").first.select_option("unknown")
    assert _cells(opened, 1) == ["new"]
    assert opened.locator(".controls .soft").first.inner_text() == "1 of 70 rows"


@pytest.mark.slow
def test_the_table_sorts_by_number_with_what_is_unknown_last(opened):
    opened.set_viewport_size({"width": 1100, "height": 900})
    opened.get_by_role("button", name="Show all 70").click()
    for ends, order in ((1, "ascending"), (-1, "descending")):
        opened.locator(".slices >> nth=0").get_by_role("button", name="accuracy").click()
        values = _cells(opened, 3)
        assert values[-1] == "unknown"
        assert values[:-1] == sorted(values[:-1], key=float, reverse=ends < 0)
        assert opened.locator(".slices th >> nth=2").get_attribute("aria-sort") == order


@pytest.mark.slow
def test_a_command_can_be_copied_and_nothing_is_wider_than_a_phone(opened):
    assert not opened.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    cut = "[...document.querySelectorAll('.wide')].filter(box => box.scrollWidth > box.clientWidth).length"
    assert opened.evaluate(cut) == 0
    opened.get_by_role("button", name="Copy").first.click()
    assert opened.evaluate("getSelection().toString()").startswith("nilometer watch traces")
    assert opened.locator("button", has_text=re.compile("Copied|Selected")).count() == 1
