"""The stand-in behaves like Penpot where other tests rely on it."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.penpot.sender import JSON, TRANSIT, Sender, deliver
from tests.penpot.standin import NEWER, OLDER, PNG, TOKEN, Fault, StandIn
from tests.penpot.streams import hook
from tests.penpot.world import PAYLOADS, Asset, Webhook
from tests.servers.fixtures import Authority
from tests.servers.loopback import Answer, raw

PLAIN = PAYLOADS / "create-comment" / "plain.json"
AUTH = {"authorization": f"Token {TOKEN}", "accept": "application/json"}


def call(penpot: StandIn, method: str, path: str = NEWER, **params: Any) -> httpx.Response:
    return httpx.post(f"{penpot.url}{path}{method}", json=params, headers=AUTH, timeout=5)


def test_a_payload_arrives_byte_for_byte_with_penpots_headers() -> None:
    with hook(Answer(b"", 204)) as (url, requests):
        assert deliver(f"{url}/hooks/a/b?c=d#e", PLAIN).status == 204
        assert deliver(url, PLAIN.with_suffix(".transit.json")).status == 204
        Sender(upgrade=False).deliver(url, b"{}", JSON)
    first, second, bare = requests
    assert (first.method, first.path, first.query) == ("POST", "/hooks/a/b", "c=d")
    assert first.body == PLAIN.read_bytes()
    assert first.headers["content-type"] == "application/json"
    assert first.headers["user-agent"] == "penpot/2.17.0"
    assert (first.headers["upgrade"], first.headers["connection"]) == (
        "h2c",
        "Upgrade, HTTP2-Settings",
    )
    assert second.headers["content-type"] == "application/transit+json"
    assert "upgrade" not in bare.headers
    assert "accept" not in first.headers


def test_deliveries_go_one_at_a_time() -> None:
    sender, begun = Sender(limit=0.2), time.monotonic()
    with raw(b"", silent=True) as silent:
        threads = [
            threading.Thread(target=sender.deliver, args=(silent.url, b"{}")) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert time.monotonic() - begun >= 0.6


def _refusing() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize(("url", "error"), [
    (_refusing, "connection-error"),
    (lambda: "http://my_relay:8080/", "invalid-uri"),
    (lambda: "relay/hooks", "invalid-uri"),
])  # fmt: skip
def test_three_failures_to_connect_disable_a_webhook(
    penpot: StandIn, url: Callable[[], str], error: str
) -> None:
    webhook = _add(penpot, url())
    for count in (1, 2, 3):
        assert webhook.is_active
        (outcome,) = penpot.fire(PLAIN)
        assert (outcome.status, webhook.error_code) == (None, error)
        assert webhook.error_count == count
    assert webhook.is_active is False
    assert penpot.fire(PLAIN) == []


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500])
def test_any_answer_resets_the_errors_as_in_penpot(penpot: StandIn, status: int) -> None:
    with hook(Answer(b"", status, headers={"Location": "http://127.0.0.1:1/"})) as (url, _):
        webhook = _add(penpot, url)
        webhook.error_count = 2
        (outcome,) = penpot.fire(PLAIN)
        assert (outcome.status, webhook.error_count, webhook.is_active) == (status, 0, True)
        penpot.intended = True
        penpot.fire(PLAIN)
        good = status in (200, 204)
        assert webhook.error_code == (None if good else f"unexpected-status:{status}")


@pytest.mark.parametrize("silent", [True, False], ids=["too-slow", "closed"])
def test_no_answer_is_not_an_error(penpot: StandIn, silent: bool) -> None:
    penpot.sender.limit = 0.2
    with raw(b"", silent=silent) as server:
        webhook = _add(penpot, server.url)
        (outcome,) = penpot.fire(PLAIN)
        assert (outcome.status, outcome.error(), webhook.error_count) == (None, None, 0)
        assert outcome.error(intended=True) == "unknown"


def test_a_certificate_that_java_does_not_trust_is_an_error(
    penpot: StandIn, authority: Authority
) -> None:
    with hook(Answer(b"", 204), authority.certificate()) as (url, _):
        webhook = _add(penpot, url)
        penpot.fire(PLAIN)
        assert webhook.error_code == "ssl-validation-error"
        penpot.sender.tls = ssl.create_default_context(cafile=authority.ca_file)
        (outcome,) = penpot.fire(PLAIN)
        assert (outcome.status, webhook.error_count) == (204, 0)


def test_an_event_goes_to_its_teams_active_webhooks_in_their_encoding(penpot: StandIn) -> None:
    with hook(Answer(b"", 204)) as (url, requests):
        _add(penpot, url)
        _add(penpot, url, mtype=TRANSIT)
        _add(penpot, url, is_active=None)
        _add(penpot, url, team=penpot.world.by_name("teams", "rnd"))
        assert len(penpot.fire(PLAIN)) == 2
    assert [request.headers["content-type"] for request in requests] == [JSON, TRANSIT]
    assert requests[1].body == PLAIN.with_suffix(".transit.json").read_bytes()


def test_a_webhook_is_created_if_head_returns_200_or_204(penpot: StandIn) -> None:
    team = penpot.world.by_name("teams", "acme")
    with hook(Answer(b"", 200)) as (url, requests):
        made = call(penpot, "create-webhook", teamId=team, uri=url, mtype=JSON, isActive=True)
    assert (made.status_code, made.json()["uri"]) == (200, url)
    (head,) = requests
    assert (head.method, head.headers["content-length"]) == ("HEAD", "0")
    assert head.headers["user-agent"].startswith("Java-http-client/")
    (row,) = call(penpot, "get-webhooks", teamId=team).json()
    assert row["uri"]["host"] == "127.0.0.1"
    assert "query" not in row["uri"]

    penpot.world.webhooks[made.json()["id"]].count("timeout")
    again = call(
        penpot, "update-webhook", id=row["id"], uri=url, mtype=JSON, isActive=True
    )  # the same URI: no HEAD, as nobody is there to answer it
    assert (again.status_code, again.json()["errorCount"]) == (200, 0)


@pytest.mark.parametrize(("status", "code"), [(302, 500), (404, 500), (None, 400)])
def test_a_webhook_is_not_created_if_head_returns_anything_else(
    penpot: StandIn, status: int | None, code: int
) -> None:
    team = penpot.world.by_name("teams", "acme")
    with hook(Answer(b"", status or 204)) as (url, _):
        uri = url if status else _refusing()
        made = call(penpot, "create-webhook", teamId=team, uri=uri, mtype=JSON)
    assert made.status_code == code
    assert made.json()["code"] == "webhook-validation"
    assert penpot.world.webhooks == {}


def test_a_team_has_eight_webhooks_at_most(penpot: StandIn) -> None:
    with hook(Answer(b"", 204)) as (url, _):
        for _ in range(8):
            _add(penpot, url)
        team = penpot.world.by_name("teams", "acme")
        made = call(penpot, "create-webhook", teamId=team, uri=url, mtype=JSON)
    assert (made.status_code, made.json()["code"]) == (400, "webhooks-quote-reached")


def test_json_is_sent_on_request(penpot: StandIn) -> None:
    url = f"{penpot.url}{NEWER}get-profile"
    token = {"authorization": f"Token {TOKEN}"}
    assert httpx.post(url, headers=token, json={}).headers["content-type"] == TRANSIT
    assert httpx.post(url, headers=AUTH, json={}).headers["content-type"] == JSON
    assert httpx.get(f"{url}?_fmt=json", headers=token).json()["fullname"] == "Relay"


def test_errors_have_penpots_form(penpot: StandIn) -> None:
    def response(
        method: str, path: str = NEWER, **params: Any
    ) -> tuple[int, dict[str, Any] | None]:
        answer = call(penpot, method, path, **params)
        return answer.status_code, answer.json() if answer.content else None

    landing = penpot.world.by_name("files", "landing")
    assert response("get-comment-thread", fileId=landing, id=landing) == (204, None)
    unknown = response("get-project", id=landing)
    assert unknown[0] == 404
    assert (unknown[1] or {})["code"] == "object-not-found"
    assert response("get-nothing") == (404, {"type": "not-found"})
    bad = response("get-project", id="x")
    assert (bad[0], (bad[1] or {})["code"]) == (400, "params-validation")
    penpot.old = True
    assert response("get-profile") == (404, {"type": "not-found"})
    assert response("get-profile", OLDER)[0] == 200
    assert httpx.get(f"{penpot.url}{OLDER}create-webhook").status_code == 405
    penpot.token = "revoked"
    assert response("get-teams", OLDER)[0] == 401
    anonymous = response("get-profile", OLDER)
    assert (anonymous[1] or {})["fullname"] == "Anonymous User"


def test_faults_apply_to_one_method_or_all_and_expire(penpot: StandIn) -> None:
    penpot.faults = {"*": Fault(status=503), "get-teams": Fault(status=429, times=1)}
    limited = call(penpot, "get-teams")
    assert (limited.status_code, limited.content) == (429, b"")
    assert limited.headers["x-rate-limit-reset"].startswith("default=")
    assert call(penpot, "get-teams").status_code == 503
    penpot.faults = {"*": Fault(cut=True)}
    with pytest.raises(httpx.RemoteProtocolError):
        call(penpot, "get-teams")
    penpot.faults = {"*": Fault(delay=0.1)}
    assert call(penpot, "get-teams").status_code == 200
    assert [recorded.method for recorded in penpot.calls] == ["get-teams"] * 4
    with penpot.down(), pytest.raises(httpx.ConnectError):
        call(penpot, "get-teams")
    penpot.faults = {}
    assert call(penpot, "get-teams").elapsed.total_seconds() < 1


def test_all_lookups_return_the_same_world(penpot: StandIn) -> None:
    world = penpot.world
    acme, landing = world.by_name("teams", "acme"), world.by_name("files", "landing")
    assert {team["name"] for team in call(penpot, "get-teams").json()} >= {"Acme Design"}
    assert call(penpot, "get-team", fileId=landing).json()["id"] == acme
    lost = call(penpot, "get-team", id=landing)
    assert (lost.status_code, lost.json()["code"]) == (404, "team-does-not-exist")
    assert len(call(penpot, "get-team-users", fileId=landing).json()) == 7
    assert call(penpot, "search-files", teamId=acme, searchTerm="").json() == []
    world.teams[acme].members[world.me] = "editor"
    (found,) = call(penpot, "search-files", teamId=acme, searchTerm="LANDING").json()
    assert found["id"] == landing
    threads = call(penpot, "get-comment-threads", fileId=landing).json()
    assert len(threads) == 9
    assert call(penpot, "get-comment-threads", teamId=acme).status_code == 404
    thread = "c0000001-5d0e-81a4-8006-9b0000000001"
    comments = call(penpot, "get-comments", threadId=thread).json()
    assert [comment["createdAt"] for comment in comments] == sorted(
        comment["createdAt"] for comment in comments
    )
    people = call(penpot, "get-profiles-for-file-comments", fileId=landing).json()
    assert "Guest Reviewer" in {person["fullname"] for person in people}


def test_resolving_and_deleting_leave_the_threads_time_as_it_is(penpot: StandIn) -> None:
    world = penpot.world
    landing, acme = world.by_name("files", "landing"), world.by_name("teams", "acme")
    id_ = "c0000001-5d0e-81a4-8006-9b0000000001"
    thread = world.threads[id_]

    def row() -> dict[str, Any]:
        listed = call(penpot, "get-comment-threads", fileId=landing).json()
        return next(found for found in listed if found["id"] == id_)

    before = row()
    assert call(penpot, "update-comment-thread", id=id_, isResolved=True).status_code == 204
    assert row() == before | {"isResolved": True}
    last = thread.comments[-1]
    assert call(penpot, "delete-comment", id=last.id).json()["code"] == "not-allowed"
    assert call(penpot, "update-comment", id=last.id, content="x").json()["code"] == "not-allowed"
    last.owner = world.me
    assert call(penpot, "update-comment", id=last.id, content="x").status_code == 204
    edited = row()
    assert edited["modifiedAt"] > before["modifiedAt"]
    assert call(penpot, "delete-comment", id=last.id).status_code == 204
    assert (row()["countComments"], row()["modifiedAt"]) == (5, edited["modifiedAt"])
    assert call(penpot, "delete-comment-thread", id=id_).json()["code"] == "not-allowed"
    thread.comments[0].owner = world.me
    assert call(penpot, "delete-comment-thread", id=id_).status_code == 204
    assert call(penpot, "get-comments", threadId=id_).status_code == 404

    other = next(found for found in world.threads.values() if found.file == landing)
    other.read = other.comments[-1].created + timedelta(seconds=1)
    unread = {
        found["id"] for found in call(penpot, "get-unread-comment-threads", teamId=acme).json()
    }
    assert other.id not in unread
    assert len(unread) > 5
    world.notify = "none"
    assert call(penpot, "get-unread-comment-threads", teamId=acme).json() == []


def test_thumbnails_of_files_need_the_token_and_those_of_boards_do_not(penpot: StandIn) -> None:
    landing = penpot.world.by_name("files", "landing")
    penpot.world.files[landing].boards["page/frame"] = "board"
    penpot.world.assets = {"file": Asset(PNG), "board": Asset(PNG, is_public=True)}
    boards = call(penpot, "get-file-object-thumbnails", fileId=landing, tag="frame").json()
    assert boards == {f"{landing}/page/frame/frame": "board"}
    url = f"{penpot.url}/assets/by-id"
    assert httpx.get(f"{url}/board").content == PNG
    assert httpx.get(f"{url}/file").status_code == 401
    assert httpx.get(f"{url}/file", headers=AUTH).headers["content-type"] == "image/png"
    assert httpx.get(f"{url}/none", headers=AUTH).status_code == 404


def test_each_payloads_team_is_in_the_world(penpot: StandIn) -> None:
    response = 0
    for path in PAYLOADS.glob("*/*.expect.json"):
        expected, body = json.loads(path.read_bytes()), Path(str(path).replace(".expect", ""))
        if expected["delivered"] and body.exists():
            assert penpot.world.to_team(json.loads(body.read_bytes())) == expected["team-id"], path
            response += 1
    assert response > 40


def _add(penpot: StandIn, url: str, **more: Any) -> Webhook:
    id_ = f"b0000000-0000-4000-8000-{len(penpot.world.webhooks):012}"
    team = more.pop("team", penpot.world.by_name("teams", "acme"))
    penpot.world.webhooks[id_] = webhook = Webhook(id_, team, url, **more)
    return webhook
