"""The hook endpoint, case by case, on the running service."""

import gzip
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from relay import intake, protocol
from relay.config.secret import Secret
from relay.config.settings import Config
from relay.delivery.alerts import Alerts
from relay.delivery.notices import NoticeRenderer
from relay.intake import HookEndpoint, RequestLoad, use_key
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.quota import Quota
from relay.store.base import Store
from relay.store.records import StoreUnavailable
from relay.store.sqlite import SqliteStore
from tests.service import JSON, SECRET, Service, running, wait_until

PAYLOADS = Path(__file__).parent / "penpot" / "payloads"
TRANSIT = {"content-type": "application/transit+json"}
LIMIT = 1024 * 1024 * 16


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    channel = (
        '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\n'
        'activity = "each"\n'
    )
    with running(tmp_path_factory.mktemp("intake"), channel) as service:
        yield service


def body(name: str = "create-project", **props: object) -> bytes:
    return json.dumps({"name": name, "props": {"name": "P", **props}}).encode()


def last_event(service: Service) -> str:
    return service.run("log", "--limit", "1").stdout


def test_head_with_the_right_secret_is_200_and_empty(service: Service) -> None:
    answer = httpx.head(service.hook)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "headers", [JSON, TRANSIT, {"content-type": "Application/JSON; charset=utf-8"}]
)
def test_a_stored_body_is_204_and_empty(service: Service, headers: dict[str, str]) -> None:
    form = "transit.json" if headers is TRANSIT else "json"
    sent = (PAYLOADS / "create-comment" / f"plain.{form}").read_bytes()
    answer = httpx.post(service.hook, content=sent, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert "location" not in answer.headers


@pytest.mark.parametrize("method", ["HEAD", "POST"])
@pytest.mark.parametrize("path", ["nobody/" + SECRET, "acme/wrong", "acme/" + SECRET + "x"])
def test_unknown_team_and_wrong_secret_get_the_same_response(
    service: Service, method: str, path: str
) -> None:
    answer = httpx.request(method, f"{service.url}/hooks/{path}", content=b"x", headers=JSON)
    assert answer.status_code == 404
    assert answer.content == (b"Not Found" if method == "POST" else b"")
    headers = {key: value for key, value in answer.headers.items() if key != "date"}
    assert headers == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "9",
        "connection": "close",
    }


NEW_SECRET = "the-current-secret-of-acme"


async def send_nothing(message: object) -> None:
    pass


async def post(
    hook: HookEndpoint, secret: str, sent: bytes = b"", content_type: bytes = b"application/json"
) -> int:
    """The response's status, of a POST to team acme."""
    statuses = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": sent}

    async def send(message: MutableMapping[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    scope = {
        "method": "POST",
        "path_params": {"team": "acme", "secret": secret},
        "headers": [(b"content-type", content_type)],
    }
    await hook(scope, receive, send)
    return statuses[0]


def endpoint(store: Store, *secrets: str, metrics: Metrics | None = None) -> HookEndpoint:
    config = Config.model_validate({"teams": {"acme": {"secret": list(secrets)}}})
    metrics = metrics or Metrics()
    alerts = Alerts({}, store, NoticeRenderer(Templates(), metrics))
    quota = Quota(config, store, metrics, alerts)
    return HookEndpoint(config, store, lambda: None, metrics, RequestLoad(), quota)


@pytest.mark.anyio
async def test_all_responses_take_the_same_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []
    matches = Secret.matches

    def noting(self: Secret, other: str) -> bool:
        compared.append(other)
        return matches(self, other)

    async def noted(self: HookEndpoint, key: str) -> None:
        pass

    monkeypatch.setattr(Secret, "matches", noting)
    monkeypatch.setattr(HookEndpoint, "_note_use", noted)
    for secrets in ([SECRET], [NEW_SECRET, SECRET]):
        hook = endpoint(Store, *secrets)  # type: ignore[type-abstract, arg-type]
        givens = [("nobody", "wrong"), ("acme", "wrong"), *(("acme", text) for text in secrets)]
        for team, given in givens:
            compared.clear()
            scope = {"method": "HEAD", "path_params": {"team": team, "secret": given}}
            await hook(scope, pytest.fail, send_nothing)
            assert compared == [given, given]


@pytest.mark.anyio
async def test_an_old_secret_works_until_it_is_removed(store: SqliteStore) -> None:
    hook = endpoint(store, NEW_SECRET, SECRET)
    for secret, status in ((NEW_SECRET, 204), (SECRET, 204), (f"{SECRET}x", 404), ("", 404)):
        assert await post(hook, secret, body(name=secret)) == status
    hook = endpoint(store, NEW_SECRET)
    assert await post(hook, NEW_SECRET, body(name="later")) == 204
    assert await post(hook, SECRET, body(name="later")) == 404


@pytest.mark.anyio
async def test_an_event_through_both_hooks_and_in_both_forms_is_one_event(
    store: SqliteStore,
) -> None:
    pairs = sorted(PAYLOADS.rglob("*.transit.json"))
    assert len(pairs) > 30
    hook = endpoint(store, NEW_SECRET, SECRET)
    for pair in pairs:
        plain = Path(str(pair).replace(".transit", "")).read_bytes()
        assert await post(hook, NEW_SECRET, plain) == 204
    stored = await store.log(team=None, state=None, limit=1000)
    assert len(stored) > 30
    for pair in pairs:
        plain, transit = Path(str(pair).replace(".transit", "")), pair.read_bytes()
        assert await post(hook, SECRET, plain.read_bytes()) == 204
        assert await post(hook, SECRET, transit, b"application/transit+json") == 204
    assert await store.log(team=None, state=None, limit=1000) == stored


@pytest.mark.anyio
async def test_the_use_of_a_secret_is_noted_now_and_then(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = endpoint(store, NEW_SECRET, SECRET)
    written: list[str] = []
    put_value = store.put_value

    async def put(key: str, value: str) -> None:
        written.append(key)
        await put_value(key, value)

    monkeypatch.setattr(store, "put_value", put)
    for number in range(20):
        await post(hook, SECRET, body(name=f"{number}"))
    assert written == [use_key("acme", Secret(SECRET))]
    use = await store.get_value(written[0])
    assert use is not None
    assert 0 <= time.time() - use.at < 60
    assert await store.get_value(use_key("acme", Secret(NEW_SECRET))) is None
    monkeypatch.setattr(intake, "USE_INTERVAL", 0.0)
    hook = endpoint(store, NEW_SECRET, SECRET)
    for secret in (SECRET, NEW_SECRET, "wrong", SECRET):
        await post(hook, secret, body(name="again"))
    assert len(written) == 4
    assert not any(SECRET in key for key in written)


@pytest.mark.anyio
async def test_a_use_that_can_not_be_noted_loses_no_event(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(key: str, value: str) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(store, "put_value", fails)
    assert await post(endpoint(store, SECRET), SECRET, body()) == 204


@pytest.mark.anyio
async def test_refusals_of_a_team_share_a_line_of_the_log(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(protocol, "REPORT_INTERVAL", 0.5)
    metrics = Metrics()
    hook = endpoint(store, SECRET, metrics=metrics)
    for _ in range(30):
        assert await post(hook, SECRET, b"[") == 400
        assert await post(hook, SECRET, b"{}", b"text/plain") == 415

    def counted() -> int:
        lines = "\n".join(caplog.messages)
        return sum(map(int, re.findall(r"\((\d+) times?\)", lines)))

    with anyio.fail_after(30):
        while counted() < 60:  # noqa: ASYNC110 - the log offers no event to wait for
            await anyio.sleep(0.05)
    lines = [line for line in caplog.messages if "refused" in line]
    assert lines[0].startswith("team acme: refused recently: 400: ")
    assert any("415: The content type must be" in line for line in lines)
    assert len(lines) < 10
    text = metrics.text().decode()
    assert 'relay_requests_total{status="400",team="acme"} 30.0' in text
    assert 'relay_requests_total{status="415",team="acme"} 30.0' in text


@pytest.mark.anyio
async def test_each_kind_of_404_shares_a_line_of_the_log_without_the_url(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    hook = endpoint(store, SECRET)
    given = "what-somebody-sent"
    for team in ("acme", "nobody", "acme", "somebody"):
        for method in ("HEAD", "POST"):
            params = {"team": team, "secret": given}
            await hook({"method": method, "path_params": params}, pytest.fail, send_nothing)
    for path in (f"/relay/hooks/acme/{SECRET}", f"/hooks/acme/{given}/", "/.env", f"/{given}"):
        await hook.other_path({"path": path}, pytest.fail, send_nothing)
    assert caplog.messages == [
        "team acme: refused recently: 404: the URL has another secret than the config: compare the "
        "webhook's URL in Penpot with the one that `relay check` prints (1 time)",
        "hook: refused recently: 404: the URL names a team that the config does not have: compare "
        "the webhook's URL in Penpot with the one that `relay check` prints (1 time)",
    ]
    hook._unknown._report()
    hook._refusals["acme"]._report()
    team, acme = caplog.messages[2:]
    assert team.startswith("hook: refused recently: 404: the URL names a team that")
    assert "(3 times); 404: the URL is not of the form /hooks/<team>/<secret>: " in team
    assert team.endswith("check whether a proxy changes the path (2 times)")
    assert acme.endswith("prints (3 times)")
    assert SECRET not in caplog.text
    assert given not in caplog.text


@pytest.mark.anyio
async def test_a_404_is_logged_after_its_response(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """So that its time does not say whether there is such a team."""
    sent: list[int] = []

    async def send(message: object) -> None:
        sent.append(len(caplog.messages))

    hook = endpoint(store, SECRET)
    for team in ("acme", "nobody"):
        params = {"team": team, "secret": "wrong"}
        await hook({"method": "HEAD", "path_params": params}, pytest.fail, send)
    assert sent == [0, 0, 1, 1]


def test_a_path_around_the_hooks_gets_the_response_of_a_wrong_secret(service: Service) -> None:
    paths = (f"acme/{SECRET}x", f"acme/{SECRET}/", "", "acme")
    answers = [httpx.post(f"{service.url}/hooks/{path}", content=b"x") for path in paths]
    answers += [httpx.post(f"{service.url}/x", content=b"x")]
    for answer in answers:
        answer.headers.pop("date")
    assert {(answer.status_code, answer.content) for answer in answers} == {(404, b"Not Found")}
    assert all(answer.headers == answers[0].headers for answer in answers)


@pytest.mark.parametrize("coding", ["gzip", "br", "GZIP", "deflate, gzip"])
def test_a_compressed_body_is_415(service: Service, coding: str) -> None:
    headers = JSON | {"content-encoding": coding}
    answer = httpx.post(service.hook, content=gzip.compress(body()), headers=headers)
    assert answer.status_code == 415
    assert answer.text == "Content-Encoding is not supported: send the body uncompressed"


def test_the_coding_identity_is_none(service: Service) -> None:
    headers = JSON | {"content-encoding": "Identity"}
    assert httpx.post(service.hook, content=body(), headers=headers).status_code == 204


def test_other_methods_are_refused(service: Service) -> None:
    answer = httpx.get(service.hook)
    assert (answer.status_code, answer.headers["allow"]) == (405, "HEAD, POST")
    assert "add its URL to a team" in answer.text
    assert httpx.put(service.hook, content=b"{}").status_code == 405


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_another_content_type_is_415(service: Service, content_type: str) -> None:
    answer = httpx.post(service.hook, content=body(), headers={"content-type": content_type})
    assert answer.status_code == 415
    assert "application/json or application/transit+json" in answer.text


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "empty"),
        (b"not json", "not JSON"),
        (b"[1, 2]", "not an object"),
        (b'{"props": {}}', "no name"),
        (b'{"name": ""}', "no name"),
        (b'{"name": {"a": 1}}', "no name"),
        (b'{"name": "x", "props": {"name": "\xff"}}', "UTF-8"),
        (b'{"name": "x", "props": {"a": NaN}}', "NaN"),
    ],
)
def test_an_invalid_event_is_400_and_stored(service: Service, sent: bytes, reason: str) -> None:
    answer = httpx.post(service.hook, content=sent, headers=JSON)
    assert answer.status_code == 400
    assert reason in answer.text
    assert "unreadable" in service.run("log", "--state", "unreadable").stdout


def test_of_a_long_unreadable_body_the_first_4_kb_are_stored(service: Service) -> None:
    sent = b'{"name": "create-file"}' + b" " * 5000 + b"x"  # whose beginning is readable
    assert [service.post(sent), service.post(sent)] == [400, 400]
    log = service.run("log", "--state", "unreadable").stdout
    assert log.count("acme  truncated: 5024 bytes were received  unreadable (not JSON") == 1


def test_an_unknown_event_becomes_a_message(service: Service) -> None:
    assert service.post(body("polish-everything")) == 204
    wait_until(lambda: "polish everything" in service.output.read_text().lower(), 30)


def test_the_same_body_again_is_204_and_stored_once(service: Service) -> None:
    sent = body(name="Only once")
    assert [service.post(sent) for _ in range(3)] == [204, 204, 204]
    wait_until(lambda: "Only once" in service.output.read_text(), 30)
    assert service.post(body(name="After it")) == 204
    wait_until(lambda: "After it" in service.output.read_text(), 30)
    assert service.output.read_text().count("Only once") == 1


def test_a_body_over_the_limit_is_413_and_stays_unread(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        head = (
            f"POST /hooks/acme/{SECRET} HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\n"
        )
        connection.sendall(head.encode() + b"Content-Length: 16777217\r\n\r\n{")
        answer = b""
        while part := connection.recv(65536):
            answer += part
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_chunked_body_over_the_limit_is_413(service: Service) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(LIMIT // 2**20 + 1):
            yield b" " * 2**20

    answer = httpx.post(service.hook, content=chunks(), headers=JSON, timeout=10)
    assert answer.status_code == 413


def test_a_trailing_slash_is_not_redirected(service: Service) -> None:
    answer = httpx.post(f"{service.hook}/", content=body(), headers=JSON)
    assert answer.status_code == 404
    assert "location" not in answer.headers


def test_a_body_of_9_mb_is_accepted(service: Service) -> None:
    assert service.post(body(name="Large", padding="x" * 9_000_000)) == 204
    wait_until(lambda: "Large" in service.output.read_text(), 30)


def test_a_disconnect_stores_no_event(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        head = (
            f"POST /hooks/acme/{SECRET} HTTP/1.1\r\nHost: x\r\ncontent-type: application/json\r\n"
        )
        connection.sendall(head.encode() + b"Content-Length: 100\r\n\r\n" + body("cut-off"))
    time.sleep(0.1)
    assert "cut-off" not in last_event(service)


def test_an_unwritable_store_is_503(tmp_path: Path) -> None:
    with running(tmp_path, "") as service:
        other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert service.post(body()) == 503
        assert httpx.get(f"{service.admin}/readyz", timeout=5).status_code == 503
        assert httpx.get(f"{service.url}/healthz").status_code == 200
        other.execute("ROLLBACK")
        other.close()
        assert service.post(body()) == 204
        wait_until(lambda: "ignored" in last_event(service), 30)


BRACKETS = 16 * 1024 * 1024 - 64
HOSTILE = {
    "16 MiB of brackets": b"[" * BRACKETS,
    "16 MiB of closed brackets": b'{"name": "x", "props": {"a": [' + b"[]," * (BRACKETS // 3),
    "deep nesting": b'{"a":' * 1_000_000,
    "many numbers": b'{"name": "x", "props": [' + b"1," * 8_000_000 + b"1]}",
    "a huge number": b'{"name": "x", "props": {"a": ' + b"9" * 15_000_000 + b"}}",
    "a huge string": b'{"name": "x", "props": {"a": "' + b"y" * 15_000_000 + b'"}}',
    "escapes": b'{"name": "x", "props": {"a": "' + rb"\u0041" * 2_700_000 + b'"}}',
    "truncated": b'{"name": "create-comment", "props": {"content": "' + b"z" * 1_000_000,
    "invalid UTF-8": b'{"name": "x", "props": {"a": "' + b"\xff" * 15_000_000 + b'"}}',
    "a long template": body("clone-template", templateId="a-" * 7_900_000),
    "many files": body("move-files", ids=[f"{n:08}-0000-4000-8000-{n:012}" for n in range(29_000)]),
    "mentions without an end": body("create-comment", content="@[" * 10_000),
    "transit: nested sets": b'["~#set",' * 1_500_000,
    "transit: cached keys": b'["^ ","~:name","x","~:props",["^ "' + b',"~:abcd",1' * 1_300_000,
    "transit: a bomb": b'["^ ","~:name","x","~:props",[' + b'["~#cmap",[[],[]]],' * 800_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_bounded_and_blocks_no_request(service: Service, name: str) -> None:
    # The fastest of several attempts, since a busy machine delays some.
    assert any(slowest_head(service, name, attempt) < 0.1 for attempt in range(1, 6))
    assert service.peak_memory() < 200e6


def slowest_head(service: Service, name: str, attempt: int) -> float:
    """The longest response time of a HEAD, in seconds, until the hostile event is a message."""
    sent = HOSTILE[name] + b" " * attempt  # a new body each time: a duplicate would be dropped
    headers = TRANSIT if name.startswith("transit") else JSON
    behind = f"Behind {name} {attempt}".replace("-", " ")  # an unknown event's name in a message
    answers: list[int] = []

    def send() -> None:
        for content, kind in ((sent, headers), (body(name=behind), JSON)):
            answer = httpx.post(service.hook, content=content, headers=kind, timeout=30)
            answers.append(answer.status_code)

    sending = threading.Thread(target=send)
    slowest = 0.0
    end = time.monotonic() + 30
    with httpx.Client() as client:
        client.head(service.hook)
        sending.start()
        # Messages keep the order of the events.
        while sending.is_alive() or behind not in service.output.read_text():
            assert time.monotonic() < end
            started = time.perf_counter()
            assert client.head(service.hook).status_code == 200
            slowest = max(slowest, time.perf_counter() - started)
            time.sleep(0.002)
    assert answers[0] in (204, 400)
    assert answers[1] == 204
    return slowest


def test_an_absurd_length_is_refused(service: Service) -> None:
    head = f"POST /hooks/acme/{SECRET} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    for length in ("9" * 19, "0" * 5000 + "99999999"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode())
            assert re.match(rb"HTTP/1.1 4(00|13) ", connection.recv(65536))


def test_the_hooks_secret_is_in_no_log(service: Service) -> None:
    assert "acme" in service.log.read_text()
    assert SECRET not in service.log.read_text()
    assert SECRET not in httpx.get(f"{service.admin}/metrics").text


def test_the_metrics_count_requests_events_and_deliveries(service: Service) -> None:
    text = httpx.get(f"{service.admin}/metrics").text
    assert 'relay_requests_total{status="204",team="acme"}' in text
    assert 'relay_events_total{event="create-comment",state="fanned-out",team="acme"}' in text
    assert 'relay_events_total{event="other",state="fanned-out",team="acme"}' in text
    assert 'relay_deliveries_sent_total{queue="acme/log"}' in text
