"""The delivery error for each answer of a homeserver."""

import pytest

from relay.channels.base import DeliveryError, Misconfigured, Permanent, RetryLater
from tests.channels import builders
from tests.channels.answers import HTML, SLOW, Case, assert_raised
from tests.channels.builders import delivery_error
from tests.servers.loopback import Answer, in_thread

pytestmark = pytest.mark.anyio


def matrix(status: int, code: str, kind: type[DeliveryError], words: str = "") -> Case:
    body = {"errcode": code, "error": f"told with {builders.MATRIX_TOKEN}"}
    return Case("matrix", Answer.of(body, status), kind, code, words=words)


CASES = [
    matrix(401, "M_UNKNOWN_TOKEN", Misconfigured, "access token"),
    matrix(403, "M_FORBIDDEN", Misconfigured, "invite"),
    matrix(404, "M_NOT_FOUND", Misconfigured),
    matrix(403, "M_USER_DEACTIVATED", Misconfigured, "deactivated"),
    matrix(403, "M_CONSENT_NOT_GIVEN", Misconfigured, "terms"),
    matrix(404, "M_UNRECOGNIZED", Misconfigured, "homeserver in the config"),
    matrix(404, "M_UNKNOWN", Misconfigured, "invite the bot, or check room"),
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
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_raises_its_kind_of_error_without_a_secret(case: Case) -> None:
    with in_thread(lambda _: case.answer) as server:
        error = await delivery_error(builders.matrix(server.url))
    assert_raised(error, case)
