"""What the inspector reads, of every kind of store."""

import time

import pytest

from relay.store import reading
from relay.store.base import FannedOut, NewDelivery, NewEvent, Store
from relay.store.reading import FIRST_ATTEMPTS, LAST_ATTEMPTS, Filters, Listing

pytestmark = pytest.mark.anyio


async def accept(store: Store, count: int, team: str = "acme", **changes: str) -> list[int]:
    """Store events; their ids."""
    for number in range(count):
        fields = {"name": "create-file", "state": "stored", "reason": ""} | changes
        digest = f"{team} {changes} {number}".encode()
        event = NewEvent(team, "application/json", b"{}", digest, **fields, received_at=time.time())
        await store.accept(event)
    known = await store.reading.events(team, Filters(), limit=count)
    return sorted(row.id for row in known.rows)


async def fan_out(
    store: Store,
    ids: list[int],
    *queues: str,
    team: str = "acme",
    person: str = "",
    about: str = "",
) -> None:
    await store.fanned_out(
        [
            FannedOut(
                id_,
                team,
                "fanned-out" if queues else "ignored",
                "" if queues else "not chosen: b",
                [NewDelivery(queue, f"{id_} {queue}", "{}") for queue in queues],
                person=person,
                about=about,
                passed={} if queues else {"b": "!create-file"},
            )
            for id_ in ids
        ]
    )


def ids_of(listing: Listing) -> list[int]:
    return [row.id for row in listing.rows]


async def test_a_row_tells_who_what_and_what_became_of_it(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a", "b", person="Ada", about="Landing page")
    first, second = [
        mark.id for mark in (await store.reading.events(None, Filters())).rows[0].marks
    ]
    await store.sent([first], "$1", seconds=0.25)
    await store.failed(second, "timeout", 1e9, seconds=1.5)
    (row,) = (await store.reading.events(None, Filters())).rows
    assert (row.team, row.name, row.person, row.about) == (
        "acme",
        "create-file",
        "Ada",
        "Landing page",
    )
    assert [(mark.queue, mark.state, mark.error) for mark in row.marks] == [
        ("a", "sent", ""),
        ("b", "waiting", "timeout"),
    ]


async def test_who_did_not_take_it_is_told_with_the_filter(store: Store) -> None:
    await fan_out(store, await accept(store, 1))
    (row,) = (await store.reading.events(None, Filters())).rows
    assert (row.state, row.passed) == ("ignored", {"b": "!create-file"})


async def test_pages_go_on_by_key_both_ways(store: Store) -> None:
    ids = await accept(store, 7)
    await fan_out(store, ids[:4], "a")
    newest = await store.reading.events(None, Filters(), limit=3)
    assert (ids_of(newest), newest.newer) == (ids[:3:-1], None)
    middle = await store.reading.events(None, Filters(), before=newest.older, limit=3)
    assert ids_of(middle) == ids[3:0:-1]
    last = await store.reading.events(None, Filters(), before=middle.older, limit=3)
    assert (ids_of(last), last.older) == (ids[:1], None)
    back = await store.reading.events(None, Filters(), after=last.newer, limit=3)
    assert (ids_of(back), back.older, back.newer) == (ids[3:0:-1], ids[1], ids[3])


async def test_filters_leave_out_what_does_not_fit(store: Store) -> None:
    stored = await accept(store, 1)
    unreadable = await accept(store, 1, state="unreadable", reason="not JSON", name="")
    ids = await accept(store, 4, name="rename-file")
    ids = [id_ for id_ in ids if id_ not in (*stored, *unreadable)]
    sent, waiting, dead, ignored = ids
    await fan_out(store, [sent, waiting, dead], "a", person="Grace Hopper", about="ÜBER Café")
    await fan_out(store, [ignored])
    marks = {mark.event_id: mark.id for mark in await _marks(store)}
    await store.sent([marks[sent]], "")
    await store.dead(marks[dead], "msg_too_long")
    for filters, wanted in (
        (Filters(state="stored"), stored),
        (Filters(state="unreadable"), unreadable),
        (Filters(state="ignored"), [ignored]),
        (Filters(state="sent"), [sent]),
        (Filters(state="waiting"), [waiting]),
        (Filters(state="dead"), [dead]),
        (Filters(kind="create-file"), stored),
        (Filters(kind="rename-file"), ids),
        (Filters(text="grace"), [sent, waiting, dead]),
        (Filters(text="über café"), [sent, waiting, dead]),
        (Filters(text="rename"), ids),
        (Filters(text="%"), []),
        (Filters(kind="rename-file", state="dead", text="HOPPER"), [dead]),
        (Filters(kind="create-file", state="dead"), []),
    ):
        for team in (None, "acme"):
            found = await store.reading.events(team, filters)
            assert ids_of(found) == sorted(wanted, reverse=True), (team, filters)
            assert ids_of(await store.reading.events("rnd", filters)) == []
            up = await store.reading.events(team, filters, after=0)
            assert ids_of(up) == sorted(wanted, reverse=True), (team, filters)


async def _marks(store: Store) -> list[reading.Mark]:
    rows = (await store.reading.events(None, Filters())).rows
    return [mark for row in rows for mark in row.marks]


async def test_what_no_store_can_hold_is_found_nowhere(store: Store) -> None:
    await fan_out(store, await accept(store, 1), "a")
    for filters in Filters(text="a\0"), Filters(kind="create\0"):
        assert ids_of(await store.reading.events(None, filters)) == []
    assert ids_of(await store.reading.events("acme\0", Filters())) == []


async def test_a_filter_says_where_it_stopped_and_goes_on_from_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.statements.SCANNED", 4)
    ids = await accept(store, 10)
    await fan_out(store, ids[:1], "a", about="needle")
    await fan_out(store, ids[1:], "a", about="hay")
    seen: list[int] = []
    before, rounds = None, 0
    while True:
        found = await store.reading.events(None, Filters(text="needle"), before=before)
        seen += ids_of(found)
        rounds += 1
        before = found.older
        if before is None:
            break
        assert found.searched == 4
    assert (seen, rounds) == (ids[:1], 3)


async def test_a_team_sees_its_own_alone(store: Store) -> None:
    mine = await accept(store, 2)
    others = await accept(store, 2, team="rnd")
    await fan_out(store, mine[:1], "a")
    await fan_out(store, others[:1], "b", team="rnd")
    read = store.reading
    assert ids_of(await read.events("acme", Filters())) == mine[::-1]
    assert [row.id for row in await read.rows("acme", [*mine, *others])] == mine[::-1]
    assert [row.id for row in await read.rows("acme", [], after=mine[0])] == mine[1:]
    for id_ in others:
        assert await read.event("acme", id_) is None
        assert (await read.event(None, id_)) is not None


async def test_an_event_is_read_whole_with_every_try(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a", person="Ada")
    (mark,) = await _marks(store)
    await store.failed(mark.id, "connect: refused", 0, seconds=0.5)
    await store.sent([mark.id], "$event", seconds=0.125)
    whole = await store.reading.event(None, id_)
    assert whole is not None
    assert (whole.event.body, whole.row.person) == (b"{}", "Ada")
    (delivery,) = whole.deliveries
    assert (delivery.state, delivery.message) == ("sent", "{}")
    tries = [(one.number, one.outcome, one.seconds, one.words) for one in whole.attempts[mark.id]]
    assert tries == [(1, "failed", 0.5, "connect: refused"), (2, "sent", 0.125, "$event")]
    assert abs(whole.attempts[mark.id][0].at - time.time()) < 60
    assert await store.reading.event(None, id_ + 1) is None


async def test_a_message_that_fails_for_a_month_keeps_few_tries(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a")
    (mark,) = await _marks(store)
    for number in range(40):
        await store.failed(mark.id, f"{number}", 0)
    whole = await store.reading.event(None, id_)
    assert whole is not None
    numbers = [one.number for one in whole.attempts[mark.id]]
    assert numbers == [*range(1, FIRST_ATTEMPTS + 1), *range(41 - LAST_ATTEMPTS, 41)]
    await store.resend([mark.id])
    await store.sent([mark.id], "")
    whole = await store.reading.event(None, id_)
    assert whole is not None
    assert whole.attempts[mark.id][-1].number == 41


async def test_what_is_told_of_an_event_goes_with_it(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a")
    (mark,) = await _marks(store)
    await store.sent([mark.id], "")
    assert await store.prune(time.time() + 1, 10) == 1
    assert ids_of(await store.reading.events(None, Filters())) == []
    assert await store.reading.event(None, id_) is None


async def test_queues_tell_how_they_are(store: Store) -> None:
    ids = await accept(store, 3)
    await fan_out(store, ids, "a")
    marks = sorted(await _marks(store))
    await store.sent([marks[0].id], "")
    await store.failed(marks[1].id, "timeout", 1e9)
    await store.dead(marks[2].id, "msg_too_long")
    facts = await store.reading.queues(["a", "b"])
    a, b = facts["a"], facts["b"]
    assert (a.waiting, a.dead, a.next_at, a.error) == (1, 1, 1e9, "msg_too_long")
    assert abs(a.sent_at - time.time()) < 60
    assert abs(a.failed_at - time.time()) < 60
    assert 0 < a.since <= time.time()
    assert b == ("b", 0, 0, 0.0, 0.0, 0.0, 0.0, "")
    assert await store.reading.queues([]) == {}


async def test_an_event_of_relays_own_is_in_the_list(store: Store) -> None:
    await store.announce("acme", "queue-broken", [NewDelivery("acme/ops", "k", "m")], "It stopped")
    (row,) = (await store.reading.events("acme", Filters(text="stopped"))).rows
    assert (row.name, row.about, row.marks[0].queue) == ("queue-broken", "It stopped", "acme/ops")
