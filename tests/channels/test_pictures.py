"""Pictures, in Slack; those in Matrix are in its own tests."""

import pytest

from relay.channels.base import ReplyTo, RetryLater
from relay.channels.slack import channel as slack
from relay.messages.message import Picture
from tests.channels.slack.workplace import PICTURE, workplace
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer, in_thread
from tests.servers.slack import TOKEN

pytestmark = pytest.mark.anyio


async def test_a_picture_is_uploaded_once_and_shown(slack_server: RunningSlack) -> None:
    async with workplace(slack_server, thumbnails=True) as place:
        for _ in range(2):
            await place.send(picture_=PICTURE, file="Landing page", footer="Acme")
            await place.again()

        (file,) = place.server.complete
        assert place.server.files[file] == PICTURE.content
        image = {"type": "image", "slack_file": {"id": file}, "alt_text": "Landing page"}
        for message in place.server.messages:
            assert [block["type"] for block in message["blocks"]] == [
                "rich_text",
                "image",
                "context",
            ]
            assert image in message["blocks"]
        first = place.server.messages[0]
        place.server.posted.add("1.000001")
        await place.send(picture_=PICTURE, thread_=ReplyTo("1.000001", "1.000001", "T"))
        assert place.server.messages[-1]["thread_ts"] == "1.000001"
        assert "thread_ts" not in first


async def test_a_picture_that_slack_still_processes_is_retried(
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack, "_IMAGE_RETRY_DELAYS", (0.0, 0.01, 0.01))
    async with workplace(slack_server, thumbnails=True) as place:
        place.server.slow_files = 2
        await place.send(picture_=PICTURE)
        assert place.server.messages[-1]["blocks"][-1]["type"] == "image"

        place.server.slow_files = 3
        await place.send(picture_=PICTURE)
        assert place.server.messages[-1]["blocks"][-1]["type"] == "rich_text"
        await place.send(picture_=PICTURE)
        assert len(place.server.files) == 2
        assert len(place.server.messages) == 3


@pytest.mark.parametrize("answer", [
    "missing_scope",
    Answer.of({"ok": True}),
    Answer.of({"ok": True, "upload_url": "http://127.0.0.1:1/", "file_id": "F0FILE0000"}),
    Answer(cut=True),
])  # fmt: skip
async def test_a_message_is_sent_without_a_picture_that_fails(
    slack_server: RunningSlack, answer: Answer | str, caplog: pytest.LogCaptureFixture
) -> None:
    async with workplace(slack_server, thumbnails=True) as place:
        for _ in range(2):
            slack_server.slack.next.append(answer)
            await place.send(picture_=PICTURE)

        assert [len(message["blocks"]) for message in place.server.messages] == [1, 1]
    assert caplog.text.count("messages without pictures") == 1
    assert TOKEN not in caplog.text


async def test_a_message_waits_for_slack_where_it_limits_uploads(
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also its file storage, which has no error codes."""
    async with workplace(slack_server, thumbnails=True) as place:
        slow = Answer.of({"ok": False, "error": "ratelimited"}, 429, **{"Retry-After": "7"})
        slack_server.slack.next.append(slow)
        with pytest.raises(RetryLater) as caught:
            await place.send(picture_=PICTURE)
        assert (caught.value.reason, caught.value.retry_after) == ("ratelimited", 7)
        with in_thread(lambda request: Answer(b"", 429)) as storage:
            answer = {"ok": True, "upload_url": f"{storage.url}/", "file_id": "F0FILE0000"}
            slack_server.slack.next.append(Answer.of(answer))
            with pytest.raises(RetryLater, match="file storage limits the rate"):
                await place.send(picture_=PICTURE)
        assert place.server.messages == []
        await place.send(picture_=PICTURE)
        (message,) = place.server.messages
        assert message["blocks"][-1]["type"] == "image"


async def test_an_unsupported_picture_type_is_left_out(slack_server: RunningSlack) -> None:
    async with workplace(slack_server, thumbnails=True) as place:
        await place.send(picture_=Picture(b"RIFF", "image/webp", 1, 1))
        await place.send(picture_=PICTURE, override='[{"type": "divider"}]')

        assert place.server.files == {}
        assert len(place.server.messages) == 2
