"""The inspector's queries, on both engines."""

import time

import pytest

from relay.store import queries
from relay.store.base import Store
from relay.store.queries import FIRST_ATTEMPTS_COUNT, LAST_ATTEMPTS_COUNT, EventPage
from relay.store.records import FanOutResult, NewDelivery, NewEvent
from relay.store.search import EventFilters

pytestmark = pytest.mark.anyio


async def accept(store: Store, count: int, team: str = "acme", **changes: str) -> list[int]:
    """Store events; returns their ids."""
    for number in range(count):
        fields = {"name": "create-file", "state": "stored", "reason": ""} | changes
        digest = f"{team} {changes} {number}".encode()
        event = NewEvent(team, "application/json", b"{}", digest, **fields, received_at=time.time())
        await store.accept(event)
    page = await store.queries.events(team, EventFilters(), limit=count)
    return sorted(row.id for row in page.rows)


async def fan_out(
    store: Store,
    ids: list[int],
    *queues: str,
    team: str = "acme",
    person: str = "",
    about: str = "",
) -> None:
    await store.save_fan_out(
        [
            FanOutResult(
                id_,
                team,
                "fanned-out" if queues else "ignored",
                "" if queues else "not chosen: b",
                [NewDelivery(queue, f"{id_} {queue}", "{}") for queue in queues],
                person=person,
                about=about,
                skipped={} if queues else {"b": "!create-file"},
            )
            for id_ in ids
        ]
    )


def ids_of(page: EventPage) -> list[int]:
    return [row.id for row in page.rows]


async def test_a_row_has_person_subject_and_deliveries(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a", "b", person="Ada", about="Landing page")
    first, second = [
        summary.id
        for summary in (await store.queries.events(None, EventFilters())).rows[0].deliveries
    ]
    await store.mark_sent([first], "$1", seconds=0.25)
    await store.mark_failed(second, "timeout", 1e9, seconds=1.5)
    (row,) = (await store.queries.events(None, EventFilters())).rows
    assert (row.team, row.name, row.person, row.about) == (
        "acme",
        "create-file",
        "Ada",
        "Landing page",
    )
    assert [(summary.queue, summary.state, summary.error) for summary in row.deliveries] == [
        ("a", "sent", ""),
        ("b", "waiting", "timeout"),
    ]


async def test_a_row_has_the_skipped_channels_with_the_filter(store: Store) -> None:
    await fan_out(store, await accept(store, 1))
    (row,) = (await store.queries.events(None, EventFilters())).rows
    assert (row.state, row.skipped) == ("ignored", {"b": "!create-file"})


async def test_pages_continue_by_id_in_both_directions(store: Store) -> None:
    ids = await accept(store, 7)
    await fan_out(store, ids[:4], "a")
    newest = await store.queries.events(None, EventFilters(), limit=3)
    assert (ids_of(newest), newest.newer) == (ids[:3:-1], None)
    middle = await store.queries.events(None, EventFilters(), before=newest.older, limit=3)
    assert ids_of(middle) == ids[3:0:-1]
    last = await store.queries.events(None, EventFilters(), before=middle.older, limit=3)
    assert (ids_of(last), last.older) == (ids[:1], None)
    back = await store.queries.events(None, EventFilters(), after=last.newer, limit=3)
    assert (ids_of(back), back.older, back.newer) == (ids[3:0:-1], ids[1], ids[3])


async def test_filters_exclude_other_events(store: Store) -> None:
    stored = await accept(store, 1)
    unreadable = await accept(store, 1, state="unreadable", reason="not JSON", name="")
    ids = await accept(store, 4, name="rename-file")
    ids = [id_ for id_ in ids if id_ not in (*stored, *unreadable)]
    sent, waiting, dead, ignored = ids
    await fan_out(store, [sent, waiting, dead], "a", person="Grace Hopper", about="ÜBER Café")
    await fan_out(store, [ignored])
    summaries = {summary.event_id: summary.id for summary in await _summaries(store)}
    await store.mark_sent([summaries[sent]], "")
    await store.mark_dead(summaries[dead], "msg_too_long")
    for filters, wanted in (
        (EventFilters(state="stored"), stored),
        (EventFilters(state="unreadable"), unreadable),
        (EventFilters(state="ignored"), [ignored]),
        (EventFilters(state="sent"), [sent]),
        (EventFilters(state="waiting"), [waiting]),
        (EventFilters(state="dead"), [dead]),
        (EventFilters(names=("create-file",)), stored),
        (EventFilters(names=("rename-file",)), ids),
        (EventFilters(text="grace"), [sent, waiting, dead]),
        (EventFilters(text="über café"), [sent, waiting, dead]),
        (EventFilters(text="rename"), ids),
        (EventFilters(text="%"), []),
        (EventFilters(names=("rename-file",), state="dead", text="HOPPER"), [dead]),
        (EventFilters(names=("create-file",), state="dead"), []),
    ):
        for team in (None, "acme"):
            result = await store.queries.events(team, filters)
            assert ids_of(result) == sorted(wanted, reverse=True), (team, filters)
            assert ids_of(await store.queries.events("rnd", filters)) == []
            up = await store.queries.events(team, filters, after=0)
            assert ids_of(up) == sorted(wanted, reverse=True), (team, filters)


async def _summaries(store: Store) -> list[queries.DeliverySummary]:
    rows = (await store.queries.events(None, EventFilters())).rows
    return [summary for row in rows for summary in row.deliveries]


async def test_text_with_nul_matches_nothing(store: Store) -> None:
    await fan_out(store, await accept(store, 1), "a")
    for filters in EventFilters(text="a\0"), EventFilters(names=("create\0",)):
        assert ids_of(await store.queries.events(None, filters)) == []
    assert ids_of(await store.queries.events("acme\0", EventFilters())) == []


async def test_a_filter_that_stops_at_its_limit_continues_on_the_next_page(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.search.MAX_SCANNED_EVENTS", 4)
    ids = await accept(store, 10)
    await fan_out(store, ids[:1], "a", about="needle")
    await fan_out(store, ids[1:], "a", about="hay")
    seen: list[int] = []
    before, rounds = None, 0
    while True:
        result = await store.queries.events(None, EventFilters(text="needle"), before=before)
        seen += ids_of(result)
        rounds += 1
        before = result.older
        if before is None:
            break
        assert result.searched == 4
    assert (seen, rounds) == (ids[:1], 3)


async def test_a_team_sees_only_its_own_events(store: Store) -> None:
    mine = await accept(store, 2)
    others = await accept(store, 2, team="rnd")
    await fan_out(store, mine[:1], "a")
    await fan_out(store, others[:1], "b", team="rnd")
    event_queries = store.queries
    assert ids_of(await event_queries.events("acme", EventFilters())) == mine[::-1]
    assert [row.id for row in await event_queries.rows("acme", [*mine, *others])] == mine[::-1]
    assert [row.id for row in await event_queries.rows("acme", [], after=mine[0])] == mine[1:]
    for id_ in others:
        assert await event_queries.event("acme", id_) is None
        assert (await event_queries.event(None, id_)) is not None


async def test_event_details_have_every_attempt(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a", person="Ada")
    (summary,) = await _summaries(store)
    await store.mark_failed(summary.id, "connect: refused", 0, seconds=0.5)
    await store.mark_sent([summary.id], "$event", seconds=0.125)
    details = await store.queries.event(None, id_)
    assert details is not None
    assert (details.event.body, details.row.person) == (b"{}", "Ada")
    (delivery,) = details.deliveries
    assert (delivery.state, delivery.message) == ("sent", "{}")
    attempts = [
        (one.number, one.outcome, one.seconds, one.detail) for one in details.attempts[summary.id]
    ]
    assert attempts == [(1, "failed", 0.5, "connect: refused"), (2, "sent", 0.125, "$event")]
    assert abs(details.attempts[summary.id][0].at - time.time()) < 60
    assert await store.queries.event(None, id_ + 1) is None


async def test_the_first_and_last_attempts_are_kept(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a")
    (summary,) = await _summaries(store)
    for number in range(40):
        await store.mark_failed(summary.id, f"{number}", 0)
    details = await store.queries.event(None, id_)
    assert details is not None
    numbers = [one.number for one in details.attempts[summary.id]]
    assert numbers == [*range(1, FIRST_ATTEMPTS_COUNT + 1), *range(41 - LAST_ATTEMPTS_COUNT, 41)]
    await store.resend([summary.id])
    await store.mark_sent([summary.id], "")
    details = await store.queries.event(None, id_)
    assert details is not None
    assert details.attempts[summary.id][-1].number == 41


async def test_prune_deletes_an_event_from_the_list(store: Store) -> None:
    (id_,) = await accept(store, 1)
    await fan_out(store, [id_], "a")
    (summary,) = await _summaries(store)
    await store.mark_sent([summary.id], "")
    assert await store.prune(time.time() + 1, 10) == 1
    assert ids_of(await store.queries.events(None, EventFilters())) == []
    assert await store.queries.event(None, id_) is None


async def test_queue_statistics(store: Store) -> None:
    ids = await accept(store, 3)
    await fan_out(store, ids, "a")
    summaries = sorted(await _summaries(store))
    await store.mark_sent([summaries[0].id], "")
    await store.mark_failed(summaries[1].id, "timeout", 1e9)
    await store.mark_dead(summaries[2].id, "msg_too_long")
    facts = await store.queries.queues(["a", "b"])
    a, b = facts["a"], facts["b"]
    assert (a.waiting, a.dead, a.next_at, a.error) == (1, 1, 1e9, "msg_too_long")
    assert abs(a.sent_at - time.time()) < 60
    assert abs(a.failed_at - time.time()) < 60
    assert 0 < a.since <= time.time()
    assert b == ("b", 0, 0, 0.0, 0.0, 0.0, 0.0, "", 0, 0.0, "")
    assert await store.queries.queues([]) == {}


async def test_an_announced_event_is_in_the_list(store: Store) -> None:
    await store.announce("acme", "queue-broken", [NewDelivery("acme/ops", "k", "m")], "It stopped")
    (row,) = (await store.queries.events("acme", EventFilters(text="stopped"))).rows
    assert (row.name, row.about, row.deliveries[0].queue) == (
        "queue-broken",
        "It stopped",
        "acme/ops",
    )
