"""What Mattermost's calls have, and answers that are not its own."""

import pytest

from relay.channels.base import RetryLater
from tests.channels.builders import delivery_error
from tests.channels.mattermost.place import PICTURE, Place, bot, hook, message
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio


async def test_the_token_is_sent_to_the_api_only(at: Place) -> None:
    async with at.bot() as channel:
        await channel.send(message(), "1")
    async with at.hook() as channel:
        await channel.send(message(), "1")
    *calls, webhook = at.server.requests
    assert all(call.headers["authorization"].startswith("Bearer ") for call in calls)
    assert "authorization" not in webhook.headers


@pytest.mark.parametrize("answer", [Answer(b"[]", 201), Answer(b"{}", 200), Answer(b"", 204)])
async def test_an_answer_without_an_object_is_retried(at: Place, answer: Answer) -> None:
    at.server.next.append(answer)
    error = await delivery_error(bot(at.url))
    assert (type(error), error.reason) == (RetryLater, "answer")


async def test_the_servers_limit_on_the_rate_is_waited_for(at: Place) -> None:
    """channels/app/ratelimit.go: a text, with the delay in its head."""
    limited = Answer(b"limit exceeded", 429, "text/plain", {"Retry-After": "3"})
    for settings in (bot(at.url), hook(at.url)):
        at.server.next.append(limited)
        error = await delivery_error(settings)
        assert (type(error), error.reason, error.retry_after) == (RetryLater, "ratelimited", 3.0)


async def test_a_picture_is_a_form(at: Place) -> None:
    async with at.bot(thumbnails=True) as channel:
        await channel.send(message(), "1", picture=PICTURE)
    (upload,) = [request for request in at.server.requests if request.path.endswith("/files")]
    assert upload.headers["content-type"].startswith("multipart/form-data")
