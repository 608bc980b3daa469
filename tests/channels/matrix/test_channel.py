"""Matrix with a real Synapse, and with hostile text."""

import json
import secrets
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given

from relay.channels.base import (
    Channel,
    MemoryKeyValueStore,
    Misconfigured,
    NotEditable,
    ReplyTo,
    RetryLater,
    ThreadNotFound,
)
from relay.channels.matrix import channel as module
from relay.channels.matrix.settings import MatrixSettings
from relay.messages.message import Message
from tests.channels.builders import MESSAGE, delivery_error, findings, opened
from tests.channels.builders import matrix as settings_of
from tests.channels.texts import messages
from tests.servers.fixtures import Authority
from tests.servers.loopback import Answer, Request, Threaded, in_thread, listen
from tests.servers.synapse import Person, Synapse

pytestmark = pytest.mark.anyio


class Room:
    """Ada's room, and the bot that Relay posts as."""

    def __init__(self, synapse: Synapse, **options: object) -> None:
        self.synapse = synapse
        self.ada = synapse.register("ada")
        self.bot = synapse.register("relay")
        self.id = self.ada.create_room(**options)  # type: ignore[arg-type]

    def settings(self, room: str = "", bot: Person | None = None) -> MatrixSettings:
        token = (bot or self.bot).token
        return settings_of(self.synapse.url, room or self.id, token)


@pytest.fixture
def room(synapse: Synapse) -> Room:
    """A private room with the bot in it."""
    made = Room(synapse)
    made.ada.invite(made.id, made.bot.id)
    made.bot.join(made.id)
    return made


async def test_another_member_reads_the_message_without_a_notification(room: Room) -> None:
    ada = room.ada.id
    message = replace(MESSAGE, body=f"**Bot** says {ada} and @room\n\n{MESSAGE.body}")
    async with opened(room.settings()) as channel:
        receipt = await channel.send(message, "delivery-1")
    [event] = room.ada.messages(room.id)
    assert event["event_id"] == receipt.id
    assert event["sender"] == room.bot.id
    assert event["content"] == {
        "msgtype": "m.text",
        "m.mentions": {},
        "body": f"Bot says {ada} and @room\n\n"
        "Ada Lovelace commented on Landing page (https://penpot.example/#/view?a=1&b=2)\n\n"
        "> The button is too small.\n> <!channel> please\n\n"
        "Website · Acme · Open in Penpot (https://penpot.example/#/view?a=1&b=2)",
        "format": "org.matrix.custom.html",
        "formatted_body": f"<p><strong>Bot</strong> says {ada} and @room</p>"
        "<p><strong>Ada Lovelace</strong> commented on "
        '<a href="https://penpot.example/#/view?a=1&amp;b=2">Landing page</a></p>'
        "<blockquote><p>The button is <em>too</em> small.<br>&lt;!channel&gt; please</p>"
        "</blockquote>"
        "<p><sub>Website · Acme · "
        '<a href="https://penpot.example/#/view?a=1&amp;b=2">Open in Penpot</a></sub></p>',
    }
    assert room.ada.pings() == []


async def test_the_same_delivery_sent_again_is_one_message(room: Room) -> None:
    key = f"team/{secrets.token_hex(4)}/ü?#"
    async with opened(room.settings()) as channel:
        first = await channel.send(MESSAGE, key)
    async with opened(room.settings()) as restarted:
        again = await restarted.send(MESSAGE, key)
        other = await restarted.send(MESSAGE, key + "2")
    assert first == again != other
    assert len(room.ada.messages(room.id)) == 2


async def test_a_reply_is_in_its_thread(room: Room) -> None:
    async with opened(room.settings()) as channel:
        root = (await channel.send(MESSAGE, "delivery-1")).id
        first = (await channel.send(MESSAGE, "delivery-2", ReplyTo(root, root, ""))).id
        second = (await channel.send(MESSAGE, "delivery-3", ReplyTo(root, first, ""))).id
    path = f"/_matrix/client/v1/rooms/{room.id}/relations/{root}/m.thread"
    seen = room.ada.call("GET", path)["chunk"]
    assert [event["event_id"] for event in seen] == [second, first]
    assert seen[0]["content"]["m.relates_to"] == {
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": first},
    }


async def test_a_reply_to_a_message_of_another_room_raises_thread_not_found(
    room: Room,
) -> None:
    async with opened(room.settings()) as channel:
        with pytest.raises(ThreadNotFound):
            await channel.send(MESSAGE, "delivery-2", ReplyTo("$gone", "$gone", ""))


async def test_messages_in_the_previous_room_can_not_be_edited_or_replied_to(
    room: Room,
) -> None:
    other = room.ada.create_room(invite=(room.bot.id,))
    async with opened(room.settings(other)) as before:
        root = (await before.send(MESSAGE, "delivery-1")).id
    async with opened(room.settings()) as channel:
        with pytest.raises(ThreadNotFound):
            await channel.send(MESSAGE, "delivery-2", ReplyTo(root, root, ""))
        with pytest.raises(NotEditable):
            await channel.update(root, MESSAGE, "delivery-3")


async def test_an_invitation_is_accepted(synapse: Synapse) -> None:
    room = Room(synapse)
    assert "invite it there" in await findings(room.settings())
    room.ada.invite(room.id, room.bot.id)
    assert "is invited to" in await findings(room.settings())  # also right after the first look
    async with opened(room.settings()) as channel:
        await channel.send(MESSAGE, "delivery-1")
    assert len(room.ada.messages(room.id)) == 1


async def test_a_public_room_is_joined_by_its_alias(synapse: Synapse) -> None:
    name = f"design-{secrets.token_hex(4)}"
    room = Room(synapse, public=True, alias=name)
    async with opened(room.settings(f"#{name}:relay.test")) as channel:
        await channel.send(MESSAGE, "delivery-1")
    assert len(room.ada.messages(room.id)) == 1


async def test_an_alias_is_resolved_again_when_the_old_room_refuses(room: Room) -> None:
    alias = f"#moving-{secrets.token_hex(4)}:relay.test"
    room.ada.call("PUT", f"/_matrix/client/v3/directory/room/{alias.replace('#', '%23')}",
                  {"room_id": room.id})  # fmt: skip
    async with opened(room.settings(alias)) as channel:
        await channel.send(MESSAGE, "delivery-1")
        new = room.ada.create_room(invite=(room.bot.id,))
        room.ada.point_alias(alias, new)
        room.ada.kick(room.id, room.bot.id)
        await channel.send(MESSAGE, "delivery-2")
    assert len(room.ada.messages(room.id)) == 1
    assert len(room.ada.messages(new)) == 1


async def test_a_room_that_refuses_the_bot_is_retried(synapse: Synapse) -> None:
    room = Room(synapse)
    error = await delivery_error(room.settings())
    assert (type(error), error.reason) == (Misconfigured, "M_FORBIDDEN")
    assert "invite it" in error.detail
    text = await findings(room.settings())
    assert f"ok The access token is that of {room.bot.id}." in text
    assert f"no {room.bot.id} is not in {room.id}: invite it there" in text


async def test_an_unknown_room_is_retried(room: Room) -> None:
    for named in ("#nowhere:relay.test", "!nowhere:relay.test"):
        error = await delivery_error(room.settings(named))
        assert isinstance(error, RetryLater | Misconfigured)
        assert error.reason in ("M_FORBIDDEN", "M_NOT_FOUND", "M_UNKNOWN")
    assert "no The homeserver knows no room #nowhere:relay.test: check the alias." in (
        await findings(room.settings("#nowhere:relay.test"))
    )


async def test_check_reports_a_missing_power_level(room: Room) -> None:
    room.ada.set_state(room.id, "m.room.power_levels", {"events_default": 50, "users": {}})
    error = await delivery_error(room.settings())
    assert (type(error), error.reason) == (Misconfigured, "M_FORBIDDEN")
    text = await findings(room.settings())
    assert "its power level there is 0, messages need 50" in text
    assert f"ok {room.ada.id} can post" in await findings(room.settings(bot=room.ada))


USER = "@relay:relay.test"


@pytest.mark.parametrize(
    ("levels", "may"),
    [
        ({"users": {USER: "100"}, "events": {"m.room.message": "9"}}, True),
        ({"users": {USER: "9"}, "events_default": "50"}, False),
        ({"users": [], "events": None, "users_default": {}, "events_default": 50}, False),
        ({"users": "x", "events": {"m.room.message": [1]}, "events_default": "much"}, True),
    ],
)
async def test_invalid_power_levels_do_not_break_the_check(
    levels: dict[str, object], may: bool
) -> None:
    state = {
        "account/whoami": {"user_id": USER},
        "m.room.member": {"membership": "join"},
        "m.room.create": {"content": {"room_version": "x", "additional_creators": 1}},
        "m.room.power_levels": levels,
        "m.room.encryption": {"algorithm": "m.megolm.v1.aes-sha2"},
    }

    def answer(request: Request) -> Answer:
        return Answer.of(next(state[part] for part in state if part in request.path))

    with in_thread(answer) as server:
        text = await findings(settings_of(server.url))
    assert ("can post to" in text, "may not post to" in text) == (may, not may)
    assert "is encrypted" in text


async def test_check_finds_a_good_room_and_posts_nothing(room: Room) -> None:
    text = await findings(room.settings())
    assert text == (
        f"ok The access token is that of {room.bot.id}.\nok {room.bot.id} can post to {room.id}."
    )
    assert room.ada.messages(room.id) == []


async def test_check_mentions_encryption(room: Room) -> None:
    room.ada.set_state(room.id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    assert "is encrypted" in await findings(room.settings())


async def test_an_invalid_token_is_retried(room: Room) -> None:
    room.bot.logout()
    error = await delivery_error(room.settings())
    assert (type(error), error.reason) == (Misconfigured, "M_UNKNOWN_TOKEN")
    assert "no Matrix: the access token is not valid" in await findings(room.settings())


async def flood(channel: Channel) -> None:
    for number in range(10):
        await channel.send(MESSAGE, f"delivery-{number}")


async def test_a_rate_limit_has_a_delay(room: Room) -> None:
    room.synapse.limit(room.bot, per_second=1, burst=3)
    async with opened(room.settings()) as channel:
        with pytest.raises(RetryLater) as caught:
            await flood(channel)
    assert caught.value.reason == "M_LIMIT_EXCEEDED"
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 10


async def test_the_longest_message_fits_into_an_event(room: Room) -> None:
    worst = Message("t", "\\\\" * 20_000 + "\n\n" + "[“\\&”](https://x.example/&&&&) " * 2000)
    async with opened(room.settings()) as channel:
        await channel.send(worst, "delivery-1")
        await channel.send(Message("t", "> &\\\n" * 12_000), "delivery-2")
        await channel.send(Message("t", "- &\n" * 12_000), "delivery-3")
        await channel.send(replace(MESSAGE, override="<p>" * 70_000), "delivery-4")
        await channel.send(Message("Only rules", "---\n\n" * 15_000), "delivery-5")
    contents = [event["content"] for event in room.ada.messages(room.id)]
    assert all(len(content["body"]) > 100 for content in contents[:4])
    assert contents[4]["body"] == "Only rules"
    assert contents[0]["body"].endswith("…")
    assert "<strong>Ada Lovelace</strong>" in contents[3]["formatted_body"]


async def test_an_override_is_the_formatted_body(room: Room) -> None:
    async with opened(room.settings()) as channel:
        await channel.send(replace(MESSAGE, override="<h3>Ours</h3>"), "delivery-1")
    [event] = room.ada.messages(room.id)
    assert event["content"]["formatted_body"] == "<h3>Ours</h3>"
    assert event["content"]["body"].startswith("Ada Lovelace commented on")


async def test_a_private_authority_is_trusted_through_ca_file_only(authority: Authority) -> None:
    def answer(_: Request) -> Answer:
        return Answer.of({"event_id": "$1"})

    certificate = authority.certificate()
    with Threaded(lambda: listen(answer, tls=certificate)) as server:
        url = server.url.replace("http:", "https:")
        untrusted = settings_of(url)
        error = await delivery_error(untrusted)
        assert (type(error), error.reason) == (RetryLater, "tls")
        assert "ca_file" in error.detail
        async with opened(untrusted.model_copy(update={"ca_file": authority.ca_file})) as channel:
            assert (await channel.send(MESSAGE, "delivery-1")).id == "$1"


def test_a_file_without_a_certificate_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    settings = settings_of("https://matrix.example").model_copy(update={"ca_file": empty})
    with pytest.raises(ValueError, match="holds no certificate"):
        module.MatrixChannel(settings, MemoryKeyValueStore())


async def test_a_name_is_quoted_in_the_path() -> None:
    seen: list[str] = []

    def answer(request: Request) -> Answer:
        seen.append(request.path)
        return Answer.of({"event_id": "$1", "room_id": "!r/../x?y:relay.test"})

    with in_thread(answer) as server:
        async with opened(settings_of(server.url, "#a/../b?c%2f:relay.test")) as channel:
            await channel.send(MESSAGE, "a/../b")
    v3 = "/_matrix/client/v3"
    assert seen == [
        f"{v3}/directory/room/%23a%2F..%2Fb%3Fc%252f%3Arelay.test",
        f"{v3}/rooms/%21r%2F..%2Fx%3Fy%3Arelay.test/send/m.room.message/relay.a%2F..%2Fb",
    ]


# Any text

ALLOWED = {
    "p": set(),
    "strong": set(),
    "blockquote": set(),
    "br": set(),
    "sub": set(),
    "a": {"href"},
}


class Tags(HTMLParser):
    """Collects what a client shows of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.other: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@given(messages)
def test_no_text_becomes_markup_or_a_mention(message: Message) -> None:
    content = module.render(message)
    assert content["m.mentions"] == {}
    assert len(json.dumps(content, ensure_ascii=False).encode()) < 50_000
    tags = Tags()
    tags.feed(content["formatted_body"])
    tags.close()
    assert tags.open == []
    assert tags.other == []
    for tag, attributes in tags.elements:
        assert attributes.keys() == ALLOWED[tag]
        assert attributes.get("href", message.url) == message.url
