"""Chats by webhook, end to end: a real service, stopped by a failing server in between. Order,
retry, dead letters and edits of every kind are in ``test_conformance``, behind a queue."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.account import numbers_in
from tests.faults.stage import comment
from tests.penpot import own
from tests.servers.channels import (
    discord_channel,
    mattermost_channel,
    mattermost_webhook,
    ntfy_channel,
    rocketchat_channel,
    teams_channel,
)
from tests.servers.discord import Discord
from tests.servers.loopback import Answer, in_thread
from tests.servers.mattermost import Mattermost
from tests.servers.ntfy import Ntfy
from tests.servers.rocketchat import RocketChat
from tests.servers.teams import Teams
from tests.service import running, wait_until

HOSTILE = (
    "@everyone @channel @here @all <!channel> <@80351110224678999> **x** [a](https://evil.example)"
)


@dataclass
class Chat:
    """A chat's server and Relay's channel there."""

    toml: str
    person: str  # the address of Ada in [people]
    texts: Callable[[], list[str]]  # of the messages that are shown, oldest first
    pings: Callable[[], list[str]]
    next: Any  # answers to the next requests
    failure: Answer
    refusal: Answer  # of one message
    has_dead: bool = True  # whether it says of a message that it can never be delivered
    has_markdown: bool = True  # whether its texts are Markdown


@contextmanager
def discord() -> Iterator[Chat]:
    server = Discord()
    with in_thread(server.handle) as running_server:
        yield Chat(
            discord_channel(running_server.url),
            '{ discord = "80351110224678912" }',
            lambda: [body["embeds"][0]["description"] for body in list(server.shown.values())],
            lambda: server.pings,
            server.next,
            Answer.of({"message": "You are being rate limited.", "retry_after": 0.2}, 429),
            Answer.of({"message": "Message was blocked", "code": 200000}, 400),
        )


@contextmanager
def mattermost(toml: Callable[[str], str]) -> Iterator[Chat]:
    server = Mattermost()
    with in_thread(server.handle) as running_server:
        yield Chat(
            toml(running_server.url),
            '{ mattermost = "ada" }',
            lambda: list(server.texts),
            lambda: server.pings,
            server.next,
            Answer(b"limit exceeded", 429, "text/plain", {"Retry-After": "1"}),
            Answer.of({"id": "plugin.message_will_be_posted.dismiss_post"}, 400),
        )


@contextmanager
def ntfy() -> Iterator[Chat]:
    server = Ntfy()
    with in_thread(server.handle) as running_server:
        yield Chat(
            ntfy_channel(running_server.url),
            "{ mute = true }",  # nobody is pinged
            lambda: server.texts,
            list,
            server.next,
            Answer.of({"code": 42901, "http": 429, "error": "too many requests"}, 429),
            Answer.of({"code": 40014, "http": 400, "error": "no"}, 400),
            has_dead=False,
        )


@contextmanager
def rocketchat() -> Iterator[Chat]:
    server = RocketChat()
    slow = "Error, too many requests. You must wait 1 seconds. [error-too-many-requests]"
    with in_thread(server.handle) as running_server:
        yield Chat(
            rocketchat_channel(running_server.url),
            '{ rocketchat = "ada" }',
            lambda: list(server.texts),
            lambda: server.pings,
            server.next,
            Answer.of({"success": False, "error": slow}, 429),
            Answer.of({"success": False, "error": "error-message-size-exceeded"}, 400),
            has_dead=False,  # it is posted with a shorter text
        )


@contextmanager
def teams() -> Iterator[Chat]:
    server = Teams()
    with in_thread(server.handle) as running_server:
        yield Chat(
            teams_channel(running_server.url),
            '{ teams = "ada@example.com" }',
            lambda: server.texts,
            lambda: server.pings,
            server.next,
            Answer.of({"error": {"code": "TooManyRequests"}}, 429, **{"Retry-After": "1"}),
            Answer(b"too large", 413),
            has_markdown=False,
        )


CHATS = {
    "apprise": ntfy,
    "discord": discord,
    "mattermost": partial(mattermost, mattermost_channel),
    "rocketchat": rocketchat,
    "mattermost-hook": partial(mattermost, mattermost_webhook),
    "teams": teams,
}


@pytest.fixture(params=CHATS)
def chat(request: pytest.FixtureRequest) -> Iterator[Chat]:
    with CHATS[request.param]() as opened:
        yield opened


@pytest.mark.parametrize("chat", ["apprise", "mattermost"], indirect=True)
def test_messages_stay_in_order_and_a_refused_one_is_dead(chat: Chat, tmp_path: Path) -> None:
    chat.next.extend([chat.failure, chat.failure, Answer(b"no", 502), chat.refusal])
    with running(tmp_path, chat.toml) as relay:
        for number in range(6):
            assert relay.post(comment(number)) == 204
        wait_until(lambda: len(chat.texts()) == (5 if chat.has_dead else 6), 40)
        log = relay.run("log", "--state", "dead").stdout
    first = 1 if chat.has_dead else 0
    assert [numbers_in(text) for text in chat.texts()] == [(number,) for number in range(first, 6)]
    assert log.count("dead after") == first


def test_people_are_pinged_and_no_text_is(chat: Chat, tmp_path: Path) -> None:
    people = f'[people]\n"{own.ADA}" = {chat.person}\n'
    with running(tmp_path, people + chat.toml) as relay:
        body = own.reply(
            "create-comment", content=f"{HOSTILE} @[Ada]({own.ADA})", mentions=[own.ADA]
        )
        assert relay.post(body) == 204
        wait_until(lambda: len(chat.texts()) == 1, 20)
    pings = chat.pings()
    assert len(pings) == ("mute" not in chat.person)
    assert all(ping.lstrip("@") in chat.person for ping in pings)
    (text,) = chat.texts()
    if not chat.has_markdown:  # so that a text is what its reader sees
        assert HOSTILE in text
        return
    for word in ("everyone", "channel", "here", "all"):
        assert f"@\u200b{word}" in text
    assert r"\*\*x\*\*" in text or "∗∗x∗∗" in text
    assert "](https://evil" not in text


@pytest.mark.parametrize("chat", ["discord", "mattermost"], indirect=True)
def test_edits_and_deletions_change_the_message(chat: Chat, tmp_path: Path) -> None:
    with running(tmp_path, chat.toml) as relay:
        assert relay.post(own.THREAD) == 204
        assert relay.post(own.REPLY) == 204
        wait_until(lambda: len(chat.texts()) == 2, 20)
        edit = own.reply("update-comment", content="Later words.", previousContent="Fixed.")
        assert relay.post(edit) == 204
        wait_until(lambda: "Later words." in chat.texts()[1], 20)
        assert relay.post(own.reply("delete-comment")) == 204
        wait_until(lambda: "deleted" in chat.texts()[1], 20)
        assert relay.post(own.thread("delete-comment-thread")) == 204
        wait_until(lambda: len(chat.texts()) == 1, 20)
    assert "deleted" in chat.texts()[0]
