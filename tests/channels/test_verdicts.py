"""What every channel makes of what servers answer: one table for all."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.channels import matrix_errors, slack_errors
from relay.config import AnyChannel
from tests.channels import builders
from tests.channels.builders import refusal
from tests.servers.loopback import Answer, in_thread, raw
from tests.servers.slack import TOKEN, WEBHOOK_PATH, Slack
from tests.servers.smtp import MailServer

pytestmark = pytest.mark.anyio

HTML = b"<html><h1>Bad Gateway</h1> " + TOKEN.encode() + b"</html>"
TO = "design@example.com"


@dataclass(frozen=True)
class Case:
    """A kind of channel, what its server answers, and what is to become of it."""

    kind: str
    answer: Any
    verdict: str
    reason: str
    after: float | None = None
    words: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}-{self.reason}-{self.answer}"[:70]


def slack(word: str, verdict: str, words: str = "") -> Case:
    return Case("slack", word, verdict, word, words=words)


def hook(status: int, word: str, verdict: str, words: str = "") -> Case:
    return Case("hook", Answer(word.encode(), status, "text/html"), verdict, word, words=words)


def matrix(status: int, code: str, verdict: str, words: str = "") -> Case:
    body = {"errcode": code, "error": f"told with {builders.MATRIX_TOKEN}"}
    return Case("matrix", Answer.of(body, status), verdict, code, words=words)


def smtp(replies: dict[str, str], verdict: str, reason: str, words: str = "", **more: Any) -> Case:
    return Case("email", replies, verdict, reason, words=words, more=more)


SLOW = {"Retry-After": "37"}

CASES = [
    slack("ratelimited", "retry"),
    slack("invalid_auth", "broken", "bot token"),
    slack("token_revoked", "broken", "revoked"),
    slack("account_inactive", "broken", "deleted"),
    slack("missing_scope", "broken", "chat:write"),
    slack("not_in_channel", "broken", "/invite"),
    slack("channel_not_found", "broken"),
    slack("is_archived", "broken", "unarchive"),
    slack("restricted_action", "broken", "administrator"),
    slack("internal_error", "retry"),
    slack("fatal_error", "retry"),
    slack("service_unavailable", "retry"),
    slack("a_word_of_next_year", "retry"),
    slack("msg_too_long", "dead"),
    slack("msg_blocks_too_long", "dead"),
    slack("invalid_blocks", "dead"),
    slack("no_text", "dead"),
    slack("too_many_attachments", "dead"),
    Case("slack", Answer.of({"ok": False}, 429, **SLOW), "retry", "ratelimited", 37.0),
    Case("slack", Answer(HTML, 429, "text/html", SLOW), "retry", "ratelimited", 37.0),
    Case("slack", Answer(HTML, 502, "text/html"), "retry", "http-502"),
    Case("slack", Answer(HTML, 503, "text/plain", SLOW), "retry", "http-503", 37.0),
    Case("slack", Answer(b"", 500), "retry", "http-500"),
    Case("slack", Answer(b"", 302, headers={"Location": "/x"}), "retry", "http-302"),
    Case("slack", Answer(HTML, 200, "text/html"), "retry", "answer"),
    Case("slack", Answer(b'{"ok": tru'), "retry", "answer"),
    Case("slack", Answer(b"[1]"), "retry", "answer"),
    Case("slack", Answer(b"\xff\xfe", 200, "text/plain; charset=utf-8"), "retry", "answer"),
    Case("slack", Answer.of({"ok": False, "error": TOKEN}), "retry", "answer"),
    Case("slack", Answer(cut=True), "retry", "connect"),
    hook(404, "no_service", "broken", "new webhook"),
    hook(410, "channel_is_archived", "broken", "unarchive"),
    hook(403, "action_prohibited", "broken", "administrator"),
    hook(400, "posting_to_general_channel_denied", "broken", "#general"),
    hook(400, "user_not_found", "broken"),
    hook(403, "invalid_token", "broken"),
    hook(404, "team_disabled", "broken"),
    hook(500, "rollup_error", "retry"),
    hook(400, "invalid_payload", "dead"),
    hook(400, "invalid_blocks", "dead"),
    hook(400, "too_many_attachments", "dead"),
    hook(400, "no_text", "dead"),
    Case("hook", Answer(b"slow", 429, "text/plain", SLOW), "retry", "ratelimited", 37.0),
    Case("hook", Answer(WEBHOOK_PATH.encode(), 404, "text/html"), "retry", "http-404"),
    Case("hook", Answer(HTML, 502, "text/html"), "retry", "http-502"),
    Case("hook", Answer(b"\xff\xff", 200, "text/plain"), "retry", "answer"),
    Case("hook", Answer(cut=True), "retry", "connect"),
    matrix(401, "M_UNKNOWN_TOKEN", "broken", "access token"),
    matrix(403, "M_FORBIDDEN", "broken", "invite"),
    matrix(404, "M_NOT_FOUND", "broken"),
    matrix(403, "M_USER_DEACTIVATED", "broken", "deactivated"),
    matrix(403, "M_CONSENT_NOT_GIVEN", "broken", "terms"),
    matrix(404, "M_UNRECOGNIZED", "broken", "homeserver in the config"),
    matrix(500, "M_UNKNOWN", "retry"),
    matrix(400, "M_NEXT_YEARS_CODE", "retry"),
    matrix(413, "M_TOO_LARGE", "dead"),
    matrix(400, "M_BAD_JSON", "dead"),
    matrix(400, "M_NOT_JSON", "dead"),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}, 429),
        "retry",
        "M_LIMIT_EXCEEDED",
        2.5,
    ),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1}, 429, **SLOW),
        "retry",
        "M_LIMIT_EXCEEDED",
        37.0,
    ),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": int("9" * 400)}, 429),
        "retry",
        "M_LIMIT_EXCEEDED",
        86400.0,
    ),
    Case(
        "matrix",
        Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": -int("9" * 400)}, 429),
        "retry",
        "M_LIMIT_EXCEEDED",
        0.0,
    ),
    Case("matrix", Answer(HTML, 429, "text/html", SLOW), "retry", "ratelimited", 37.0),
    Case("matrix", Answer(HTML, 502, "text/html"), "retry", "http-502"),
    Case("matrix", Answer(HTML, 404, "text/html"), "retry", "http-404", words="address"),
    Case("matrix", Answer(b"", 301, headers={"Location": "/x"}), "retry", "http-301"),
    Case("matrix", Answer(HTML, 200, "text/html"), "retry", "answer"),
    Case("matrix", Answer(b"[" * 100_000), "retry", "answer"),
    Case("matrix", Answer(cut=True), "retry", "connect"),
    smtp({"MAIL": f"451 4.3.0 try later {builders.PASSWORD}"}, "retry", "451", login=True),
    smtp({"MAIL": "421 4.3.2 going down"}, "retry", "421"),
    smtp({"MAIL": "530 5.7.0 who are you"}, "retry", "530", "smtp.username"),
    smtp({"MAIL": "550 5.7.1 not this sender"}, "retry", "550", "sender"),
    smtp({"MAIL": "552 5.3.4 too big"}, "dead", "552"),
    smtp({TO: "450 4.2.0 greylisted"}, "retry", "450"),
    smtp({TO: "550 5.1.1 no such user"}, "dead", "550", "no such user"),
    smtp({TO: "554 5.7.1 relay access denied"}, "retry", "554", "relay access denied"),
    smtp({"DATA": "452 4.3.1 disk full"}, "retry", "452"),
    smtp({"DATA": "554 5.7.1 looks like spam"}, "dead", "554"),
    smtp({"DATA": "554 5.2.252 SendAsDenied; not allowed to send as"}, "retry", "554"),
    smtp({"DATA": "550 5.4.5 Daily user sending limit exceeded"}, "retry", "550"),
    smtp({"DATA": "554 Message rejected: Email address is not verified."}, "retry", "554"),
    smtp({TO: "550 5.4.6 Unusual sending activity detected"}, "retry", "550"),
    smtp({}, "retry", "535", "username or password", login=True, password="wrong-password"),
    smtp({}, "retry", "starttls", 'tls = "tls"', tls="starttls"),
]


@contextmanager
def settings_for(case: Case) -> Iterator[AnyChannel]:
    """The settings of a channel whose server answers as the case says."""
    with ExitStack() as running:
        if case.kind == "email":
            server = MailServer(auth=case.more.get("login", False), replies=case.answer)
            running.enter_context(server)
            yield builders.email(server.port, **case.more)
        elif case.kind == "matrix":
            url = running.enter_context(in_thread(lambda _: case.answer)).url
            yield builders.matrix(url)
        else:
            workspace = Slack()
            workspace.next.append(case.answer)
            url = running.enter_context(in_thread(workspace.handle)).url
            hooked = builders.slack_hook(url + WEBHOOK_PATH)
            yield hooked if case.kind == "hook" else builders.slack_bot(url + "/api")


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_every_answer_gets_its_verdict_and_shows_no_secret(case: Case) -> None:
    with settings_for(case) as settings:
        failure = await refusal(settings)
    assert (failure.verdict, failure.reason, failure.after) == (
        case.verdict,
        case.reason,
        case.after,
    )
    assert case.words in failure.detail


OPENERS: dict[str, Callable[[str], AnyChannel]] = {
    "slack": lambda url: builders.slack_bot(f"{url}/api"),
    "hook": lambda url: builders.slack_hook(url + WEBHOOK_PATH),
    "matrix": builders.matrix,
    "email": lambda url: builders.email(int(url.rpartition(":")[2]), login=True),
}
KINDS = sorted(OPENERS)
HTTP = ["hook", "matrix", "slack"]


def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    import relay.channels.email
    import relay.channels.matrix_api
    import relay.channels.slack_api

    monkeypatch.setattr(relay.channels.email, "_STEP", 0.3)
    monkeypatch.setattr(relay.channels.matrix_api, "_TIMEOUT", 0.3)
    monkeypatch.setattr(relay.channels.slack_api, "_TIMEOUT", 0.3)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_is_not_there_is_tried_again(kind: str) -> None:
    with socket.socket() as closed:  # bound but not listening
        closed.bind(("127.0.0.1", 0))
        failure = await refusal(OPENERS[kind](f"http://127.0.0.1:{closed.getsockname()[1]}"))
    assert (failure.verdict, failure.reason) == ("retry", "connect")
    assert "refuses connections" in failure.detail


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_says_nothing_is_tried_again(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_waits(monkeypatch)
    with raw(b"", silent=True) as server:
        failure = await refusal(OPENERS[kind](server.url))
    assert (failure.verdict, failure.reason) == ("retry", "timeout")


@pytest.mark.parametrize("kind", KINDS)
async def test_an_endless_answer_is_not_read_to_its_end(kind: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
    with raw(head if kind != "email" else b"220 ", endless=True, greets=kind == "email") as server:
        failure = await refusal(OPENERS[kind](server.url))
    assert failure.verdict == "retry"
    assert failure.reason in ("answer", "connect")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "answer",
    [b"\x00\x01garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{", b"220 "],
    ids=["garbage", "cut off", "half a line"],
)
async def test_an_answer_in_another_protocol_is_tried_again(
    kind: str, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_waits(monkeypatch)
    with raw(answer, greets=kind == "email") as server:
        failure = await refusal(OPENERS[kind](server.url))
    assert failure.verdict == "retry"
    assert failure.reason in ("answer", "connect")


@pytest.mark.parametrize("greeting", ["554 5.3.2 not here", "421 4.3.2 too many connections"])
async def test_a_mail_server_that_will_not_talk_is_tried_again(greeting: str) -> None:
    with raw(f"{greeting}\r\n".encode(), greets=True) as server:
        failure = await refusal(OPENERS["email"](server.url))
    assert (failure.verdict, failure.reason) == ("retry", greeting[:3])
    assert "refuses to talk" in failure.detail


@pytest.mark.parametrize("kind", HTTP)
async def test_a_server_without_tls_behind_an_https_address_is_tried_again(kind: str) -> None:
    with raw(b"HTTP/1.1 400 plain\r\n\r\n") as server:
        failure = await refusal(OPENERS[kind](server.url.replace("http:", "https:")))
    assert (failure.verdict, failure.reason) == ("retry", "tls")


def test_each_word_of_slack_has_a_sentence_and_what_can_be_mended_is_retried() -> None:
    mendable = {
        word for word, (verdict, _) in slack_errors.RULES.items() if verdict in ("retry", "broken")
    }
    about_the_place = ("channel", "token", "auth", "team", "scope", "hook", "service", "workspace")
    for word, (_, sentence) in slack_errors.RULES.items():
        failure = slack_errors.failure(word, 200, {}, secret=TOKEN)
        assert failure.reason == word
        assert sentence in failure.detail
        if word.startswith(about_the_place) or word.endswith(("_archived", "_disabled")):
            assert word in mendable


def test_what_slack_tells_beside_its_word_reaches_the_reader_without_the_secret() -> None:
    failure = slack_errors.failure(
        "invalid_blocks", 200, {}, f"bad at {TOKEN}\n[json-pointer:/blocks/0]", secret=TOKEN
    )
    assert failure.detail.endswith("(bad at *** [json-pointer:/blocks/0])")


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
def test_odd_waits_become_sensible_ones(header: str, wait: float | None) -> None:
    failure = matrix_errors.failure({}, 429, {"Retry-After": header}, secret="x")
    assert failure.after == wait


def test_a_wait_may_be_a_date() -> None:
    header = {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert matrix_errors.failure({}, 503, header, secret="x").after == 86400.0
    past = {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}
    assert matrix_errors.failure({}, 503, past, secret="x").after == 0.0
