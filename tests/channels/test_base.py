"""What every channel returns and raises."""

import threading
from contextlib import suppress

import pytest

from relay.channels import open_channel
from relay.channels.base import (
    DeliveryError,
    EditableChannel,
    MemoryKeyValueStore,
    Receipt,
    RetryLater,
)
from relay.channels.stdout import StdoutSettings
from relay.config.settings import AnyChannel
from relay.messages import document
from relay.messages.message import Content, Message
from tests.channels import builders
from tests.channels.apprise.place import ntfy
from tests.servers.fixtures import RunningSlack

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DeliveryError("550"), "550"),
        (RetryLater("ratelimited", "slow down", 7.0), "ratelimited: slow down"),
    ],
)
def test_an_errors_text_is_its_reason_and_detail(error: DeliveryError, text: str) -> None:
    assert str(error) == text


def test_lone_surrogates_of_a_server_are_replaced() -> None:
    error = DeliveryError("a\ud800", "b\udfff")
    assert (error.reason, error.detail, str(error)) == ("a?", "b?", "a?: b?")
    assert Receipt("$\ud800").id == "$?"


async def test_values_in_memory_have_no_age() -> None:
    kv = MemoryKeyValueStore()
    assert await kv.get("a", 1.0) is None
    await kv.put("a", "1")
    await kv.put("a", "2")
    assert await kv.get("a", 0.0) == "2"


@pytest.mark.parametrize(
    ("settings", "is_editable"),
    [
        (builders.slack_bot("https://slack.example/api"), True),
        (builders.matrix("https://matrix.example"), True),
        (builders.discord("https://discord.example"), True),
        (builders.mattermost("https://mattermost.example"), True),
        (builders.rocketchat("https://rocketchat.example"), False),
        (builders.teams("https://teams.example"), False),
        (builders.email(25), False),
        (builders.webhook("https://ci.example/penpot"), False),
        (ntfy("https://ntfy.example"), False),
        (StdoutSettings(type="stdout", name="log"), False),
    ],
    ids=lambda value: value.type if not isinstance(value, bool) else "",
)
async def test_some_chats_can_edit(settings: AnyChannel, is_editable: bool) -> None:
    channel = open_channel(settings)
    assert isinstance(channel, EditableChannel) is is_editable
    await channel.close()


@pytest.fixture
def parsing_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """In which Markdown is parsed."""
    threads: list[int] = []
    parse = document._MARKDOWN.parse

    def recording(text: str) -> object:
        threads.append(threading.get_ident())
        return parse(text)

    monkeypatch.setattr(document._MARKDOWN, "parse", recording)
    document._parse_cached.cache_clear()
    return threads


@pytest.mark.parametrize(
    "kind",
    [
        "bot",
        "webhook",
        "matrix",
        "mattermost",
        "rocketchat",
        "discord",
        "teams",
        "email",
        "apprise",
        "stdout",
    ],
)
async def test_no_channel_parses_a_long_message_on_the_event_loop(
    kind: str,
    parsing_threads: list[int],
    slack_server: RunningSlack,
) -> None:
    """Neither the message itself nor what is sent instead of what a server refuses."""
    settings: AnyChannel = {
        "bot": builders.slack_bot(slack_server.api_url),
        "webhook": builders.slack_hook(slack_server.webhook_url),
        "matrix": builders.matrix("http://127.0.0.1:1"),
        "discord": builders.discord("http://127.0.0.1:1"),
        "mattermost": builders.mattermost("http://127.0.0.1:1"),
        "rocketchat": builders.rocketchat("http://127.0.0.1:1"),
        "teams": builders.teams("http://127.0.0.1:1"),
        "email": builders.email(1),
        "apprise": ntfy("http://127.0.0.1:1"),
        "stdout": StdoutSettings(type="stdout", name="log"),
    }[kind]
    slack_server.slack.next += ["invalid_blocks"] * 2
    long = Content(
        "a " * document._MAX_CACHED_LENGTH, override="[]" if "slack" in settings.type else ""
    )
    async with builders.opened(settings) as channel:
        with suppress(DeliveryError):  # no such server
            await channel.send(Message("Long", long, team="acme"), "delivery-1")
    assert parsing_threads
    assert threading.get_ident() not in parsing_threads
    if kind == "bot":
        assert "blocks" not in slack_server.slack.messages[0]
