"""The first page and its twin in JSON."""

import re

import pytest

from nilometer.service.web.questions import read_query
from nilometer.service.web.routes import VIEWS


@pytest.fixture
def client(filled, site_of):
    with site_of(filled) as client:
        yield client


def test_first_page_says_in_one_sentence_that_nothing_is_wrong(client):
    page = client.get("/").text
    assert "Nothing is wrong: no alert is open." in page
    assert page.count("<h1") == 1


def test_open_alert_is_the_sentence_and_its_slice_comes_first(client, filled, gemma):
    model = gemma[0]["model"][0].as_py()
    with filled.writing() as connection:
        connection.execute(
            "INSERT INTO alerts (kind, slice_key, slice, model, opened, p_value, text) VALUES (?,?,?,?,?,?,?)",
            ("estimate_changed_day", "domain", "sorting", model, 1_795_000_000_000_000, 1e-6, "sorting fell"),
        )
    found = client.get("/api/overview").json()
    assert found["verdict"]["text"] == "sorting fell, noticed 2026-11-18 11:06 UTC."
    assert (found["rows"][0]["slice"], found["rows"][0]["state"]) == ("sorting", "alert")
    assert "sorting fell" in client.get("/").text


def test_overview_has_the_estimates_of_the_api(client):
    rows = {row["slice"]: row for row in client.get("/api/overview?key=domain").json()["rows"]}
    for row in client.get("/api/slices?key=domain").json()["slices"]:
        for name in ("accuracy", "low", "high", "n"):
            assert rows[row["slice"]][name] == row[name]
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)


def test_rows_are_sorted_searched_and_filtered_on_the_server(client):
    found = client.get("/api/overview?sort=-accuracy").json()["rows"]
    accuracies = [row["accuracy"] for row in found]
    assert accuracies == sorted(accuracies, reverse=True)
    names = [row["slice"] for row in client.get("/api/overview?q=SOR").json()["rows"]]
    assert names == ["sorting"]
    assert client.get("/api/overview?state=alert").json()["rows"] == []
    assert "No slice fits" in client.get("/?state=alert").text


def test_trend_and_change_come_from_the_moments(client, filled, gemma):
    row = next(row for row in client.get("/api/overview").json()["rows"] if row["slice"] == "gcd")
    (total, n) = filled.reader().execute("SELECT sum(p), sum(n) FROM moments WHERE slice = 'gcd'").fetchone()
    known = [value for value in row["trend"] if value is not None]
    assert min(known) <= total / n <= max(known)
    assert row["change"] is None  # nothing came in the hours before


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("sort=colour", "`sort` must be one of attention"),
        ("key=tenant", "`key` must be one of"),
        ("hours=1e3", "`hours` must be a number from 1"),
        ("page=0", "`page` must be a number from 1"),
    ],
)
def test_wrong_parameter_is_refused_by_its_rule_on_the_page_too(query, error, client):
    answer = client.get(f"/?{query}")
    assert answer.status_code in {400, 404}
    assert error in answer.text
    assert "<h1>" in answer.text


def test_page_that_has_not_changed_is_not_sent_again(client):
    first = client.get("/")
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/?hours=1", headers={"if-none-match": first.headers["etag"]}).status_code == 200


def test_pages_hold_no_inline_script_style_or_handler(client):
    for path in ("/", "/login", "/?hours=0"):
        answer = client.get(path)
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]*(src=|application/json))|<style| style=| on\w+=", answer.text)


def test_linked_files_are_there(client):
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/").text):
        answer = client.get(address.replace("&amp;", "&"))
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    assert client.get("/static/passwd").status_code == 404


def test_without_a_sentinel_the_next_command_is_shown(tmp_path, site_of, gemma, frame_of):
    from nilometer.service import Spool, Store

    spool = Spool(tmp_path / "spool")
    spool.write(frame_of(gemma[0].slice(0, 1).to_pylist()[0], 0, time=__import__("time").time_ns() // 1000))
    spool.close()
    store = Store(tmp_path)
    store.step()
    with site_of(store) as client:
        page = client.get("/").text
    assert "There is no sentinel." in page
    assert "nilometer fit" in page
    store.close()


def test_empty_store_shows_how_to_begin(tmp_path, site_of):
    from nilometer.service import Store

    store = Store(tmp_path)
    with site_of(store) as client:
        assert "nilometer ship" in client.get("/").text
    store.close()


def test_links_leave_out_what_is_usual():
    view = next(view for view in VIEWS if view.api == "overview")
    site = type("Site", (), {"store": type("Store", (), {"slicing": type("Slicing", (), {"keys": ("domain",)})})})
    query = read_query(view.parameters, "/", given={"hours": "168", "page": "3"}, site=site)
    assert query.link(page=4) == "/?hours=168&page=4"
    assert query.link(sort="n") == "/?hours=168&sort=n"
    assert query.link(hours=24, page=1) == "/"
