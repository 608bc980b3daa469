"""Digests of queues that are behind, also after failures and kills."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from relay.channels.base import Permanent, RetryLater
from relay.delivery import digest
from relay.messages.message import Message
from relay.penpot.samples import sample
from tests.delivery.floods import House, comment, words
from tests.servers.channels import mail_channel, matrix_channel, slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.slack_rules import rich_words
from tests.servers.smtp import MailServer
from tests.servers.synapse import Synapse
from tests.service import Service, wait_until

pytestmark = pytest.mark.anyio


async def test_a_flood_is_sent_as_digests_with_the_text_of_every_comment(house: House) -> None:
    await house.put(comment(number) for number in range(500))
    house.sink.open.set()
    await house.settled()

    messages = [message for _, message in house.sink.taken]
    assert len(messages) <= 60
    shown = "\n".join(map(words, messages))
    assert "…" not in shown
    for number in range(500):
        assert shown.count(f"comment number {number:03}. with some words & <!channel>") == 1
    for name in ("File 0 <x>", "File 1 <x>", "File 2 <x>"):
        places = [shown.index(f"number {n:03}.") for n in range(500) if f"File {n % 3} <x>" == name]
        assert places == sorted(places)
    digests = sum(message.event == "digest" for message in messages)
    assert (
        len(messages) - digests <= 21
    )  # the first, and the last ones, when the queue is no longer behind
    assert f'relay_digests_total{{queue="acme/a"}} {digests}.0' in house.metrics.text().decode()
    deliveries = [
        delivery
        for entry in await house.store.log(team=None, state=None, limit=999)
        for delivery in entry.deliveries
    ]
    assert {delivery.state for delivery in deliveries} == {"sent"}
    assert len({delivery.receipt for delivery in deliveries}) == len(messages)


async def test_a_queue_that_is_not_behind_sends_one_by_one(house: House) -> None:
    await house.put(comment(number) for number in range(20))
    house.sink.open.set()
    await house.settled()

    assert [message.title for _, message in house.sink.taken] == [f"T{n}" for n in range(20)]


async def test_the_messages_of_a_failed_digest_are_sent_one_by_one(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> Message:
        raise IndexError

    monkeypatch.setattr(digest, "combine", fails)
    await house.put(comment(number) for number in range(22))
    house.sink.open.set()
    await house.settled()
    shown = "\n".join(words(message) for _, message in house.sink.taken)
    assert all(shown.count(f"number {number:03}.") == 1 for number in range(22))
    assert "a digest of acme/a" in caplog.text
    assert "IndexError" in caplog.text


async def test_a_digest_has_the_same_key_after_a_crash(house: House) -> None:
    await house.put(comment(number) for number in range(60))
    house.sink.free = 1
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while len(house.sink.attempted) < 2:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    await house.queues.stop(0.0)
    house.sink.open = asyncio.Event()
    key = house.sink.attempted[1]
    await house.put(comment(number) for number in range(60, 80))
    house.start()
    house.sink.open.set()
    await house.settled()

    first, message = house.sink.taken[1]
    assert first == key
    assert message.event == "digest"
    shown = "\n".join(words(message) for _, message in house.sink.taken)
    assert all(shown.count(f"number {number:03}.") == 1 for number in range(80))


async def test_the_messages_of_a_refused_digest_are_sent_one_by_one(house: House) -> None:
    await house.put(comment(number) for number in range(22))
    house.sink.refusals = [None, Permanent("invalid_blocks")]
    house.sink.open.set()
    await house.settled()

    shown = "\n".join(words(message) for _, message in house.sink.taken)
    assert all(shown.count(f"number {number:03}.") == 1 for number in range(22))
    entries = await house.store.log(team=None, state="dead", limit=9)
    assert entries == []


async def test_a_message_that_was_being_sent_at_a_kill_keeps_its_key(house: House) -> None:
    await house.put([comment(0)])
    house.queues.wake(["acme/a"])
    async with asyncio.timeout(20):
        while not house.sink.attempted:  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.002)
    await house.queues.stop(0.0)
    await house.put(comment(number) for number in range(1, 40))
    house.start()
    house.sink.open.set()
    await house.settled()

    assert house.sink.taken[0][0] == house.sink.attempted[0] == "key 0"
    assert house.sink.taken[1][1].event == "digest"


async def test_an_attempted_message_does_not_go_into_a_digest(house: House) -> None:
    await house.put([comment(0)])
    house.sink.refusals = [RetryLater("timeout")]
    house.sink.open.set()
    house.queues.wake(["acme/a"])
    await asyncio.sleep(0.02)
    house.sink.open.clear()
    await house.put(comment(number) for number in range(1, 40))
    house.sink.open.set()
    await house.settled()

    assert house.sink.taken[0][1].title == "T0"


def test_every_channel_shows_each_comment_of_a_flood_once_and_whole(
    tmp_path: Path,
    slack_server: RunningSlack,
    synapse: Synapse,
    mail_server: Callable[..., MailServer],
) -> None:
    """Slack refuses what is too long, and cuts nothing."""
    bot = synapse.register(f"bot-{time.time_ns()}")
    room, mail = bot.create_room(), mail_server()
    behind = {"pace": 30, "digest_after": 2}
    service = Service(
        tmp_path,
        slack_channel(slack_server.api_url, **behind)
        + matrix_channel(synapse, bot, room, **behind)
        + mail_channel(mail, **behind),
    )
    body = json.loads(sample("create-comment-thread"))
    texts = [f"comment {number:03}: {'some & words <x> ' * 12}end" for number in range(40)]

    def posts() -> dict[str, list[str]]:
        parts = [one.parsed().get_body(("plain",)) for one in mail.mails]
        # the first line in Matrix is a notification, which cuts the words that follow it
        bodies = [event["content"]["body"].partition("\n")[2] for event in bot.messages(room)]
        return {
            "slack": ["", *(rich_words(post["blocks"]) for post in slack_server.slack.messages)],
            "matrix": ["", *bodies],
            "mail": ["", *(str(part.get_content()) for part in parts if part)],
        }

    service.start()
    try:
        for number, text in enumerate(texts):
            thread = uuid.UUID(int=number // 3)  # each has three comments
            body["props"] |= {"id": str(thread), "content": text}
            body["props"]["commentId"] = str(uuid.UUID(int=number))
            assert service.post(json.dumps(body).encode()) == 204
        wait_until(lambda: all(texts[-1] in shown[-1] for shown in posts().values()), 60)
    finally:
        service.stop()
    for channel, shown in posts().items():
        whole = "\n".join(shown)
        assert "…" not in whole
        assert [whole.count(text) for text in texts] == [1] * len(texts), channel
        assert len(shown) < 15
