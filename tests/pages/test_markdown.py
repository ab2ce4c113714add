"""The report for a pull request, and its gate for continuous integration."""

import re
import xml.etree.ElementTree as ET

from markdown_it import MarkdownIt

from nilometer.pages import render_junit, render_markdown


def _skeleton(text):
    """Tags that a reader of GitHub's dialect would make, and all text between them."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").enable("strikethrough")
    tokens = [token for block in parser.parse(text) for token in (block, *(block.children or ()))]
    kinds = [token.type for token in tokens if token.type not in {"text", "text_special"}]
    return kinds, "".join(token.content for token in tokens if token.type in {"text", "text_special"})


def _markdown(report):
    word = report.by[0]
    steps = ("watch", "label", "acquire", "weak")
    return render_markdown(report, commands={step: f"nilometer plan {step} {word}" for step in steps})


def test_markdown_has_verdict_table_changes_and_commands(results):
    text = _markdown(results["report"]("tenant"))
    kinds, said = _skeleton(text)
    assert "most of the wrong ones are in tenant" in said
    assert kinds.count("tr_open") == 4
    assert "0.30 to 0.50" in said
    assert kinds.count("fence") == 3
    assert "nilometer plan label tenant" in text


def test_text_in_markdown_makes_no_markup(results, injections):
    plain = _skeleton(_markdown(results["report"]("plain")))[0]
    for injection in (*injections, "*a* **b** _c_ ~~d~~ `e` [f](g) ![h](i) # j", "| a | b |\n\n- x\n# y\n***"):
        text = _markdown(results["report"](injection))
        assert _skeleton(text)[0] == plain
        for sign in ("@team", "https://", "www.", " #1"):
            active = _markdown(results["report"](f"x @team https://a.b www.a.b #1 {injection}"))
            assert sign not in re.sub("```sh.*?```\n", "", active, flags=re.DOTALL)


def test_an_underscore_inside_a_word_stays(results):
    assert "base_conversion" in _markdown(results["report"]("base_conversion"))


def test_junit_fails_what_is_below_and_skips_what_is_unknown(results, injections):
    for name in ("tenant", *injections):
        suite = ET.fromstring(render_junit(results["report"](name), least=0.5))
        assert suite.attrib["tests"] == "3"
        assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("1", "1")
        cases = list(suite)
        assert cases[0].find("failure").attrib["message"] == "accuracy 0.400 (0.300 to 0.500) is below 0.5"
        assert list(cases[1]) == []
        assert cases[2].find("skipped") is not None
