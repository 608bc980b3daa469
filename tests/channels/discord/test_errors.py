"""Discord's errors: each answer, and what the queue does about it."""

from typing import Any

import pytest

from relay.channels.base import MessageNotFound, Misconfigured, NotEditable, Permanent, RetryLater
from relay.channels.discord.errors import ERRORS, error_from_answer
from tests.channels.answers import Case, assert_raised
from tests.channels.builders import delivery_error
from tests.channels.discord.place import Place, hook
from tests.servers.discord import TOKEN
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio

FORM = {
    "content": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer"}]}
}
CASES = [
    Case("discord", (404, {"code": 10015}), Misconfigured, "code_10015", 600.0, "create a new"),
    Case("discord", (401, {"code": 50027}), Misconfigured, "code_50027", 600.0, "token is wrong"),
    Case("discord", (404, {"code": 10003}), Misconfigured, "code_10003", 600.0, "does not exist"),
    Case("discord", (403, {"code": 50013}), Misconfigured, "code_50013"),
    Case("discord", (400, {"code": 50083}), Misconfigured, "code_50083", None, "archived"),
    Case("discord", (400, {"code": 50035, "message": "Invalid Form Body", "errors": FORM}),
         Permanent, "code_50035", None, "(Invalid Form Body: content Must be 2000 or fewer)"),
    Case("discord", (400, {"code": 50006}), Permanent, "code_50006", None, "empty"),
    Case("discord", (404, {"code": 10008}), MessageNotFound, "code_10008"),
    Case("discord", (403, {"code": 50005}), NotEditable, "code_50005"),
    Case("discord", (400, {"code": 999999}), RetryLater, "code_999999", None, "unknown reason"),
    Case("discord", (500, {"code": 50035}), RetryLater, "code_50035", None, "has a problem"),
    Case("discord", (403, {"code": 40333}), RetryLater, "code_40333", None, "Cloudflare"),
    Case("discord", (429, {"code": 20028, "retry_after": 3}), RetryLater, "code_20028", 3.0),
    Case("discord", (429, {"code": 0, "retry_after": 1.5}), RetryLater, "ratelimited", 1.5),
    Case("discord", (502, b"<html>Bad Gateway</html>"), RetryLater, "http-502"),
    Case("discord", (404, b"no"), RetryLater, "http-404", None, "check webhook_url in the config"),
    Case("discord", (400, {"code": True}), RetryLater, "http-400"),
    Case("discord", (400, {"code": 50035, "errors": {"a": []}}), Permanent, "code_50035"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_has_its_error(case: Case, at: Place) -> None:
    status, body = case.answer
    answer = Answer(body, status) if isinstance(body, bytes) else Answer.of(body, status)
    at.discord.next.append(answer)
    assert_raised(await delivery_error(hook(at.url)), case)


def test_every_code_is_written_as_the_reason_of_a_metric() -> None:
    assert len(ERRORS) > 25
    assert all(code.removeprefix("code_").isdecimal() for code in ERRORS)


@pytest.mark.parametrize("errors", [None, [], {"a": {"b": None}}, {"_errors": ["x"]}, 7])
def test_any_form_of_errors_is_read(errors: Any) -> None:
    import json

    body = json.dumps({"code": 50035, "message": f"{TOKEN} m", "errors": errors}).encode()
    arguments = {"secret": TOKEN, "server": "Discord", "key": "webhook_url in the config"}
    error = error_from_answer(body, 400, {}, **arguments)
    assert error.reason == "code_50035"
    assert TOKEN not in error.detail
