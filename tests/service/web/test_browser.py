"""The console as a person uses it, in Chromium: pages, labelling by keyboard, hostile texts, keys and small screens."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from nilometer.service import Spool, Store, open_database
from nilometer.service.web.routes import VIEWS

pytestmark = pytest.mark.slow

PAGES = [view.path for view in VIEWS if view.path and view.path != "/answer"]
HOSTILE = (
    "</script><script>window.acted=1</script><img src=x onerror=window.acted=1><svg onload=window.acted=1>"
    '" onmouseover="window.acted=1" x="\' autofocus onfocus=\'window.acted=1\' {{7*7}} '
    "[x](javascript:window.acted=1) \x1b]0;HIJACK\x07\u202e=cmd|' /C calc'!A0 datum.constructor('window.acted=1')()"
)


def _at(client, path):
    return f"{str(client.base_url).rstrip('/')}{path}"


DISPATCH = """event => document.querySelectorAll('main *:not(a):not(button):not(select)').forEach(
    one => one.dispatchEvent(new Event(event)))"""
IS_NEXT = """name => !document.querySelector('.labeller').dataset.busy
    && document.querySelector('[name=trace_id]')?.value !== name"""


@pytest.fixture
def watched(browser):
    """``watched(url)``: an opened page, with what went wrong in it."""
    opened = []

    def make(url, **options):
        page = browser.new_page(**options)
        page.faults, page.foreign = [], []
        page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith("http://127.0.0.1") else page.foreign.append(request.url),
        )
        page.goto(url)
        opened.append(page)
        return page

    yield make
    for page in opened:
        page.close()


@pytest.mark.parametrize("width", [1440, 1100, 400])
def test_pages_fit_the_screen_and_break_no_policy(width, filled, site_of, watched):
    with site_of(filled) as client:
        for path in [*PAGES, "/answer?trace_id=chatcmpl-0", "/slice?key=domain&slice=gcd&hours=24"]:
            page = watched(_at(client, path), viewport={"width": width, "height": 900})
            assert page.faults == [], path
            assert page.foreign == [] or all(url.startswith("data:") for url in page.foreign), path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            page.close()


def test_tables_are_whole_without_script(filled, site_of, browser):
    with site_of(filled) as client:
        page = browser.new_context(java_script_enabled=False).new_page()
        page.goto(_at(client, "/?key=domain"))
        assert page.locator(".slice-table tbody tr").count() == 12
        page.get_by_role("link", name="requests").click()
        assert "sort=-n" in page.url
        page.close()


def test_person_finds_a_slice_and_reads_an_answer_by_keyboard(filled, site_of, watched):
    with site_of(filled) as client:
        page = watched(_at(client, "/"))
        page.get_by_role("searchbox").fill("gcd")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=gcd*")
        page.get_by_role("link", name="gcd").click()
        page.wait_for_url("**/slice?*")
        page.goto(_at(client, "/answer?trace_id=chatcmpl-0"))
        first = page.locator("[role=option]").first
        first.focus()
        page.keyboard.press("End")
        said = page.locator(".detail .what").text_content()
        assert said.startswith(f"token {page.locator('[role=option]').count()} of")
        assert page.locator(".detail tbody tr").count() >= 1
        assert page.faults == []


def test_page_keeps_up_without_being_asked(filled, site_of, watched):
    with site_of(filled) as client:
        page = watched(_at(client, "/alerts"))
        with filled.writing() as connection:
            connection.execute(
                "INSERT INTO alerts (kind, slice_key, slice, model, opened, p_value, text) "
                "VALUES ('k', 'domain', 'gcd', 'm', 1, 0.1, 'gcd fell')"
            )
        page.wait_for_selector("text=1 alert is open", timeout=40_000)
        assert page.text_content(".badge") == "1"


def test_hostile_texts_do_nothing_on_any_page(gemma, frame_of, tmp_path, site_of, watched):
    row = {**gemma[0].slice(0, 1).to_pylist()[0], "answer": HOSTILE}
    spool, now = Spool(tmp_path / "spool"), time.time()
    for i in range(40):
        spool.write(
            frame_of(
                row,
                i,
                time=int((now - i) * 1e6),
                texts=True,
                request=json.dumps({"prompt": HOSTILE}).encode(),
                attributes={"domain": HOSTILE if i % 2 else "=1+1", HOSTILE[:50]: HOSTILE},
            )
        )
    spool.close()
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    while store.step():
        pass
    with store.writing() as connection:
        connection.execute(
            "INSERT INTO alerts (id, kind, slice_key, slice, model, opened, p_value, text) "
            "VALUES (1, ?, 'domain', ?, ?, 1, 0.1, ?)",
            (HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        )
    with site_of(store) as client:
        client.post("/plans/make", json={"name": HOSTILE[:90], "key": "domain", "hours": 24, "budget": 10})
        client.post("/alerts/acknowledge", json={"id": 1, "note": HOSTILE})
        item = client.get("/api/label").json()["items"][0]["trace_id"]
        client.post("/label/act", json={"plan": HOSTILE[:90].strip(), "trace_id": item, "correct": 1, "note": HOSTILE})
        name = httpx.QueryParams({"key": "domain", "slice": HOSTILE, "hours": 24})
        for path in [
            *PAGES,
            f"/answer?trace_id={item}",
            f"/slice?{name}",
            f"/?q={httpx.QueryParams({'a': HOSTILE})['a']}",
        ]:
            page = watched(_at(client, path))
            for event in ("mouseover", "focus", "click", "load", "error"):
                page.evaluate(DISPATCH, event)
            assert page.evaluate("window.acted") is None, path
            assert page.faults == [], path
            page.close()
    store.close()


SERVE = """
import sys
from nilometer.cli import main
main(["serve", sys.argv[1], "--by", "domain", "--port", sys.argv[2]])
"""


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _start(folder, port):
    server = subprocess.Popen([sys.executable, "-c", SERVE, str(folder), str(port)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            return server
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_labelling_by_keyboard_survives_a_killed_server(filled_folder, gemma, tmp_path, watched):
    """Fifty keys, the server killed in the middle: the log says what was pressed, nothing is lost."""
    from nilometer.estimators import save_sentinel

    folder, port, n = tmp_path / "store", _free_port(), 50
    shutil.copytree(filled_folder, folder)
    save_sentinel(folder / "sentinel.parquet", gemma[3])
    server = _start(folder, port)
    url = f"http://127.0.0.1:{port}"
    try:
        made = httpx.post(
            f"{url}/plans/make", json={"name": "p", "key": "domain", "hours": 24, "budget": n, "double_share": 0}
        )
        assert made.json()["n_items"] == n
        page = watched(f"{url}/label?plan=p")
        pressed = {}
        for i in range(n):
            if i == n // 2:
                os.kill(server.pid, signal.SIGKILL)
                server.wait()
            name = page.locator("[name=trace_id]").input_value()
            assert name not in pressed
            key = "cws5"[i % 4]
            pressed[name] = key
            page.keyboard.press(key)
            if i == n // 2:
                page.wait_for_selector("text=Not saved yet", timeout=30_000)
                server = _start(folder, port)
            if i < n - 1:
                page.wait_for_function(IS_NEXT, arg=name, timeout=60_000)
        page.wait_for_selector("text=There is nothing left for you", timeout=60_000)
        found = httpx.get(f"{url}/api/plans?plan=p").json()
        assert sum(row["n_labels"] + row["n_skipped"] for row in found["results"]) >= n - n // 4
    finally:
        server.terminate()
        server.wait()
    connection = open_database(Path(folder) / "nilometer.db")
    log = connection.execute("SELECT trace_id, act, after, milliseconds FROM label_events ORDER BY id").fetchall()
    said = {name: (act, after) for name, act, after, _ in log}
    meant = {"c": ("label", 1.0), "w": ("label", 0.0), "s": ("skip", None), "5": ("label", 0.5)}
    assert said == {name: meant[key] for name, key in pressed.items()}
    assert all(time is not None for *_, time in log)
    (n_labels,) = connection.execute("SELECT count(*) FROM labels WHERE source='human' AND key LIKE 'plan%'").fetchone()
    assert n_labels == sum(key != "s" for key in pressed.values())
    connection.close()


def test_answer_is_set_as_markdown_by_a_key_and_stays_so_for_the_next(gemma, frame_of, tmp_path, site_of, watched):
    rows, now = gemma[0].to_pylist(), time.time()
    spool = Spool(tmp_path / "spool")
    for i in range(6):
        row = {**rows[5 * i], "answer": f"**four** of {i}: <b>no</b> [x](javascript:window.acted=1)"}
        asked = json.dumps({"prompt": "?"}).encode()
        spool.write(frame_of(row, i, time=int((now - i) * 1e6), texts=True, request=asked))
    spool.close()
    store = Store(tmp_path, keys=("domain",), sentinel=gemma[3])
    while store.step():
        pass
    with site_of(store) as client:
        client.post("/plans/make", json={"name": "p", "key": "all", "hours": 24, "budget": 4, "double_share": 0})
        page = watched(_at(client, "/label"))
        assert not page.locator("#typeset strong").is_visible()
        page.keyboard.press("m")
        assert page.locator("#typeset strong").is_visible()
        first = page.locator("#typeset").inner_text()
        name = page.locator("[name=trace_id]").input_value()
        page.keyboard.press("c")
        page.wait_for_function(IS_NEXT, arg=name, timeout=60_000)
        second = page.locator("#typeset").inner_text()
        assert second != first
        assert second.startswith("four of ")
        assert second.endswith(": <b>no</b> [x](javascript:window.acted=1)")
        assert page.locator("#typeset a, #typeset b").count() == 0
        assert page.faults == []
    store.close()


AXE = next(
    (
        path
        for path in (Path("/usr/share/javascript/axe-core/axe.min.js"), Path(os.environ.get("AXE_CORE", "/none")))
        if path.is_file()
    ),
    None,
)


@pytest.mark.skipif(AXE is None, reason="no axe-core here; AXE_CORE names its axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(scheme, filled, site_of, watched):
    with site_of(filled) as client:
        client.post("/plans/make", json={"name": "p", "key": "domain", "hours": 24, "budget": 10})
        for path in [*PAGES, "/login", "/answer?trace_id=chatcmpl-0", "/slice?key=domain&slice=gcd&hours=24"]:
            page = watched(_at(client, path), color_scheme=scheme, bypass_csp=True)
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
            serious = [
                (one["id"], one["nodes"][0]["html"][:150]) for one in found if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], path
            page.close()
