"""Who may do what, for every route of the table, and what no body and no parameter can break."""

import random

import httpx
import pytest

from nilometer.service import Access, Proxy, Worker, serve_app
from nilometer.service.web.access import ROLES
from nilometer.service.web.routes import ACTS, VIEWS

OTHERS = [
    ("GET", "/metrics", "metrics"),
    ("GET", "/plans/export?plan=p", "admin"),
    ("POST", "/v1/labels", "label"),
    ("POST", "/v1/traces", "ingest"),
]
ROUTES = [
    *(("GET", view.path, view.right) for view in VIEWS if view.path),
    *(("GET", f"/api/{view.api}", view.right) for view in VIEWS),
    *(("POST", act.path, act.right) for act in ACTS),
    *OTHERS,
]
OPEN = {"/healthz", "/login", "/logout", "/openapi.json", "/static/{name}"}


@pytest.fixture
def client(filled, tokens, running):
    app = serve_app(filled, Access(filled.reader(), host="0.0.0.0"), Worker(filled))
    with running(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def test_every_route_is_in_the_table_of_rights(filled):
    app = serve_app(filled, Access(filled.reader(), host="127.0.0.1"), Worker(filled))
    assert {route.path for route in app.routes} == {path.split("?")[0] for _, path, _ in ROUTES} | OPEN


def test_each_role_reaches_what_it_may_and_nothing_else(client, tokens):
    for method, path, right in ROUTES:
        for role, token in tokens.items():
            answer = client.request(method, path, headers={"authorization": f"Bearer {token}"}, content=b"{}")
            where = f"{role} {method} {path}: {answer.status_code} {answer.text[:200]}"
            assert (answer.status_code == 403) == (right not in ROLES[role]), where
            assert answer.status_code < 500, where
        assert client.request(method, path, content=b"{}").status_code == 401


def test_who_labels_reads_no_estimate(client, tokens):
    headers = {"authorization": f"Bearer {tokens['label']}"}
    for path in ("/", "/api/overview", "/api/slices", "/api/slice", "/plans", "/api/plans", "/api/answer?trace_id=x"):
        assert client.get(path, headers=headers).status_code == 403


HOSTILE = [
    "",
    "\x00",
    "'; DROP TABLE labels; --",
    "../../etc/passwd",
    "{{7*7}}",
    "%s%n",
    "9" * 400,
    "-1",
    "NaN",
    "\ud7ff\U0010ffff",
    "[" * 3000,
    "é" * 500,
]


def test_no_parameter_and_no_body_ends_in_a_fault(client, tokens):
    rng = random.Random(0)
    headers = {"authorization": f"Bearer {tokens['admin']}"}
    for view in VIEWS:
        for text in rng.sample(HOSTILE, 6):
            params = {one.name: rng.choice([text, *HOSTILE]) for one in view.parameters}
            for path in filter(None, (f"/api/{view.api}", view.path)):
                answer = client.get(path, params=params, headers=headers)
                assert answer.status_code < 500, (path, params)
    values = [*HOSTILE, None, True, -1, 1e308, [], {}, [[1]], {"a": "b"}]
    for act in ACTS:
        for _ in range(12):
            body = {name: rng.choice(values) for name, _ in act.fields if rng.random() < 0.9}
            answer = client.post(act.path, json=body, headers=headers)
            assert answer.status_code < 500, (act.path, body)
        for body in (b"", b"\xff\xfe", b"[]", b"null", b"{" * 500):
            assert client.post(act.path, content=body, headers=headers).status_code in {400, 404}
    for path in ("/v1/labels", "/v1/traces"):
        for body in (b"\xff", b"null", b"[[[]]]", b'{"trace_id":' * 50, bytes(1000)):
            assert client.post(path, content=body, headers=headers).status_code < 500


def _signed_in(client, token, **headers):
    client.cookies.clear()
    return client.post("/login", data={"token": token, "to": "/alerts"}, headers=headers)


def test_browser_signs_in_once_and_gets_a_cookie_that_no_script_reads(client, tokens):
    assert "Sign in" in client.get("/").text
    answer = _signed_in(client, tokens["read"])
    assert (answer.status_code, answer.headers["location"]) == (303, "/alerts")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/api/overview").status_code == 200
    assert tokens["read"] not in cookie


def test_write_by_cookie_must_come_from_a_page_of_this_server(client, tokens):
    _signed_in(client, tokens["read"])
    own = str(client.base_url).rstrip("/")
    for headers, status in (
        ({}, 401),
        ({"origin": "https://evil.example"}, 401),
        ({"origin": own, "sec-fetch-site": "cross-site"}, 401),
        ({"origin": own}, 404),
        ({"x-nilometer": "1"}, 404),
    ):
        assert client.post("/alerts/acknowledge", json={"id": 7}, headers=headers).status_code == status


def test_signing_out_and_taking_a_token_back_end_the_session(client, tokens, filled):
    own = {"origin": str(client.base_url).rstrip("/")}
    _signed_in(client, tokens["read"])
    secret = client.cookies["nilometer_session"]
    client.post("/logout", headers=own)
    assert client.get("/api/overview", headers={"cookie": f"nilometer_session={secret}"}).status_code == 401
    _signed_in(client, tokens["admin"])
    assert client.get("/api/overview").status_code == 200
    with filled.writing() as connection:
        connection.execute("UPDATE tokens SET expires = 1 WHERE role = 'admin'")
    assert client.get("/api/overview").status_code == 401


def test_link_leads_on_to_this_server_only(client, tokens):
    for to in ("https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"):
        answer = client.post("/login", data={"token": tokens["read"], "to": to})
        assert answer.headers["location"] == "/"


def test_wrong_tokens_are_slowed_down_and_noted(client, tokens, filled):
    for _ in range(10):
        assert client.post("/login", data={"token": "nilo_guess"}).status_code == 403
    answer = client.get("/api/overview", headers={"authorization": "Bearer nilo_guess"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"]
    assert client.post("/login", data={"token": "nilo_guess"}).status_code == 429
    acts = filled.reader().execute("SELECT count(*) FROM audit WHERE act = 'sign in failed'").fetchone()
    assert acts == (10,)


def test_wrong_tokens_of_one_do_not_lock_out_who_shares_the_address(client, tokens):
    _signed_in(client, tokens["read"])
    for _ in range(11):
        client.get("/api/overview", headers={"authorization": "Bearer nilo_guess"})
    assert client.get("/api/overview").status_code == 200
    assert client.get("/api/overview", headers={"authorization": f"Bearer {tokens['read']}"}).status_code == 200


def test_failures_behind_the_trusted_proxy_count_by_the_address_that_it_saw(filled, tokens, site_of):
    secret = "s" * 16
    with site_of(filled, access={"proxy": Proxy.of("127.0.0.0/8", secret)}) as client:

        def sign_in(seen):
            headers = {"x-nilometer-proxy-secret": secret, "x-forwarded-for": seen}
            return client.post("/login", data={"token": "nilo_guess"}, headers=headers).status_code

        assert [sign_in("10.0.0.9, 192.0.2.1") for _ in range(11)] == [403] * 10 + [429]
        assert sign_in("192.0.2.1, 192.0.2.2") == 403
        forged = client.post("/login", data={"token": "nilo_guess"}, headers={"x-forwarded-for": "192.0.2.1"})
        assert forged.status_code == 403
