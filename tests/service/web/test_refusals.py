"""What the server refuses, by rule, and what it takes in place of it."""

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nilometer.decisions import PlannedLabel, write_label_plan
from nilometer.decisions.plans.files import Text
from nilometer.service import LabelIn
from nilometer.service.web.metrics import StoreCollector
from nilometer.service.web.sessions import _inside
from nilometer.service.web.site import Failures


@pytest.fixture
def client(filled, site_of):
    with site_of(filled) as client:
        yield client


def _error(answer):
    return answer.status_code, answer.json()["error"]


def test_acts_that_break_a_rule_are_refused_by_it(client):
    client.post("/plans/make", json={"name": "p", "key": "all", "hours": 24, "budget": 3})
    name = client.get("/api/label?plan=p").json()["items"][0]["trace_id"]
    label = {"plan": "p", "trace_id": name, "correct": 1}
    for path, body, status, said in (
        ("/label/act", {**label, "correct": "perhaps"}, 400, "`correct` must be true, false or a score in [0, 1]"),
        ("/label/act", {**label, "correct": 1.5}, 400, "`correct` must be true, false or a score in [0, 1], got 1.5"),
        ("/label/act", {**label, "act": "guess"}, 400, "`act` must be label or skip, got 'guess'"),
        ("/plans/make", {"name": "q", "double_share": "half"}, 400, "`double_share` must lie in [0, 1], got 'half'"),
        ("/plans/make", {"name": "q", "double_share": 2}, 400, "`double_share` must lie in [0, 1], got 2"),
        ("/plans/make", {"name": "q", "key": "colour"}, 400, "`key` must be one of all, domain, got 'colour'"),
        ("/plans/labels", {"plan": "p", "labels": '{"trace_id": "x"}'}, 400, "label 1: `correct` is missing"),
        ("/alerts/acknowledge", {"id": 1, "note": "x" * 5000}, 400, "`note` must have at most"),
    ):
        found = _error(client.post(path, json=body))
        assert (found[0], said in found[1]) == (status, True), found
    assert client.get("/api/label?plan=p").json()["progress"]["n_done"] == 0


def test_questions_and_bodies_that_break_a_rule_are_refused_by_it(client):
    client.post("/plans/make", json={"name": "p", "key": "all", "hours": 24, "budget": 3})
    assert "`slice` must be one that had traffic" in _error(client.get("/api/slice?key=domain&slice=zzz"))[1]
    assert _error(client.get("/plans/export?plan=p&form=xml"))[1].startswith("`form` must be one of csv, jsonl")
    assert client.post("/label/act", json={"note": "x" * (1 << 20)}).status_code == 413
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = client.post("/label/act", content=b"a=1&" * 200, headers=form)
    assert answer.status_code == 400
    assert "the form cannot be read" in answer.text
    flags = client.post("/v1/labels", json=[{"trace_id": "a", "correct": 1, "is_random": "yes"}])
    assert flags.json() == {"received": 1, "new": 1}


def test_who_is_not_signed_in_cannot_sign_out(filled, tokens, site_of):
    with site_of(filled, follow=False) as client:
        answer = client.post("/logout")
        wrong = client.get("/api/overview", headers={"authorization": "Bearer nilo_wrong"})
    assert answer.status_code == 403
    assert "by someone who is signed in" in answer.text
    assert _error(wrong) == (403, "this needs the right to read.")


def test_traces_that_find_no_room_are_refused_with_507(client, filled):
    for path in filled.spool.glob("*.spool"):
        path.unlink()
    filled.spool.rmdir()
    filled.spool.write_text("in the way")
    answer = client.post("/v1/traces", content=b'{"trace_id": "a", "answer": "4", "chosen_logprobs": [-0.1]}\n')
    assert answer.status_code == 507
    assert "the spool cannot be written" in answer.json()["error"]
    filled.spool.unlink()


def test_a_plan_and_its_labels_come_from_files(client, tmp_path):
    planned = [
        PlannedLabel(
            trace_id=f"chatcmpl-{i}",
            slice="a",
            stratum=0,
            stratum_size=10,
            inclusion_probability=0.2,
            p_correct=None,
            labels_before=0,
            correct_before=0.0,
        )
        for i in range(2)
    ]
    path = tmp_path / "plan.jsonl"
    write_label_plan(path, planned, {f"chatcmpl-{i}": Text(f"prompt {i}", f"answer {i}") for i in range(2)})
    made = client.post("/plans/make", json={"name": "own", "key": "all", "file": path.read_text()})
    assert made.json()["n_items"] == 2
    (plan,) = client.get("/api/plans?plan=own").json()["plans"]
    assert plan["frame"] == "a file of a plan"
    (first, *_) = client.get("/api/label?plan=own").json()["items"]
    assert first["prompt"] == f"prompt {first['trace_id'][-1]}"
    rows = "".join(json.dumps({"trace_id": one.trace_id, "correct": 1}) + "\n" for one in planned)
    done = client.post("/plans/labels", json={"plan": "own", "labels": rows, "who": "bob"})
    assert done.json()["labels"] == 2
    assert client.get("/api/plans?plan=own").json()["results"][0]["n_labels"] == 2


def test_metrics_count_labels_alerts_losses_and_refusals(filled, gemma):
    with filled.writing() as connection:
        connection.execute('INSERT INTO captures VALUES (\'42\', 0, \'{"served": 9, "dropped_disk": 2, "errors": 1}\')')
        connection.execute(
            "INSERT INTO alerts (kind, slice_key, slice, model, opened, p_value, text) "
            "VALUES ('fell', 'domain', 'gcd', 'm', 1, 0.1, 'it fell')"
        )
        refusal = (gemma[3].zero().key, "other", 3, "raw", "another k", 4)
        connection.execute("INSERT INTO refusals VALUES (?, ?, ?, ?, ?, ?)", refusal)
    filled.add_labels([LabelIn(f"chatcmpl-{i}", i % 4 > 0, is_random=True) for i in range(20)], who="ann")
    filled.step()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(StoreCollector(filled, filled.reader()))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    found = {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}
    assert found["nilometer_capture_dropped_total", "disk"] == 2
    assert found["nilometer_capture_dropped_total", "errors"] == 1
    assert found["nilometer_alert_active", "domain", "fell", "gcd", "m"] == 1
    assert found["nilometer_sentinel_refused_total", "3", "other", "raw"] == 4
    assert sum(value for key, value in found.items() if key[0] == "nilometer_labels_total") == 20
    model = gemma[0]["model"][0].as_py()
    assert found[("nilometer_realized_accuracy_ratio", *sorted(("24h", "all", "all", model)))] == pytest.approx(0.75)


def test_addresses_with_wrong_tokens_are_forgotten_oldest_first():
    failures = Failures(most=1, clock=lambda: 0.0)
    for i in range(10_001):
        failures.note(f"a{i}")
    assert (failures.wait("a0"), failures.wait("a1"), failures.wait("a10000")) == (0.0, 60.0, 60.0)


def test_an_address_that_cannot_be_read_leads_to_the_first_page():
    assert _inside("//[evil") == "/"
