import pytest

from nilometer.errors import ConfigError
from nilometer.service import load_redaction, redact


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("mail a.b+c@d-e.co.uk now", "mail [email] now"),
        ("key sk-proj-abcdefghijklmnop1234", "key [key]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[key]"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: Bearer [key]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----x", "[key]x"),
        ("5500-0000-0000-0004.", "[card]."),
        ("378282246310005", "[card]"),
        ("call +1 (415) 555-2671 today", "call [phone] today"),
        ("Tel. 030 901820", "Tel. [phone]"),
    ],
)
def test_personal_data_is_replaced_by_its_kind(text, wanted):
    assert redact(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "7 + 5 = 12 and 0.123456789 of 1234567890123",
        "2026-11-27 10:00:00",
        "the sum is 4111111111111112",
        "def f(x): return x @ y",
        "version 10.0.19045, page 12-34",
        "",
    ],
)
def test_other_texts_stay(text):
    assert redact(text) == text


def test_hook_comes_behind_the_patterns(tmp_path, monkeypatch):
    (tmp_path / "own_redaction.py").write_text("def run(text):\n    return text.replace('Ann', '[name]')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_redaction("own_redaction:run")("Ann a@b.org") == "[name] [email]"


def test_text_whose_hook_fails_is_not_kept(tmp_path, monkeypatch):
    (tmp_path / "failing_redaction.py").write_text("def run(text):\n    raise RuntimeError(text)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_redaction("failing_redaction:run")("secret") == "[redaction failed]"


@pytest.mark.parametrize("hook", ["nowhere_at_all:run", "json:nothing", "json"])
def test_hook_that_is_not_there_is_named(hook):
    with pytest.raises(ConfigError, match="`redact` must name a function as module:function"):
        load_redaction(hook)
