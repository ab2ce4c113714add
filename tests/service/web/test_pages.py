"""Every page as it is served."""

import re
import time

import pytest

from nilometer.service.store.upkeep import forget_rows
from nilometer.service.web.routes import VIEWS

PAGES = [view.path for view in VIEWS if view.path and view.path != "/answer"]


@pytest.fixture
def client(filled, site_of):
    with site_of(filled) as client:
        yield client


@pytest.mark.parametrize("path", [*PAGES, "/answer?trace_id=chatcmpl-0", "/slice?key=domain&slice=sorting&hours=24"])
def test_page_has_a_heading_and_nothing_inline(path, client):
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.text.count("<h1") == 1
    assert not re.search(r"<script(?![^>]*(src=|application/json))|<style| style=| on\w+=|javascript:", answer.text)


def test_slice_has_its_time_line_and_its_least_confident_answers(client):
    found = client.get("/api/slice?key=domain&slice=sorting&hours=24").json()
    row = next(r for r in client.get("/api/slices?key=domain").json()["slices"] if r["slice"] == "sorting")
    assert found["row"]["accuracy"] == row["accuracy"]
    assert sum(moment["n"] or 0 for moment in found["moments"]) == row["n"]
    confidences = [one["p_correct"] for one in found["least_confident"]]
    assert confidences == sorted(confidences)
    assert "<svg" in client.get("/slice?key=domain&slice=sorting&hours=24").text


def test_change_of_all_traffic_is_split_exactly(client, filled, frame_of, gemma):
    from nilometer.service import Spool

    spool, rows = Spool(filled.spool), gemma[0].to_pylist()
    for i in range(300):
        row = rows[(7 * i) % len(rows)]
        spool.write(frame_of(row, 5000 + i, time=int((time.time() - 30 * 3600) * 1e6)))
    spool.close()
    while filled.step():
        pass
    found = client.get("/api/slice?key=domain&slice=gcd&hours=24").json()["changes"]
    assert found["after"] - found["before"] == pytest.approx(found["mix"] + found["within"], abs=1e-12)
    assert found["own"]["slice"] == "gcd"


def test_answer_is_shown_token_by_token_with_alternatives(client):
    found = client.get("/api/answer?trace_id=chatcmpl-0").json()
    tokens = found["view"]["data"]["tokens"]
    assert "".join(token["text"] for token in tokens).strip() == found["text"]
    assert tokens[0]["alternatives"][0][0] == "t0"
    page = client.get("/answer?trace_id=chatcmpl-0").text
    assert page.count('role="option"') == len(tokens)
    assert client.get("/answer?trace_id=nobody").status_code == 404


def test_tokens_of_a_redacted_answer_are_not_stored(gemma, frame_of, tmp_path, site_of):
    from nilometer.service import Spool, Store

    row = {**gemma[0].slice(0, 1).to_pylist()[0], "answer": "ask ann@example.org"}
    spool = Spool(tmp_path / "spool")
    spool.write(frame_of(row, 0, texts=True, request=b'{"prompt": "who?"}'))
    spool.close()
    store = Store(tmp_path, sentinel=gemma[3])
    store.step()
    with site_of(store) as client:
        found = client.get("/api/answer?trace_id=chatcmpl-0").json()
    assert (found["text"], found["view"]) == ("ask [email]", None)
    store.close()


def test_alert_is_acknowledged_with_a_note_and_stays_open(client, filled):
    with filled.writing() as connection:
        connection.execute(
            "INSERT INTO alerts (id, kind, slice_key, slice, model, opened, p_value, text) VALUES (7,'k','domain','gcd','m',1,0.1,'fell')"  # noqa: E501
        )
    answer = client.post("/alerts/acknowledge", data={"id": "7", "note": "looking <b>now</b>"})
    assert answer.url.path == "/alerts"
    assert "looking &lt;b&gt;now&lt;/b&gt;" in answer.text
    (row,) = client.get("/api/alerts").json()["rows"]
    assert (row["state"], row["notes"][0]["who"]) == ("acknowledged", "local")
    assert "acknowledge" in client.get("/log").text


def test_capture_counts_requests_by_outcome_and_what_was_lost(client, filled):
    with filled.writing() as connection:
        connection.execute('INSERT INTO captures VALUES (\'42\', 0, \'{"served": 9, "dropped_disk": 2, "errors": 1}\')')
    found = client.get("/api/capture").json()
    assert sum(row["n"] for row in found["models"]) == 240
    assert next(row for row in found["servers"] if row["process"] == "42")["n_lost"] == 3
    assert "3 answers could not be written down" in client.get("/capture").text


def test_sentinel_says_what_it_is_worth(client, gemma):
    found = client.get("/api/sentinels").json()["sentinel"]
    assert found["n_labels"] == gemma[3].n_labels_
    assert len(found["left_out"]) == len(gemma[3].left_out_)
    assert found["skill"]["gain"] == pytest.approx(gemma[3].skill_.over_constant.gain)


def test_plan_is_made_from_the_stored_texts_labelled_blind_and_measured(client, filled):
    assert "no plan yet" in client.get("/plans").text.lower()
    made = client.post(
        "/plans/make", json={"name": "first", "key": "domain", "hours": 24, "budget": 20, "double_share": 0}
    )
    assert made.json()["n_items"] == 20
    seen = set()
    for i in range(20):
        found = client.get("/api/label?plan=first").json()
        item = found["items"][0]
        assert set(item) == {"trace_id", "prompt", "answer", "reference", "typeset"}
        assert item["trace_id"] not in seen
        seen.add(item["trace_id"])
        body = {"plan": "first", "trace_id": item["trace_id"], "correct": i % 2, "milliseconds": 100}
        assert client.post("/label/act", json=body).status_code == 200
    assert client.get("/api/label?plan=first").json()["items"] == []
    assert client.get("/api/label?plan=first").json()["progress"]["n_done"] == 20
    results = client.get("/api/plans?plan=first").json()["results"]
    assert sum(row["n_labels"] for row in results) == 20
    log = client.get("/plans/export?plan=first&form=jsonl").text.splitlines()
    assert len(log) == 20


def test_labelling_works_by_forms_alone(client):
    client.post("/plans/make", data={"name": "p", "key": "all", "hours": "24", "budget": "3"})
    page = client.get("/label").text
    name = re.search(r'name="trace_id" value="([^"]+)"', page).group(1)
    client.post("/label/act", data={"plan": "p", "trace_id": name, "correct": "0.7", "note": "nearly"})
    page = client.get("/label").text
    assert "1 of 3 done" in page
    second = re.search(r'name="trace_id" value="([^"]+)"', page).group(1)
    client.post("/label/act", data={"plan": "p", "trace_id": second, "act": "skip", "reason": "other"})
    client.post("/label/undo", data={"plan": "p"})
    assert "1 of 3 done" in client.get("/label").text


def test_description_names_every_page_and_act(client):
    found = client.get("/openapi.json").json()
    assert {f"/api/{view.api}" for view in VIEWS} <= set(found["paths"])


def test_forgotten_responses_leave_plans_and_notes_but_keep_their_chances(filled, site_of):
    with site_of(filled) as client:
        client.post("/plans/make", json={"name": "p", "key": "domain", "hours": 24, "budget": 40})
        with filled.writing() as connection:
            query = "SELECT trace_id, json_extract(planned, '$.slice') FROM plan_items"
            slices = dict(connection.execute(query).fetchall())
            theirs = next(iter(slices.values()))
            one = next(name for name, own in slices.items() if own == theirs)
        client.post("/label/act", json={"plan": "p", "trace_id": one, "correct": 1, "note": "ask ann"})
        with filled.writing() as connection:
            forget_rows(connection, filled.root, key="domain", user=theirs)
            kept = dict(connection.execute("SELECT trace_id, prompt IS NOT NULL FROM plan_items").fetchall())
            notes = connection.execute("SELECT note FROM label_events").fetchall()
    assert {name for name, is_kept in kept.items() if not is_kept} == {n for n, own in slices.items() if own == theirs}
    assert notes == [("",)]
