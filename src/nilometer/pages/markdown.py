"""The report in Markdown for a pull request or a chat, and its gate as JUnit XML for continuous integration."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from nilometer.decisions import Report, rank_slices, short_name, summarize
from nilometer.display import visible_text
from nilometer.estimators import Estimate

from .page import render_text
from .tables import STATES, interval

__all__ = ["markdown_text", "render_junit", "render_markdown"]

_MOST_ROWS = 20
_ACTING = re.compile(r"[\\`*\[\]<>|~&@#$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Signs of markup, mentions and links; an underscore inside a word is none."""


def render_markdown(
    report: Report, *, title: str = "Accuracy per slice", commands: Mapping[str, str] | None = None
) -> str:
    """Write the report as Markdown: verdict, the 20 slices with most errors, what changed and what to do next.

    Text from traces is shown as text: it cannot make a heading, a link, a mention or a row.
    """
    ranks = rank_slices(report)
    rows = [
        [
            short_name(rank.slice, report.by),
            f"{rank.n:,}",
            "unknown" if rank.accuracy is None else f"{rank.accuracy:.2f}",
            interval(rank.low, rank.high, digits=".2f"),
            rank.basis,
            "" if rank.error_share is None else f"{rank.error_share:.0%}",
            STATES[rank.state],
        ]
        for rank in ranks[:_MOST_ROWS]
    ]
    head = [", ".join(report.by), "responses", "accuracy", "interval", "rests on", "share of errors", "state"]
    return render_text(
        "report.md",
        text=markdown_text,
        title=title,
        report=report,
        summary=summarize(report),
        head=head,
        rows=rows,
        more=len(ranks) - len(rows),
        commands=dict(commands or {}),
    )


def markdown_text(text: str) -> str:
    r"""Write text so that Markdown shows it as it is, in one line.

    Every character that could act becomes a reference by its number.

    Examples
    --------
    >>> markdown_text("@team |x| <b>")
    '&#64;team &#124;x&#124; &#60;b&#62;'
    """
    return _ACTING.sub(lambda found: f"&#{ord(found[0])};", " ".join(visible_text(text).split()))


def render_junit(report: Report, *, least: float) -> str:
    """Write the gate as JUnit XML: one test case a slice, failed where the accuracy is below ``least``.

    A slice whose accuracy cannot be known is skipped, with the reason. The accuracy is compared itself, not the ends
    of its interval.
    """
    suite = ET.Element("testsuite", name="nilometer", tests=str(len(report.estimates)))
    failed = skipped = 0
    for row in report.estimates:
        case = ET.SubElement(suite, "testcase", classname="nilometer.accuracy", name=visible_text(row.slice))
        if not isinstance(row, Estimate):
            skipped += 1
            ET.SubElement(case, "skipped", message=visible_text(f"{row.reason} {row.needed}"))
        elif row.accuracy < least:
            failed += 1
            said = f"accuracy {row.accuracy:.3f} ({interval(row.low, row.high)}) is below {least:g}"
            ET.SubElement(case, "failure", message=said, type="accuracy")
    suite.attrib |= {"failures": str(failed), "skipped": str(skipped), "errors": "0"}
    text: str = ET.tostring(suite, encoding="unicode", xml_declaration=False)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'
