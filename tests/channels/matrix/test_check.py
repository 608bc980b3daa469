"""The doctor's checks of a room."""

from urllib.parse import quote

import pytest

from relay.channels.base import Misconfigured
from tests.channels.builders import delivery_error, findings
from tests.channels.builders import matrix as settings_of
from tests.channels.matrix.rooms import Room
from tests.servers.loopback import Answer, Request, in_thread
from tests.servers.synapse import Synapse

pytestmark = pytest.mark.anyio


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
        "m.room.tombstone": {},
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


async def test_check_accepts_a_public_room_that_the_bot_joins_by_itself(synapse: Synapse) -> None:
    room = Room(synapse, public=True)
    text = await findings(room.settings())
    assert f"ok {room.id} is public: {room.bot.id} joins with the first message." in text
    assert "no " not in text
    room.ada.set_state(room.id, "m.room.join_rules", {"join_rule": "invite"})
    assert f"no {room.bot.id} is not in {room.id}: invite it" in await findings(room.settings())
    room.ada.set_state(room.id, "m.room.join_rules", {"join_rule": "public"})
    room.bot.join(room.id)
    path = f"/_matrix/client/v3/rooms/{quote(room.id)}/ban"
    room.ada.call("POST", path, {"user_id": room.bot.id})
    assert f"no {room.bot.id} is not in {room.id}" in await findings(room.settings())
