"""No text from traces acts: not in a page, not in a chart, not in a browser."""

import json
import re
from html.parser import HTMLParser

import pytest

from nilometer.display import visible_text

ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]"
)
PAGES = ("report", "ranking", "watch", "routes", "tokens")
RESULTS = ("estimates", "report", "watch", "routes", "qualities", "decisions", "diagnosis")


class Shape(HTMLParser):
    """The skeleton of a page: tags and names of attributes, and the text of its data block."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.data, self._inside = [], set(), "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        self._inside = ("type", "application/json") in attrs

    def handle_data(self, data):
        self.data += data if self._inside else ""

    def handle_endtag(self, tag):
        self._inside = False


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_same_skeleton_whatever_its_texts_are(name, pages, injections):
    plain = Shape(pages[name]("plain"))
    drawn = {"g", "path", "text", "line", "rect", "tspan", "svg"}  # a chart may need another mark for another length
    for injection in injections:
        page = pages[name](injection)
        shown = Shape(page)
        assert [t for t in shown.tags if t not in drawn] == [t for t in plain.tags if t not in drawn]
        assert {pair for pair in shown.attributes - plain.attributes if pair[0] not in drawn} == set()
        assert not any(attribute.startswith("on") or attribute == "style" for _, attribute in shown.attributes)
        assert ACTING.search(page) is None
        assert "default-src &#39;none&#39;" in page
        assert injection in _texts(json.loads(shown.data))


def _texts(value):
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", RESULTS)
def test_a_chart_and_a_notebook_show_no_character_that_acts(name, results, injections):
    for injection in injections:
        result = results[name](injection)
        assert ACTING.search(result._repr_html_()) is None
        assert ACTING.search(repr(result)) is None
        assert "<script" not in result._repr_html_()
        chart = result.plot()
        assert chart is None or ACTING.search(json.dumps(chart.to_dict(), ensure_ascii=False)) is None


def test_text_that_does_not_act_is_not_changed():
    for text in ("Zürich", "株式会社サンプル", "نیم\u200cفاصله", "👩\u200d🔬", "a\tb\nc", "C:\\x1b"):
        assert visible_text(text) == text


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_nothing_acts_in_a_browser(name, pages, injection, browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(pages[name](injection), encoding="utf-8")
    opened = browser.new_page()
    faults, asked = [], []
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(f"file://{file}")
    for event in ("mouseover", "focus", "click", "load", "error"):
        opened.evaluate(
            "event => document.querySelectorAll('body *').forEach(e => e.dispatchEvent(new Event(event)))", event
        )
    assert opened.evaluate("window.acted") is None
    assert opened.evaluate("JSON.parse(document.getElementById('numbers').textContent)") is not None
    assert asked == [f"file://{file}"]
    assert faults == []
    opened.close()
