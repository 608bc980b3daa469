"""The errors of a workflow's webhook: each answer, and what the queue does about it."""

import json
from typing import Any

import pytest

from relay.channels.base import Misconfigured, Permanent, RetryLater
from relay.channels.teams.errors import ERRORS, error_from_answer
from tests.channels.answers import Case, assert_raised
from tests.channels.builders import delivery_error
from tests.channels.teams.place import Place, hook
from tests.servers.loopback import Answer
from tests.servers.teams import SIGNATURE

pytestmark = pytest.mark.anyio


def error(code: str, message: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


CASES = [
    Case("teams", (400, error("TriggerInputSchemaMismatch", "missing: contentUrl")),
         Misconfigured, "TriggerInputSchemaMismatch", None, "(missing: contentUrl)"),
    Case("teams", (400, error("WorkflowTriggerIsNotEnabled")), Misconfigured,
         "WorkflowTriggerIsNotEnabled", None, "turn it on in Power Automate"),
    Case("teams", (404, error("WorkflowNotFound")), Misconfigured, "WorkflowNotFound", None,
         "set webhook_url to its URL"),
    Case("teams", (401, error("DirectApiAuthorizationRequired")), Misconfigured,
         "DirectApiAuthorizationRequired", None, 'to "Anyone"'),
    Case("teams", (401, error("AuthorizationFailed")), Misconfigured, "AuthorizationFailed", None,
         "copy the workflow's URL again"),
    Case("teams", (413, error("RequestEntityTooLarge")), Permanent, "RequestEntityTooLarge"),
    Case("teams", (413, b"no"), Permanent, "http-413", None, "size"),
    Case("teams", (400, error("InvalidRequestContent")), Permanent, "InvalidRequestContent"),
    Case("teams", (400, error("Other")), RetryLater, "Other", None, "unknown reason"),
    Case("teams", (500, error("WorkflowNotFound")), RetryLater, "WorkflowNotFound", None,
         "has a problem"),
    Case("teams", (502, error("NoResponse")), RetryLater, "NoResponse"),
    Case("teams", (429, error("TooManyRequests")), RetryLater, "ratelimited"),
    Case("teams", (502, b"<html>Bad Gateway</html>"), RetryLater, "http-502"),
    Case("teams", (404, b"no"), RetryLater, "http-404", None, "check webhook_url in the config"),
    Case("teams", (302, b""), RetryLater, "http-302"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_has_its_error(case: Case, at: Place) -> None:
    status, body = case.answer
    answer = Answer(body, status) if isinstance(body, bytes) else Answer.of(body, status)
    at.teams.next.append(answer)
    assert_raised(await delivery_error(hook(at.url)), case)


async def test_the_requested_delay_is_the_queues(at: Place) -> None:
    at.teams.next.append(Answer.of(error("TooManyRequests"), 429, **{"Retry-After": "37"}))
    assert (await delivery_error(hook(at.url))).retry_after == 37


async def test_a_workflow_that_is_off_gets_the_messages_afterwards(at: Place) -> None:
    at.teams.is_on = False
    refused = await delivery_error(hook(at.url))
    assert refused.reason == "WorkflowTriggerIsNotEnabled"


@pytest.mark.parametrize("value", [None, [], "x", {"code": 7}, {"code": None, "message": []}])
def test_any_form_of_an_error_is_read(value: Any) -> None:
    body = json.dumps({"error": value}).encode()
    arguments = {"secret": SIGNATURE, "server": "Teams", "key": "webhook_url in the config"}
    assert error_from_answer(body, 400, {}, **arguments).reason == "http-400"


def test_no_error_shows_the_signature() -> None:
    body = json.dumps(error("AuthorizationFailed", f"sig={SIGNATURE}")).encode()
    arguments = {"secret": SIGNATURE, "server": "Teams", "key": "webhook_url in the config"}
    assert "(sig=***)" in error_from_answer(body, 401, {}, **arguments).detail


def test_every_code_is_a_word() -> None:
    assert all(code.isalpha() for code in ERRORS)
