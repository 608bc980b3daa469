"""The delivery error for each answer of Slack, from its API and from an incoming webhook."""

import pytest

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from relay.channels.slack import errors as slack_errors
from tests.channels import builders
from tests.channels.answers import HTML, SLOW, Case, assert_raised
from tests.channels.builders import delivery_error
from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.slack import TOKEN, WEBHOOK_PATH, Slack

pytestmark = pytest.mark.anyio


def slack(code: str, kind: type[DeliveryError], words: str = "") -> Case:
    return Case("slack", code, kind, code, words=words)


def hook(status: int, code: str, kind: type[DeliveryError], words: str = "") -> Case:
    return Case("hook", Answer(code.encode(), status, "text/html"), kind, code, words=words)


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
    hook(200, "no_service", Misconfigured, "new webhook"),
    Case("hook", Answer(cut=True), RetryLater, "connect"),
]


@pytest.mark.usefixtures("loopback_is_slack")
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_raises_its_kind_of_error_without_a_secret(case: Case) -> None:
    workspace = Slack()
    workspace.next += [case.answer] * 2  # blocks that are refused, and the plain text as well
    with in_thread(workspace.handle) as server:
        hooked = builders.slack_hook(server.url + WEBHOOK_PATH)
        bot = builders.slack_bot(server.url + "/api")
        error = await delivery_error(hooked if case.server == "hook" else bot)
    assert_raised(error, case)


OTHERS = [
    Answer(b"no_service", 404, "text/plain"),
    Answer(b"invalid_blocks", 400, "text/plain"),
    Answer(b'{"message": "Unknown Webhook", "code": 10015}', 404),
    Answer(b"", 302, headers={"Location": "/x"}),
    Answer(b"slow", 429, headers=SLOW),
    Answer(HTML, 502, "text/html"),
]


@pytest.mark.parametrize("answer", OTHERS, ids=lambda answer: str(answer.status))
async def test_an_error_of_another_host_is_retried_and_names_it(answer: Answer) -> None:
    with in_thread(lambda _: answer) as server:
        error = await delivery_error(builders.slack_hook(server.url + "/hooks/Secret"))
    reason = "ratelimited" if answer.status == 429 else f"http-{answer.status}"
    assert (type(error), error.reason) == (RetryLater, reason)
    assert error.detail.startswith("127.0.0.1 ")
    assert error.retry_after == (37.0 if answer.status == 429 else None)
    assert error.give_up_after == (3600.0 if answer.status == 400 else None)


async def test_another_host_that_refuses_the_blocks_gets_plain_text_once() -> None:
    sizes: list[int] = []

    def handle(post: Request) -> Answer:
        sizes.append(len(post.body))
        return Answer(b"", 413)

    with in_thread(handle) as server:
        error = await delivery_error(builders.slack_hook(server.url + "/hooks/Secret"))
    assert (type(error), error.reason) == (Permanent, "http-413")
    assert len(sizes) == 2
    assert sizes[1] < sizes[0]


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
