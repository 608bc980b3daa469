"""The delivery error for each answer of a server, in one table for all channels."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from relay.channels.matrix import errors as matrix_errors
from relay.channels.slack import errors as slack_errors
from relay.config.settings import AnyChannel
from tests.channels import builders
from tests.channels.builders import delivery_error
from tests.servers.loopback import Answer, in_thread, raw
from tests.servers.slack import TOKEN, WEBHOOK_PATH, Slack
from tests.servers.smtp import MailServer

pytestmark = pytest.mark.anyio

HTML = b"<html><h1>Bad Gateway</h1> " + TOKEN.encode() + b"</html>"
TO = "design@example.com"


@dataclass(frozen=True)
class Case:
    """A server's answer, and the expected error."""

    server: str
    answer: Any
    kind: type[DeliveryError]
    reason: str
    retry_after: float | None = None
    words: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.server}-{self.reason}-{self.answer}"[:70]


def slack(code: str, kind: type[DeliveryError], words: str = "") -> Case:
    return Case("slack", code, kind, code, words=words)


def hook(status: int, code: str, kind: type[DeliveryError], words: str = "") -> Case:
    return Case("hook", Answer(code.encode(), status, "text/html"), kind, code, words=words)


def matrix(status: int, code: str, kind: type[DeliveryError], words: str = "") -> Case:
    body = {"errcode": code, "error": f"told with {builders.MATRIX_TOKEN}"}
    return Case("matrix", Answer.of(body, status), kind, code, words=words)


def smtp(
    replies: dict[str, str], kind: type[DeliveryError], reason: str, words: str = "", **more: Any
) -> Case:
    return Case("email", replies, kind, reason, words=words, more=more)


SLOW = {"Retry-After": "37"}

CASES = [
    slack("ratelimited", RetryLater),
    slack("invalid_auth", Misconfigured, "bot token"),
    slack("token_revoked", Misconfigured, "revoked"),
    slack("account_inactive", Misconfigured, "deleted"),
    slack("missing_scope", Misconfigured, "chat:write"),
    slack("not_in_channel", Misconfigured, "/invite"),
    slack("channel_not_found", Misconfigured),
    slack("is_archived", Misconfigured, "unarchive"),
    slack("restricted_action", Misconfigured, "administrator"),
    slack("internal_error", RetryLater),
    slack("fatal_error", RetryLater),
    slack("service_unavailable", RetryLater),
    slack("a_word_of_next_year", RetryLater),
    slack("msg_too_long", Permanent),
    slack("msg_blocks_too_long", Permanent),
    slack("invalid_blocks", Permanent),
    slack("no_text", Permanent),
    slack("too_many_attachments", Permanent),
    Case("slack", Answer.of({"ok": False}, 429, **SLOW), RetryLater, "ratelimited", 37.0),
    Case("slack", Answer(HTML, 429, "text/html", SLOW), RetryLater, "ratelimited", 37.0),
    Case("slack", Answer(HTML, 502, "text/html"), RetryLater, "http-502"),
    Case("slack", Answer(HTML, 503, "text/plain", SLOW), RetryLater, "http-503", 37.0),
    Case("slack", Answer(b"", 500), RetryLater, "http-500"),
    Case("slack", Answer(b"", 302, headers={"Location": "/x"}), RetryLater, "http-302"),
    Case("slack", Answer(HTML, 200, "text/html"), RetryLater, "answer"),
    Case("slack", Answer(b'{"ok": tru'), RetryLater, "answer"),
    Case("slack", Answer(b"[1]"), RetryLater, "answer"),
    Case("slack", Answer(b"\xff\xfe", 200, "text/plain; charset=utf-8"), RetryLater, "answer"),
    Case("slack", Answer.of({"ok": False, "error": TOKEN}), RetryLater, "answer"),
    Case("slack", Answer(cut=True), RetryLater, "connect"),
    hook(404, "no_service", Misconfigured, "new webhook"),
    hook(410, "channel_is_archived", Misconfigured, "unarchive"),
    hook(403, "action_prohibited", Misconfigured, "administrator"),
    hook(400, "posting_to_general_channel_denied", Misconfigured, "#general"),
    hook(400, "user_not_found", Misconfigured),
    hook(403, "invalid_token", Misconfigured),
    hook(404, "team_disabled", Misconfigured),
    hook(500, "rollup_error", RetryLater),
    hook(400, "invalid_payload", Permanent),
    hook(400, "invalid_blocks", Permanent),
    hook(400, "too_many_attachments", Permanent),
    hook(400, "no_text", Permanent),
    Case("hook", Answer(b"slow", 429, "text/plain", SLOW), RetryLater, "ratelimited", 37.0),
    Case("hook", Answer(WEBHOOK_PATH.encode(), 404, "text/html"), RetryLater, "http-404"),
    Case("hook", Answer(HTML, 502, "text/html"), RetryLater, "http-502"),
    Case("hook", Answer(b"\xff\xff", 200, "text/plain"), RetryLater, "answer"),
    Case("hook", Answer(cut=True), RetryLater, "connect"),
    matrix(401, "M_UNKNOWN_TOKEN", Misconfigured, "access token"),
    matrix(403, "M_FORBIDDEN", Misconfigured, "invite"),
    matrix(404, "M_NOT_FOUND", Misconfigured),
    matrix(403, "M_USER_DEACTIVATED", Misconfigured, "deactivated"),
    matrix(403, "M_CONSENT_NOT_GIVEN", Misconfigured, "terms"),
    matrix(404, "M_UNRECOGNIZED", Misconfigured, "homeserver in the config"),
    matrix(500, "M_UNKNOWN", RetryLater),
    matrix(400, "M_NEXT_YEARS_CODE", RetryLater),
    matrix(413, "M_TOO_LARGE", Permanent),
    matrix(400, "M_BAD_JSON", Permanent),
    matrix(400, "M_NOT_JSON", Permanent),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}, 429),
        RetryLater,
        "M_LIMIT_EXCEEDED",
        2.5,
    ),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1}, 429, **SLOW),
        RetryLater,
        "M_LIMIT_EXCEEDED",
        37.0,
    ),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": int("9" * 400)}, 429),
        RetryLater,
        "M_LIMIT_EXCEEDED",
        86400.0,
    ),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": -int("9" * 400)}, 429),
        RetryLater,
        "M_LIMIT_EXCEEDED",
        0.0,
    ),
    Case("matrix", Answer(HTML, 429, "text/html", SLOW), RetryLater, "ratelimited", 37.0),
    Case("matrix", Answer(HTML, 502, "text/html"), RetryLater, "http-502"),
    Case("matrix", Answer(HTML, 404, "text/html"), RetryLater, "http-404", words="address"),
    Case("matrix", Answer(b"", 301, headers={"Location": "/x"}), RetryLater, "http-301"),
    Case("matrix", Answer(HTML, 200, "text/html"), RetryLater, "answer"),
    Case("matrix", Answer(b"[" * 100_000), RetryLater, "answer"),
    Case("matrix", Answer(cut=True), RetryLater, "connect"),
    smtp({"MAIL": f"451 4.3.0 try later {builders.PASSWORD}"}, RetryLater, "451", login=True),
    smtp({"MAIL": "421 4.3.2 going down"}, RetryLater, "421"),
    smtp({"MAIL": "530 5.7.0 who are you"}, RetryLater, "530", "smtp.username"),
    smtp({"MAIL": "550 5.7.1 not this sender"}, RetryLater, "550", "sender"),
    smtp({"MAIL": "552 5.3.4 too big"}, Permanent, "552"),
    smtp({TO: "450 4.2.0 greylisted"}, RetryLater, "450"),
    smtp({TO: "550 5.1.1 no such user"}, Permanent, "550", "no such user"),
    smtp({TO: "554 5.7.1 relay access denied"}, RetryLater, "554", "relay access denied"),
    smtp({"DATA": "452 4.3.1 disk full"}, RetryLater, "452"),
    smtp({"DATA": "554 5.7.1 looks like spam"}, Permanent, "554"),
    smtp({"DATA": "554 5.2.252 SendAsDenied; not allowed to send as"}, RetryLater, "554"),
    smtp({"DATA": "550 5.4.5 Daily user sending limit exceeded"}, RetryLater, "550"),
    smtp({"DATA": "554 Message rejected: Email address is not verified."}, RetryLater, "554"),
    smtp({TO: "550 5.4.6 Unusual sending activity detected"}, RetryLater, "550"),
    smtp({}, RetryLater, "535", "username or password", login=True, password="wrong-password"),
    smtp({}, RetryLater, "starttls", 'tls = "tls"', tls="starttls"),
]


@contextmanager
def settings_for(case: Case) -> Iterator[AnyChannel]:
    """The settings of a channel whose server gives the case's answer."""
    with ExitStack() as running:
        if case.server == "email":
            server = MailServer(auth=case.more.get("login", False), replies=case.answer)
            running.enter_context(server)
            yield builders.email(server.port, **case.more)
        elif case.server == "matrix":
            url = running.enter_context(in_thread(lambda _: case.answer)).url
            yield builders.matrix(url)
        else:
            workspace = Slack()
            workspace.next.append(case.answer)
            url = running.enter_context(in_thread(workspace.handle)).url
            hooked = builders.slack_hook(url + WEBHOOK_PATH)
            yield hooked if case.server == "hook" else builders.slack_bot(url + "/api")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_raises_its_kind_of_error_without_a_secret(case: Case) -> None:
    with settings_for(case) as settings:
        error = await delivery_error(settings)
    assert (type(error), error.reason, error.retry_after) == (
        case.kind,
        case.reason,
        case.retry_after,
    )
    assert case.words in error.detail


OPENERS: dict[str, Callable[[str], AnyChannel]] = {
    "slack": lambda url: builders.slack_bot(f"{url}/api"),
    "hook": lambda url: builders.slack_hook(url + WEBHOOK_PATH),
    "matrix": builders.matrix,
    "email": lambda url: builders.email(int(url.rpartition(":")[2]), login=True),
}
KINDS = sorted(OPENERS)
HTTP = ["hook", "matrix", "slack"]


def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import relay.channels.email.channel
    import relay.channels.matrix.client
    import relay.channels.slack.client

    monkeypatch.setattr(relay.channels.email.channel, "_ANSWER_TIMEOUT", 0.3)
    monkeypatch.setattr(relay.channels.matrix.client, "_TIMEOUT", 0.3)
    monkeypatch.setattr(relay.channels.slack.client, "_TIMEOUT", 0.3)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unreachable_server_is_retried(kind: str) -> None:
    with socket.socket() as closed:  # bound but not listening
        closed.bind(("127.0.0.1", 0))
        error = await delivery_error(OPENERS[kind](f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert (type(error), error.reason) == (RetryLater, "connect")
    assert "refuses connections" in error.detail


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_does_not_answer_is_retried(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_waits(monkeypatch)
    with raw(b"", silent=True) as server:
        error = await delivery_error(OPENERS[kind](server.url))
    assert (type(error), error.reason) == (RetryLater, "timeout")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_endless_answer_is_cut_off(kind: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    with raw(head if kind != "email" else b"220 ", endless=True, greets=kind == "email") as server:
        error = await delivery_error(OPENERS[kind](server.url))
    assert isinstance(error, RetryLater)
    assert error.reason in ("answer", "connect")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "answer",
    [b"\x00\x01garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"220 "],
    ids=["garbage", "cut off", "half a line"],
)
async def test_an_answer_in_another_protocol_is_retried(
    kind: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_waits(monkeypatch)
    with raw(answer, greets=kind == "email") as server:
        error = await delivery_error(OPENERS[kind](server.url))
    assert isinstance(error, RetryLater)
    assert error.reason in ("answer", "connect")


@pytest.mark.parametrize("greeting", ["554 5.3.2 not here", "421 4.3.2 too many connections"])
async def test_a_mail_server_that_refuses_connections_is_retried(greeting: str) -> None:
    with raw(f"{greeting}\r\n".encode(), greets=True) as server:
        error = await delivery_error(OPENERS["email"](server.url))
    assert (type(error), error.reason) == (RetryLater, greeting[:3])
    assert "refuses the connection" in error.detail


@pytest.mark.parametrize("kind", HTTP)
async def test_a_server_without_tls_at_an_https_url_is_retried(kind: str) -> None:
    with raw(b"HTTP/1.1 400 plain\r\n\r\n") as server:
        error = await delivery_error(OPENERS[kind](server.url.replace("http:", "https:")))
    assert (type(error), error.reason) == (RetryLater, "tls")


def test_each_code_of_slack_has_a_sentence_and_fixable_errors_are_retried() -> None:
    fixable = {
        code
        for code, (kind, _) in slack_errors.ERRORS.items()
        if kind in (RetryLater, Misconfigured)
    }
    about_the_place = ("channel", "token", "auth", "team", "scope", "hook", "service", "workspace")
    for code, (_, sentence) in slack_errors.ERRORS.items():
        error = slack_errors.error_from_answer(code, 200, {}, secret=TOKEN)
        assert error.reason == code
        assert sentence in error.detail
        if code.startswith(about_the_place) or code.endswith(("_archived", "_disabled")):
            assert code in fixable


def test_further_text_of_slack_is_shown_without_the_secret() -> None:
    error = slack_errors.error_from_answer(
        "invalid_blocks", 200, {}, f"bad at {TOKEN}\n[json-pointer:/blocks/0]", secret=TOKEN
    )
    assert error.detail.endswith("(bad at *** [json-pointer:/blocks/0])")


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", 0.0),
        ("-5", 0.0),
        ("1e9", 86400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
    ],
)
def test_invalid_retry_delays_are_bounded_or_ignored(header: str, wait: float | None) -> None:
    error = matrix_errors.error_from_answer({}, 429, {"Retry-After": header}, secret="x")
    assert error.retry_after == wait


def test_a_retry_delay_may_be_a_date() -> None:
    header = {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert matrix_errors.error_from_answer({}, 503, header, secret="x").retry_after == 86400.0
    past = {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}
    assert matrix_errors.error_from_answer({}, 503, past, secret="x").retry_after == 0.0
