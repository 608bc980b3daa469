"""Rocket.Chat's errors: each answer, and what the queue does about it."""

import json

import pytest

from relay.channels.base import Misconfigured, Permanent, RetryLater
from relay.channels.errors import DOUBT_TIMEOUT
from relay.channels.rocketchat.errors import ERRORS
from tests.channels.answers import Case, assert_raised
from tests.channels.builders import delivery_error
from tests.channels.rocketchat.place import Place, hook
from tests.servers.loopback import Answer
from tests.servers.rocketchat import TOKEN

pytestmark = pytest.mark.anyio

GONE = "Invalid integration id or token provided."
SLOW = (
    "Error, too many requests. Please slow down. You must wait 37 seconds before trying this "
    "endpoint again. [error-too-many-requests]"
)
READ_ONLY = "You can't send messages because the room is readonly."
CASES = [
    Case("hook", (404, GONE), Misconfigured, "invalid_integration_id_or_token_provided", None,
         "set webhook_url"),
    Case("hook", (503, "Service Unavailable"), Misconfigured, "service_unavailable", None,
         "enable it"),
    Case("hook", (401, "You must be logged in to do this."), Misconfigured,
         "you_must_be_logged_in_to_do_this"),
    Case("hook", (400, "invalid-channel"), Misconfigured, "invalid_channel", None, "use another"),
    Case("hook", (400, "error-not-allowed"), Misconfigured, "error_not_allowed", None, "add it"),
    Case("hook", (400, READ_ONLY), Misconfigured,
         "you_can_t_send_messages_because_the_room_is_readonly", None, "read-only"),
    Case("hook", (400, "You_have_been_muted"), Misconfigured, "you_have_been_muted"),
    Case("hook", (400, "Not enough permission"), Misconfigured, "not_enough_permission", None,
         "the role bot"),
    Case("hook", (400, "error-running-script"), RetryLater, "refused", None,
         "refuses the message (error-running-script); Relay retries it for an hour"),
    Case("hook", (400, "Invalid message"), RetryLater, "refused", None, "(Invalid message)"),
    Case("hook", (429, SLOW), RetryLater, "ratelimited", 37.0),
    Case("hook", (500, "invalid-channel"), RetryLater, "invalid_channel", None, "has a problem"),
    Case("hook", (502, b"<html>Bad Gateway</html>"), RetryLater, "http-502"),
    Case("hook", (503, b"Service Unavailable"), RetryLater, "http-503"),
    Case("hook", (404, b'{"status":"error","message":"API endpoint does not exist"}'), RetryLater,
         "http-404", None, "check webhook_url in the config"),
    Case("hook", (400, b"{}"), RetryLater, "http-400", None, "check webhook_url in the config"),
    Case("hook", (302, b""), RetryLater, "http-302", None, "redirect's target"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_has_its_error(case: Case, at: Place) -> None:
    status, body = case.answer
    if isinstance(body, str):
        body = json.dumps({"success": False, "error": body}).encode()
    at.server.next.append(Answer(body, status))
    assert_raised(await delivery_error(hook(at.url)), case)


async def test_a_message_that_is_too_long_for_any_server_is_permanent(at: Place) -> None:
    at.server.next += [Answer.of({"error": "error-message-size-exceeded"}, 400)] * 9
    assert type(await delivery_error(hook(at.url))) is Permanent


async def test_a_refusal_of_a_script_is_given_up_and_shows_no_secret(at: Place) -> None:
    at.server.script = lambda body: {"error": f"no {TOKEN}"}
    error = await delivery_error(hook(at.url))
    assert error.give_up_after == DOUBT_TIMEOUT
    assert "(no ***)" in error.detail


@pytest.mark.parametrize("body", [b"[]", b'{"error": {"a": 1}}', b'{"error": null}', b'"x"'])
async def test_any_form_of_an_error_is_read(at: Place, body: bytes) -> None:
    at.server.next.append(Answer(body, 400))
    assert isinstance(await delivery_error(hook(at.url)), RetryLater)


def test_every_code_is_written_as_the_reason_of_a_metric() -> None:
    assert len(ERRORS) > 10
    assert all(code.replace("_", "").isalpha() and len(code) <= 60 for code in ERRORS)
