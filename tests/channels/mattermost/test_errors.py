"""Mattermost's errors: each answer, and what the queue does about it."""

import pytest

from relay.channels.base import (
    MessageNotFound,
    Misconfigured,
    NotEditable,
    Permanent,
    RetryLater,
    ThreadNotFound,
)
from relay.channels.mattermost.errors import ERRORS, TOO_LONG_ERRORS
from tests.channels.answers import Case, assert_raised
from tests.channels.builders import delivery_error
from tests.channels.mattermost.place import Place, bot, hook
from tests.servers.loopback import Answer
from tests.servers.mattermost import DESIGN

pytestmark = pytest.mark.anyio

SESSION = "api.context.session_expired.app_error"
CASES = [
    Case("bot", (401, SESSION), Misconfigured, SESSION, None, "set token"),
    Case("bot", (401, "api.context.permissions.app_error"), Misconfigured, SESSION),
    Case("bot", (403, "api.context.permissions.app_error"), Misconfigured,
         "api.context.permissions.app_error", None, "add it to the team and the channel"),
    Case("bot", (404, "store.sql_channel.get_by_name.missing.app_error"), Misconfigured,
         "store.sql_channel.get_by_name.missing.app_error", None, "check channel in the config"),
    Case("bot", (400, "api.post.create_post.can_not_post_to_deleted.error"), Misconfigured,
         "api.post.create_post.can_not_post_to_deleted.error", None, "archived"),
    Case("bot", (400, "api.post.create_post.root_id.app_error"), ThreadNotFound,
         "api.post.create_post.root_id.app_error"),
    Case("bot", (404, "app.post.get.app_error"), MessageNotFound, "app.post.get.app_error"),
    Case("bot", (400, "api.post.update_post.permissions_time_limit.app_error"), NotEditable,
         "api.post.update_post.permissions_time_limit.app_error"),
    Case("bot", (400, "some.new.app_error"), RetryLater, "some.new.app_error", None, "unknown"),
    Case("bot", (500, SESSION), RetryLater, SESSION, None, "has a problem"),
    Case("bot", (502, b"<html>Bad Gateway</html>"), RetryLater, "http-502"),
    Case("bot", (404, b"no"), RetryLater, "http-404", None, "check url in the config"),
    Case("hook", (501, "web.incoming_webhook.disabled.app_error"), Misconfigured,
         "web.incoming_webhook.disabled.app_error", None, "System Console"),
    Case("hook", (400, "web.incoming_webhook.invalid.app_error"), Misconfigured,
         "web.incoming_webhook.invalid.app_error", None, "set webhook_url"),
    Case("hook", (400, "web.incoming_webhook.text.app_error"), Permanent,
         "web.incoming_webhook.text.app_error"),
    Case("hook", (404, b"no"), RetryLater, "http-404", None, "check webhook_url in the config"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_answer_has_its_error(case: Case, at: Place) -> None:
    status, body = case.answer
    if isinstance(body, str):
        body = f'{{"id": "{body}", "message": "No.", "status_code": {status}}}'.encode()
    at.server.next.append(Answer(body, status))
    settings = bot(at.url, channel=DESIGN) if case.server == "bot" else hook(at.url)
    assert_raised(await delivery_error(settings), case)


def test_the_errors_that_a_shorter_text_avoids_are_known() -> None:
    assert len(ERRORS) > 30
    assert ERRORS.keys() >= TOO_LONG_ERRORS
