"""The page of tokens in a real browser, by keyboard alone; skipped where there is none."""

import numpy as np
import pytest

from nilometer.pages import AnswerView, TokenView, render_tokens

pytestmark = pytest.mark.slow


def _answer(number, texts):
    tokens = tuple(
        TokenView(text, 0.2 + 0.1 * i, 0.5, 1.25, 0.75, ((text, 0.5), (None, 0.25))) for i, text in enumerate(texts)
    )
    attention = np.linspace(0, 1, len(texts) * 6).reshape(len(texts), 2, 3)
    return AnswerView(f"answer-{number}", "What?", tokens, None, attention)


@pytest.fixture
def page(browser, tmp_path):
    file = tmp_path / "tokens.html"
    text = render_tokens([_answer(0, ["The", " <b>", "\n"]), _answer(1, ["x"])], calibrated=True)
    file.write_text(text, encoding="utf-8")
    opened = browser.new_page(viewport={"width": 500, "height": 900})
    opened.faults = []
    opened.on("pageerror", lambda error: opened.faults.append(str(error)))
    opened.goto(f"file://{file}")
    yield opened
    assert opened.faults == []
    opened.close()


def _what(page, answer=0):
    return page.locator(f"#detail-{answer} .what").inner_text()


def test_arrow_keys_walk_through_the_tokens_and_tab_goes_to_the_next_answer(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    seen = [_what(page)]
    for key in ("ArrowRight", "End", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
        seen.append(_what(page))
    assert [text.split(":")[0] for text in seen] == [f"token {i} of 3" for i in (1, 2, 3, 3, 2)]
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('[data-answer]').dataset.answer") == "1"


def test_the_focused_token_shows_its_numbers_alternatives_and_attention(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    detail = page.locator("#detail-0").inner_text()
    assert "confidence 0.20 · probability 0.500 · entropy 1.25 nats · varentropy 0.75 nats²" in detail
    assert page.locator("#detail-0 tbody tr").count() == 2
    assert "(text not kept)" in detail
    # the first token's map holds the six smallest of eighteen values, 0 to 5/17
    assert page.locator("#detail-0 canvas").get_attribute("aria-label").endswith("mean 0.15 of 1")
    page.keyboard.press("End")
    assert page.locator("#detail-0 canvas").get_attribute("aria-label").endswith("mean 0.85 of 1")


def test_a_screen_reader_hears_every_token_and_text_is_not_markup(page):
    snapshot = page.locator("section").first.aria_snapshot()
    assert 'listbox "answer, 3 tokens"' in snapshot
    assert "' <b>', confidence 0.30, entropy 1.25 nats" in snapshot
    assert page.locator("[data-answer] b").count() == 0


def test_nothing_is_wider_than_a_phone(page):
    assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
