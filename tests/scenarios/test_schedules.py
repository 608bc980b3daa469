"""Random schedules of actions and outages: no comment is lost, and none is sent twice."""

import os
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config.secret import Secret
from relay.config.settings import PenpotSettings as PenpotSettings
from relay.store.records import StoreUnavailable
from tests.penpot.people import Body
from tests.penpot.standin import TOKEN, StandIn
from tests.penpot.world import Thread
from tests.sync.stage import Direct, Stage, stage

MANY = int(os.environ.get("RELAY_SCHEDULES", "12"))
"""Schedules per run."""
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NEW = ("create-comment-thread", "create-comment")

ACTS = st.one_of(
    st.tuples(st.sampled_from(["begin", "reply", "reply", "edit", "resolve", "delete"]),
              st.integers(0, 11)),
    st.tuples(st.just("wait"), st.sampled_from([5.0, 30.0, 20 * MINUTE, 2 * HOUR, 30 * HOUR])),
    st.tuples(st.sampled_from(["relay", "api", "hook", "rights", "reader"]), st.booleans()),
    st.tuples(st.just("kill"), st.integers(0, 12)),
)  # fmt: skip


class Schedule:
    """A Penpot, a Relay, and the connection between them."""

    def __init__(self, on: Stage) -> None:
        self.on = on
        self.hook = on.hook()
        self.runs = self.answers = self.sees = True
        self.on_the_way: list[Body] = []
        self.threads: list[Thread] = []
        self.said: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.role = on.world.teams[on.acme].members[on.world.me]

    def start(self) -> None:
        """Relay starts again."""
        self.on.start(Direct)
        self.on.client.is_down = not self.answers  # type: ignore[attr-defined]

    async def act(self, what: str, value: Any) -> None:
        """Perform one action."""
        people = self.on.people("landing" if value in (0, 3, 6) else "nl")
        people.now = max(people.now, *(t.modified for t in self.on.world.threads.values()))
        if what == "begin":
            thread, body = people.begin(f"thread {len(self.said)}")
            self.threads.append(thread)
            await self.send(body, thread, is_late=value > 5)
        elif what in ("reply", "edit", "resolve", "delete") and self.threads:
            await self.change(what, value, people)
        elif what == "wait":
            await self.wait(value)
        elif what == "relay" and value != self.runs:
            self.runs = value
            if value:
                self.start()
        elif what == "api":
            self.answers = value
            self.on.client.is_down = not value  # type: ignore[attr-defined]
        elif what == "hook" and not value:
            self.hook.is_active, self.hook.error_code = False, "connection-error"
        elif what == "rights":
            members = self.on.world.teams[self.on.acme].members
            members.pop(self.on.world.me, None)
            if value:
                members[self.on.world.me] = self.role
        elif what == "reader":
            for one in self.on.world.threads.values():
                one.read = people.now + timedelta(seconds=1)
        elif what == "kill" and self.runs:
            await self.kill(value)

    async def change(self, what: str, value: int, people: Any) -> None:
        thread = self.threads[value % len(self.threads)]
        if what == "reply":
            body = people.reply(thread, f"reply {len(self.said)}")
            await self.send(body, thread, is_late=value > 5)
        elif what == "edit":
            people.edit(thread, 0, f"edited {value} {len(self.said)}")
        elif what == "resolve":
            people.resolve(thread, resolved=not thread.is_resolved)
        elif value % 2 and len(thread.comments) > 1:
            self.deleted.add(thread.comments[-1].id)
            people.delete(thread, -1)
        else:
            self.deleted |= {comment.id for comment in thread.comments}
            self.threads.remove(thread)
            people.delete(thread)

    async def send(self, body: Body, thread: Thread, *, is_late: bool) -> None:
        """Penpot sends a comment if its webhook is on, maybe after a poll."""
        props = body["props"]
        self.said[props.get("commentId") or props["id"]] = thread.id
        if self.hook.is_active:
            self.on_the_way.append(body)
        if not is_late:
            await self.deliver()

    async def deliver(self) -> None:
        for body in self.on_the_way if self.runs else ():
            await self.on.receive(body)
        self.on_the_way.clear()

    async def wait(self, seconds: float) -> None:
        if self.runs:
            await self.on.pass_time(seconds, 50)
        else:
            self.on.clock.now += seconds
        await self.deliver()

    async def kill(self, after: int) -> None:
        """Relay is killed in the middle of its work, and starts again."""
        self.on.clock.now += 16 * MINUTE
        client, calls = self.on.client, 0
        real = client._fetch

        async def fetch(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > after:
                raise StoreUnavailable("killed")
            return await real(*args)

        client._fetch = fetch  # type: ignore[method-assign]
        await self.on.pass_time(1)
        self.start()

    async def end(self) -> None:
        """Everything works again for four hours."""
        for what in ("relay", "api", "rights"):
            await self.act(what, True)
        self.hook.profile = self.on.world.me
        await self.wait(2 * HOUR)
        await self.wait(2 * HOUR)


async def run(schedule: list[tuple[str, Any]], folder: Path, penpot: StandIn) -> None:
    direct = PenpotSettings(url="http://penpot.example", access_token=Secret(TOKEN))
    async with stage(penpot, folder, penpot=direct) as on:
        acts = Schedule(on)
        acts.start()
        await acts.wait(5 * MINUTE)
        for what, value in schedule:
            await acts.act(what, value)
        await acts.end()
        bodies = await on.bodies()
    counts = Counter(
        body["props"].get("commentId") or body["props"]["id"]
        for body in bodies
        if body["name"] in NEW
    )
    assert {id_: count for id_, count in counts.items() if count > 1} == {}
    lost = acts.said.keys() - counts.keys() - acts.deleted
    assert lost == set()
    assert counts.keys() <= acts.said.keys()


@settings(max_examples=MANY)
@given(schedule=st.lists(ACTS, min_size=3, max_size=25))
def test_no_schedule_of_outages_loses_or_duplicates_a_comment(
    schedule: list[tuple[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(run, schedule, Path(folder), StandIn())
