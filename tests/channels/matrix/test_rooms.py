"""Rooms that are replaced, and aliases that move, on a real Synapse."""

import secrets
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from relay.channels import open_channel
from relay.channels.base import (
    Channel,
    DeliveryError,
    EditableChannel,
    MemoryKeyValueStore,
    Misconfigured,
    NotEditable,
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.channels.matrix import rooms
from relay.channels.matrix.settings import MatrixSettings
from tests.channels.builders import MESSAGE, delivery_error, findings, opened
from tests.channels.builders import matrix as settings_of
from tests.channels.matrix.rooms import Room
from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.synapse import Person, Synapse

pytestmark = pytest.mark.anyio


@pytest.fixture
def public(synapse: Synapse) -> Room:
    """A public room with the bot in it."""
    made = Room(synapse, public=True, room_version="10")
    made.bot.join(made.id)
    return made


class Clock(SimpleNamespace):
    """Stands in for the module ``time``."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rooms, "time", clock)
    return clock


def upgrade(person: Person, room: str, version: str = "12") -> str:
    path = f"/_matrix/client/v3/rooms/{quote(room)}/upgrade"
    return str(person.call("POST", path, {"new_version": version})["replacement_room"])


def replace_by_hand(room: Room, new: object) -> None:
    """Unlike an upgrade, it lets everybody post to the old room."""
    content = {"body": "This room has been replaced", "replacement_room": new}
    room.ada.set_state(room.id, "m.room.tombstone", content)


def successor(room: Room, **options: Any) -> str:
    """A room that names ``room`` as its predecessor."""
    predecessor = {"room_id": room.id, "event_id": "$last"}
    return room.ada.create_room(creation_content={"predecessor": predecessor}, **options)


def counts(room: Room, *ids: str) -> list[int]:
    return [len(room.ada.messages(each)) for each in ids]


async def sent(settings: MatrixSettings, kv: MemoryKeyValueStore, key: str) -> None:
    channel = open_channel(settings, kv)
    try:
        await channel.send(MESSAGE, key)
    finally:
        await channel.close()


async def error_of(channel: Channel, key: str = "k") -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await channel.send(MESSAGE, key)
    return caught.value


async def test_an_upgraded_room_is_followed_at_once(public: Room) -> None:
    """Twice, the second time to a room whose id names no server."""
    async with opened(public.settings()) as channel:
        await channel.send(MESSAGE, "1")
        second = upgrade(public.ada, public.id, "11")
        await channel.send(MESSAGE, "2")
        third = upgrade(public.ada, second)
        await channel.send(MESSAGE, "3")
    assert ":" not in third
    assert counts(public, public.id, second, third) == [1, 1, 1]
    text = await findings(public.settings())
    assert f"ok {public.id} was replaced by {third}: set room in the config to this id." in text
    assert f"ok {public.bot.id} can post to {third}." in text
    async with opened(public.settings()) as restarted:
        await restarted.send(MESSAGE, "4")
    assert counts(public, public.id, second, third) == [1, 1, 2]


async def test_a_bot_that_joins_late_follows_too(synapse: Synapse) -> None:
    """It can't read the state of the old room before."""
    room = Room(synapse, public=True, room_version="10")
    new = upgrade(room.ada, room.id)
    async with opened(room.settings()) as channel:
        await channel.send(MESSAGE, "1")
    assert counts(room, room.id, new) == [0, 1]


async def test_a_private_replacement_waits_for_an_invitation(room: Room) -> None:
    new = successor(room)
    replace_by_hand(room, new)
    async with opened(room.settings()) as channel:
        error = await error_of(channel)
        assert isinstance(error, Misconfigured)
        assert f"the room {room.id} was replaced by {new}: invite the bot there" in error.detail
        assert f"no {room.bot.id} is not in {new}: invite it there" in (
            await findings(room.settings())
        )
        assert counts(room, room.id) == [0]
        room.ada.invite(new, room.bot.id)
        assert f"ok {room.bot.id} is invited to {new}" in await findings(room.settings())
        await channel.send(MESSAGE, "k")
    assert counts(room, room.id, new) == [0, 1]


async def test_a_room_without_the_predecessor_is_reported_and_gets_nothing(room: Room) -> None:
    kv = MemoryKeyValueStore()
    elsewhere = room.ada.create_room(public=True)
    replace_by_hand(room, elsewhere)
    for _ in range(3):  # each time as after a restart
        channel = open_channel(room.settings(), kv)
        error = await error_of(channel)
        text = "\n".join(finding.text for finding in await channel.check())
        await channel.close()
        assert (error.reason, isinstance(error, Misconfigured)) == ("room-replaced", True)
        assert "does not name it as its predecessor: set room in the config" in error.detail
        assert error.detail in text
    assert counts(room, room.id, elsewhere) == [0, 0]
    path = f"/_matrix/client/v3/rooms/{quote(elsewhere)}/messages?dir=b&limit=100"
    members = [
        event["content"]["membership"]
        for event in room.ada.call("GET", path)["chunk"]
        if event["type"] == "m.room.member" and event["state_key"] == room.bot.id
    ]
    assert members == ["leave", "join"]  # once, the latest first


@pytest.mark.parametrize("new", ["", "!a b", "#alias:relay.test", 5, None])
async def test_a_closed_room_is_reported(room: Room, new: object) -> None:
    replace_by_hand(room, new)
    error = await delivery_error(room.settings())
    assert (error.reason, isinstance(error, Misconfigured)) == ("room-replaced", True)
    assert "was closed, and names no new room: set room in the config" in error.detail
    assert error.detail in await findings(room.settings())
    path = f"/_matrix/client/v3/rooms/{quote(room.id)}"
    tombstone = room.ada.call("GET", f"{path}/state/m.room.tombstone/?format=event")["event_id"]
    room.ada.call("PUT", f"{path}/redact/{quote(tombstone)}/undone", {})
    async with opened(room.settings()) as channel:
        await channel.send(MESSAGE, "k")
    assert counts(room, room.id) == [1]


async def test_rooms_that_replace_each_other_are_reported(room: Room) -> None:
    new = successor(room, invite=(room.bot.id,))
    replace_by_hand(room, new)
    room.ada.set_state(new, "m.room.tombstone", {"body": "", "replacement_room": room.id})
    error = await delivery_error(room.settings())
    assert (error.reason, isinstance(error, Misconfigured)) == ("room-replaced", True)
    assert "in a circle" in error.detail
    assert error.detail in await findings(room.settings())


async def test_a_replacement_is_known_when_the_old_room_can_not_be_read(room: Room) -> None:
    kv = MemoryKeyValueStore()
    new = successor(room, invite=(room.bot.id,))
    replace_by_hand(room, new)
    await sent(room.settings(), kv, "1")
    for action in ("leave", "forget"):
        room.bot.call("POST", f"/_matrix/client/v3/rooms/{quote(room.id)}/{action}", {})
    await sent(room.settings(), kv, "2")
    assert counts(room, room.id, new) == [0, 2]
    channel = open_channel(room.settings(), kv)
    assert all(finding.ok for finding in await channel.check())
    await channel.close()


async def test_messages_of_the_old_room_become_new_ones(public: Room) -> None:
    async with opened(public.settings()) as channel:
        root = (await channel.send(MESSAGE, "1")).id
        upgrade(public.ada, public.id)
        with pytest.raises(ThreadNotFound):
            await channel.send(MESSAGE, "2", ReplyTo(root, root, ""))
        assert isinstance(channel, EditableChannel)
        with pytest.raises(NotEditable):
            await channel.update(root, MESSAGE, "3")


# Aliases


def add_alias(room: Room) -> str:
    alias = f"#moving-{secrets.token_hex(4)}:relay.test"
    path = f"/_matrix/client/v3/directory/room/{quote(alias, safe='')}"
    room.ada.call("PUT", path, {"room_id": room.id})
    return alias


async def test_an_alias_that_moves_is_followed_within_an_hour(room: Room, clock: Clock) -> None:
    alias, new = add_alias(room), room.ada.create_room(invite=(room.bot.id,))
    async with opened(room.settings(alias)) as channel:
        await channel.send(MESSAGE, "1")
        room.ada.point_alias(alias, new)
        clock.now = 3599
        await channel.send(MESSAGE, "2")
        assert counts(room, room.id, new) == [2, 0]
        clock.now = 3601
        await channel.send(MESSAGE, "3")
    assert counts(room, room.id, new) == [2, 1]
    assert f"ok {room.bot.id} can post to {alias}" in await findings(room.settings(alias))


async def test_a_deleted_alias_is_reported_by_the_queue_as_by_the_doctor(
    room: Room, clock: Clock
) -> None:
    alias = add_alias(room)
    async with opened(room.settings(alias)) as channel:
        await channel.send(MESSAGE, "1")
        room.ada.call("DELETE", f"/_matrix/client/v3/directory/room/{quote(alias, safe='')}")
        clock.now = 3601
        error = await error_of(channel)
        text = f"the homeserver knows no room {alias}: check the alias in room"
        assert (type(error), error.detail) == (Misconfigured, text)
        assert text in await findings(room.settings(alias))
        path = f"/_matrix/client/v3/directory/room/{quote(alias, safe='')}"
        room.ada.call("PUT", path, {"room_id": room.id})
        await channel.send(MESSAGE, "2")
    assert counts(room, room.id) == [2]


async def test_an_upgrade_moves_an_alias_of_a_server_that_does_not_follow(
    public: Room, clock: Clock
) -> None:
    """As an alias on another server, which still points to the old room."""
    alias = add_alias(public)
    async with opened(public.settings(alias)) as channel:
        await channel.send(MESSAGE, "1")
        new = upgrade(public.ada, public.id)
        public.ada.point_alias(alias, public.id)
        await channel.send(MESSAGE, "2")
        clock.now = 3601
        await channel.send(MESSAGE, "3")
    assert counts(public, public.id, new) == [1, 2]


async def test_the_known_room_is_used_while_an_alias_can_not_be_resolved(clock: Clock) -> None:
    available = [True]
    asked: list[str] = []

    def answer(request: Request) -> Answer:
        if "/directory/" in request.path:
            asked.append(request.path)
            if not available[0]:
                return Answer.of({"errcode": "M_UNKNOWN", "error": "Failed to fetch alias"}, 502)
            return Answer.of({"room_id": "!a:relay.test", "servers": "x"})
        return Answer.of({"event_id": "$1"})

    with in_thread(answer) as server:
        async with opened(settings_of(server.url, "#a:other.test")) as channel:
            available[0] = False
            assert isinstance(await error_of(channel), RetryLater)
            available[0] = True
            await channel.send(MESSAGE, "1")
            available[0], clock.now = False, 4000
            await channel.send(MESSAGE, "2")
            await channel.send(MESSAGE, "3")  # asks at most every five minutes
    assert len(asked) == 3


# Joining


async def joins_of(named: str, answers: dict[str, Answer]) -> tuple[list[Any], DeliveryError]:
    """The (path, query) of each join, and the error of the message, which the room refuses."""
    joins = []

    def answer(request: Request) -> Answer:
        for part, prepared in answers.items():
            if part in request.path:
                if part == "/join/":
                    name = request.path.rpartition("/")[2]
                    joins.append((name, parse_qs(request.query)))
                return prepared
        return Answer.of({"errcode": "M_FORBIDDEN", "error": "not in the room"}, 403)

    with in_thread(answer) as server:
        async with opened(settings_of(server.url, named)) as channel:
            error = await error_of(channel)
    return joins, error


FORBIDDEN = Answer.of({"errcode": "M_FORBIDDEN"}, 403)


@pytest.mark.parametrize(
    ("named", "servers"),
    [
        ("!a:b.test:8448", ["b.test:8448"]),
        ("!" + "a" * 43, []),
        ("#a:b.test", ["c.test", "b.test"]),
    ],
)
async def test_a_room_is_joined_through_its_servers(named: str, servers: list[str]) -> None:
    alias = Answer.of({"room_id": "!r:d.test", "servers": ["c.test", "c.test", "x y"]})
    joins, _ = await joins_of(named, {"/directory/": alias, "/join/": FORBIDDEN})
    ((name, query),) = joins
    room = "!r:d.test" if named.startswith("#") else named
    assert name == quote(room, safe="")
    expected = {"via": servers, "server_name": servers} if servers else {}
    assert query == expected


async def test_a_replacement_is_joined_through_the_server_of_the_upgrade() -> None:
    tombstone = {
        "type": "m.room.tombstone",
        "sender": "@ada:c.test",
        "content": {"body": "", "replacement_room": "!new"},
    }
    answers = {"!old%3Ab.test/state/m.room.tombstone": Answer.of(tombstone), "/join/": FORBIDDEN}
    answers = {part.replace("!", "%21"): answer for part, answer in answers.items()}
    joins, error = await joins_of("!old:b.test", answers)
    servers = ["c.test", "b.test"]
    assert joins == [("%21new", {"via": servers, "server_name": servers})]
    assert "was replaced by !new: invite the bot there" in error.detail


@pytest.mark.parametrize(
    "answer",
    [
        Answer.of({"errcode": "M_UNKNOWN", "error": "Failed to make_join via any server"}, 502),
        Answer.of({"errcode": "M_NOT_FOUND", "error": "Unknown room"}, 404),
    ],
    ids=str,
)
async def test_a_wrong_id_on_another_server_has_a_hint(answer: Answer) -> None:
    _, error = await joins_of("!wrong:b.test", {"/join/": answer})
    assert (
        "invite the bot, or check room in the config (its id: room settings, Advanced)"
        in error.detail
    )


async def test_a_rate_limit_of_joins_keeps_its_delay() -> None:
    slow = Answer.of({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 2500}, 429)
    _, error = await joins_of("!a:b.test", {"/join/": slow})
    assert (error.reason, error.retry_after) == ("M_LIMIT_EXCEEDED", 2.5)
