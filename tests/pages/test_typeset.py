"""Answers set as Markdown: what is markup, what acts, and that nothing of the text is hidden."""

import html
import re

import pytest
from hypothesis import given, strategies as st

from nilometer.pages import typeset

TAG = re.compile(r"<(/?)([a-z0-9]+)((?: [a-z]+=\"[^\"<>]*\")*) ?/?>")
ALLOWED = {"p", "br", "strong", "em", "code", "pre", "ul", "ol", "li", "blockquote", "hr"} | {
    f"h{i}" for i in range(1, 7)
}


def _words(markup):
    return html.unescape(TAG.sub(" ", str(markup)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "# Sum\n\n1. **4**\n2. `5`",
            "<h1>Sum</h1>\n<ol>\n<li><strong>4</strong></li>\n<li><code>5</code></li>\n</ol>\n",
        ),
        ("a\nb", "<p>a<br />\nb</p>\n"),
        ("```py\n1 < 2\n```", "<pre><code>```py\n1 &lt; 2\n</code></pre>\n"),
    ],
)
def test_markdown_is_set(text, wanted):
    assert typeset(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](https://evil.example/a.png)",
        "<https://evil.example>",
        "[a]: https://evil.example\n\n[a]",
        "a <!-- hidden --> b",
        r"\(x\) and \[y\] and 5\% &amp; &lt;",
    ],
)
def test_what_acts_leads_away_or_hides_is_shown_as_it_is_written(text):
    shown = typeset(text)
    assert {name for _, name, _ in TAG.findall(shown)} <= {"p", "br"}
    assert _words(shown).split() == text.split()


@given(st.text(alphabet=st.sampled_from(list("aq1*_`#>-+.[]()<>!&\\\"'=/: \n\t~|\u202e\x1b")), max_size=60))
def test_no_text_becomes_a_tag_or_an_attribute_that_acts(text):
    shown = str(typeset(text))
    for _, name, attributes in TAG.findall(shown):
        assert name in ALLOWED
        assert re.fullmatch(r'( start="\d+")?', attributes), shown
    assert "<" not in TAG.sub("", shown)
    assert [char for char in _words(shown) if char in "aq"] == [char for char in text if char in "aq"]
    assert "\u202e" not in shown
    assert "\x1b" not in shown
