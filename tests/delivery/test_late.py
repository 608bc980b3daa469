"""An old event for a channel that did not get it."""

from pathlib import Path

import pytest

from relay.config.settings import Config
from relay.delivery.late import NotDeliverable, deliver_late
from relay.messages.message import Message
from relay.penpot.samples import sample
from relay.store.base import Store
from relay.store.records import FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore
from tests.service import SECRET

pytestmark = pytest.mark.anyio
CHANNELS = [
    {"name": "old", "type": "stdout"},
    {"name": "new", "type": "stdout", "events": ["fonts"], "quiet": ["00:00-23:59"]},
    {"name": "direct", "type": "slack", "direct": "mentioned", "token": "xoxb-token-of-the-tests"},
]
CONFIG = Config.model_validate({"teams": {"acme": {"secret": SECRET, "channels": CHANNELS}}})
OLD, NEW, DIRECT = CONFIG.teams["acme"].channels


async def put(store: Store, number: int, state: str, body: bytes, name: str = "create-file") -> int:
    await store.accept(NewEvent("acme", "application/json", body, bytes([number]), name))
    (event,) = await store.stored_events(1)
    deliveries = [NewDelivery("acme/old", f"{event.id}", "{}")] if state == "fanned-out" else []
    result = FanOutResult(event.id, "acme", state, "", deliveries, about="a file")
    await store.save_fan_out([result])
    return event.id


async def deliver(store: Store, id_: int, channel: object) -> list[int]:
    details = await store.queries.event("acme", id_)
    assert details is not None
    return await deliver_late(store, CONFIG, details, channel)  # type: ignore[arg-type]


@pytest.fixture
async def store(tmp_path: Path) -> SqliteStore:
    store = SqliteStore(tmp_path / "relay.db")
    await store.open()
    assert await store.acquire_lease("fan-out")
    return store


@pytest.mark.parametrize("state", ["fanned-out", "ignored"])
async def test_a_channel_gets_an_old_event_whatever_its_lists_say(
    store: SqliteStore, state: str
) -> None:
    id_ = await put(store, 1, state, sample("create-file"))
    used = await store.usage.by_team({})
    (delivery,) = await deliver(store, id_, NEW)
    (waiting,) = await store.waiting_deliveries("acme/new", 9)
    assert (waiting.id, waiting.event_id, waiting.state) == (delivery, id_, "waiting")
    message = Message.loads(waiting.message)
    assert "Someone created" in message.title
    (entry,) = await store.log(team="acme", state=None, limit=9)
    assert (entry.event.state, entry.about) == ("fanned-out", "a file")
    grown = (await store.usage.by_team({}))["acme"] - used["acme"]
    assert len(waiting.message) < grown < len(waiting.message) + 1000
    with pytest.raises(NotDeliverable, match=f"`relay resend` sends again: {delivery}$"):
        await deliver(store, id_, NEW)
    await store.close()


async def test_what_has_no_message_is_an_error_that_says_why(store: SqliteStore) -> None:
    for number, (state, body, channel, error) in enumerate(
        [
            ("unreadable", b"x", NEW, "for acme/new: it is unreadable"),
            ("fanned-out", b"", NEW, "for acme/new: it is Relay's own"),
            ("fanned-out", b"{", NEW, "not JSON"),
            ("fanned-out", sample("create-file"), DIRECT, "for acme/direct: nobody is mentioned"),
        ]
    ):
        id_ = await put(store, number, state, body)
        with pytest.raises(NotDeliverable, match=f"event {id_}.*{error}"):
            await deliver(store, id_, channel)
    await store.close()
