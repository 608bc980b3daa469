"""Lookups: which calls they make, how many, and that no failure costs a message."""

import asyncio
import json
import logging
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from relay.config.settings import Config
from relay.delivery import fanout, lookups
from relay.delivery.directory import TeamDirectory
from relay.delivery.fact_cache import FactCache
from relay.delivery.fanout import FanOut
from relay.delivery.lookups import Lookups
from relay.delivery.notices import NoticeRenderer
from relay.delivery.pipeline import EventPreparer
from relay.delivery.queues import QueueManager
from relay.delivery.routing import Planner
from relay.delivery.thumbnails import Thumbnails
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.client import PenpotRefused
from relay.penpot.events import Event, Subject, normalize
from relay.penpot.facts import Fact
from relay.store.records import NewEvent, StoreUnavailable
from relay.store.sqlite import SqliteStore
from tests.delivery.scripted import queue_context
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.penpot.world import Comment, File, Project, Thread, Webhook
from tests.servers.loopback import Answer
from tests.service import Service, wait_until

pytestmark = pytest.mark.anyio

PAYLOADS = Path(__file__).parents[1] / "penpot" / "payloads"
SECRET = "a-secret-of-24-characters"
ACME = "2f6a1c10-5d0e-81a4-8006-9a1f00000001"
RND = "2f6a1c10-5d0e-81a4-8006-9a1f00000002"
LANDING = "4c8d3e30-5d0e-81a4-8006-9a3f00000001"
KIT = "4c8d3e30-5d0e-81a4-8006-9a3f00000007"
WEB = "3b7c2d20-5d0e-81a4-8006-9a2f00000001"
STRANGER = "11111111-2222-4333-8444-555555555555"
NEW = "4c8d3e30-5d0e-81a4-8006-9a3f00000aaa"


def body(case: str, **props: Any) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((PAYLOADS / f"{case}.json").read_bytes())
    values["props"] |= props
    return values


class House:
    """A store with a fan-out that asks the stand-in, and queues that do not run."""

    def __init__(self, store: SqliteStore, penpot: StandIn) -> None:
        self.store = store
        self.penpot = penpot
        self.metrics = Metrics()
        self.count = 0

    def start(
        self,
        *,
        token: str = TOKEN,
        team_id: str = ACME,
        events: str = "*",
        channel: Mapping[str, Any] = MappingProxyType({"type": "stdout"}),
    ) -> None:
        channels = [{"name": "all", "events": [events], "activity": "each", **channel}]
        team = {"secret": SECRET, "channels": channels} | ({"team_id": team_id} if team_id else {})
        config = Config.model_validate(
            {"penpot": {"url": "http://p.example", "access_token": token}, "teams": {"acme": team}}
        )
        queues = QueueManager({}, queue_context(self.store, self.metrics))
        api = PenpotClient(self.penpot.url, token)
        facts = FactCache(self.store)
        notices = NoticeRenderer(Templates(), self.metrics)
        directory = TeamDirectory(config, self.store, notices, time.time)
        lookups = Lookups(api, facts, self.store, self.metrics, directory)
        self.preparer = EventPreparer(config, facts, lookups, Thumbnails(api, self.metrics))
        self.fan_out = FanOut(
            self.preparer,
            Planner(config, facts, self.store.activity, Templates(), self.metrics),
            self.store,
            queues,
            self.metrics,
            is_under_load=lambda: False,
        )
        self.running = asyncio.create_task(self.fan_out.run())

    async def end(self) -> None:
        self.fan_out.stop()
        await self.running
        await self.preparer.close()

    async def put(self, *bodies: dict[str, Any]) -> None:
        for values in bodies:
            self.count += 1
            content = json.dumps(values).encode()
            digest = f"{self.count}".encode()
            now = time.time()
            await self.store.accept(
                NewEvent("acme", "application/json", content, digest, "x", received_at=now)
            )
        self.fan_out.wake()

    async def messages(self, seconds: float = 30) -> list[Message]:
        """All messages, oldest first, once every event is fanned out; bodies without escapes."""
        async with asyncio.timeout(seconds):
            while await self.store.stored_events(1):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        entries = await self.store.log(team=None, state=None, limit=5000)
        deliveries = [delivery for entry in reversed(entries) for delivery in entry.deliveries]
        messages = [Message.loads(delivery.message) for delivery in deliveries]
        return [
            replace(message, full=replace(message.full, body=message.full.body.replace("\\", "")))
            for message in messages
        ]

    async def render(self, *bodies: dict[str, Any]) -> str:
        """Title, body and footer of the last message after these events."""
        await self.put(*bodies)
        last = (await self.messages())[-1]
        return f"{last.title}\n{last.content.body}\n{last.content.footer}"

    def counted(self, outcome: str) -> int:
        text = self.metrics.text().decode()
        lines = [line for line in text.splitlines() if f'outcome="{outcome}"' in line]
        return sum(int(float(line.rpartition(" ")[2])) for line in lines)


@pytest.fixture
async def house(store: SqliteStore, penpot: StandIn) -> AsyncIterator[House]:
    house = House(store, penpot)
    yield house
    await house.end()


def methods(penpot: StandIn) -> list[str]:
    return sorted(call.method for call in penpot.calls)


# Names


async def test_a_reply_gets_its_whole_place_from_one_call_for_the_thread(house: House) -> None:
    house.start()
    text = await house.render(body("create-comment/plain"))
    for known in ("Landing page", "Page 1", "#15", "hero spacing looks off", "Website Redesign"):
        assert known in text
    assert f"team-id={ACME}" in text
    assert methods(house.penpot) == ["get-comment-thread", "get-project", "get-team"]


async def test_who_deleted_a_file_is_named(house: House) -> None:
    house.start()
    text = await house.render(body("delete-file/plain"))
    assert "Ada Lovelace" in text
    assert "Website Redesign" in text
    assert methods(house.penpot) == ["get-project", "get-team-members"]


async def test_a_link_to_a_library_names_both_though_the_event_has_only_ids(house: House) -> None:
    house.penpot.world.files[LANDING].libraries.append(KIT)
    house.start()
    text = await house.render(body("link-file-to-library/plain"))
    for known in ("Ada Lovelace", "Landing page", "Acme UI Kit"):
        assert known in text


async def test_an_unlinked_library_is_found_among_the_teams_files(house: House) -> None:
    house.start()
    text = await house.render(body("unlink-file-from-library/plain"))
    for known in ("Ada Lovelace", "Landing page", "Acme UI Kit"):
        assert known in text


async def test_moved_files_are_named_with_their_new_project(house: House) -> None:
    moved = body("move-files/many")
    for file in moved["props"]["ids"]:
        house.penpot.world.files[file].project = moved["props"]["projectId"]
    house.start()
    text = await house.render(moved)
    for known in ("李小龍", "モバイルアプリ", "Landing page", "Acme UI Kit"):
        assert known in text


async def test_a_template_has_penpots_name(house: House) -> None:
    house.start()
    text = await house.render(body("clone-template/plain"))
    for known in ("Ada Lovelace", "Welcome to Penpot", "Website Redesign"):
        assert known in text


async def test_mentioned_people_are_looked_up_before_they_are_needed(house: House) -> None:
    house.start()
    await house.render(body("create-comment/mention"))
    (grace,) = body("create-comment/mention")["props"]["mentions"][:1]
    facts = await house.store.facts("acme", [("person", grace)])
    assert house.penpot.world.people[grace].email in facts["person", grace]


@pytest.mark.parametrize(
    "case", ["create-file/frontend", "duplicate-file/plain", "import-binfile/v3-upload"]
)
async def test_a_new_file_without_an_id_is_found_and_linked(house: House, case: str) -> None:
    event = body(case)
    at = datetime.fromisoformat(event["trackedAt"])
    name = event["props"]["name"]
    for id_, made in ((NEW, at + timedelta(milliseconds=40)), (STRANGER, at - timedelta(hours=1))):
        house.penpot.world.files[id_] = File(id_, WEB, name, created=made)
    house.start()
    text = await house.render(event)
    assert f"file-id={NEW}" in text
    assert STRANGER not in text
    assert "Ada Lovelace" in text


async def test_the_second_of_two_copies_of_one_name_gets_its_own_link(house: House) -> None:
    events = [body("duplicate-file/plain"), body("duplicate-file/plain")]
    ids = [NEW, STRANGER]
    for seconds, (event, id_) in enumerate(zip(events, ids, strict=True)):
        at = datetime.fromisoformat(event["trackedAt"]) + timedelta(seconds=3 * seconds)
        event["trackedAt"] = at.isoformat()
        made = at + timedelta(milliseconds=40)
        house.penpot.world.files[id_] = File(id_, WEB, event["props"]["name"], created=made)
    house.start()
    await house.put(*events)
    for message, id_ in zip(await house.messages(), ids, strict=True):
        assert f"file-id={id_}" in message.content.body + message.title


async def test_a_new_project_without_an_id_is_found_and_linked(house: House) -> None:
    event = body("create-project/frontend")
    at = datetime.fromisoformat(event["trackedAt"]) + timedelta(milliseconds=40)
    name, team = event["props"]["name"], event["props"]["teamId"]
    house.penpot.world.projects[NEW] = Project(NEW, team, name, created=at, modified=at)
    house.start()
    assert f"project-id={NEW}" in await house.render(event)


async def test_a_rename_keeps_the_old_name_from_an_event(house: House) -> None:
    house.start()
    renamed = body("rename-file/plain", id=LANDING)
    house.penpot.world.files[LANDING].name = renamed["props"]["name"]
    text = await house.render(
        body("update-file/plain", id=LANDING, name="The old name"),
        body("create-comment/plain"),
        renamed,
    )
    assert "The old name" in text


async def test_no_name_of_another_team_is_shown(house: House) -> None:
    house.start(team_id=RND)
    text = await house.render(body("create-comment/plain"), body("delete-file/plain"))
    assert "Website Redesign" not in text
    assert "hero spacing" not in (await house.messages())[0].content.body


async def test_no_person_of_another_team_is_shown(house: House) -> None:
    house.start(team_id=RND)
    font = body("delete-font/plain", teamId=ACME)
    text = await house.render(font)
    assert await house.store.facts("acme", [("person", font["profileId"])]) == {}
    assert text.startswith("Someone")


# The author as the sender


AS_SENDER = {"type": "slack", "token": "t", "channel": "#a", "author_as_sender": True}
BY_ADA = "create-comment-thread/plain"


async def test_a_comments_author_is_looked_up_for_a_channel_that_shows_them(house: House) -> None:
    house.start(channel=AS_SENDER)
    forged = {"ownerFullname": "Zoë Müller-O'Neill", "ownerEmail": "zoe@example.com"}
    for _ in range(3):
        await house.put(body(BY_ADA, **forged))
    authors = [message.author for message in await house.messages()]

    named = [(author.name, author.email) for author in authors if author]
    assert named == [("Ada Lovelace", "ada@example.com")] * 3
    assert house.penpot.count("get-team-members") == 1


async def test_a_channel_without_authors_costs_no_call(house: House) -> None:
    house.start(channel=AS_SENDER | {"author_as_sender": False})
    await house.put(body(BY_ADA))
    (message,) = await house.messages()
    assert message.author is None
    assert house.penpot.count("get-team-members") == 0


@pytest.mark.parametrize("case", ["a stranger", "no answer", "another team"])
async def test_an_author_whom_the_list_of_members_lacks_is_no_sender(
    house: House, case: str
) -> None:
    if case == "no answer":
        house.penpot.faults["get-team-members"] = Fault(status=500)
    house.start(channel=AS_SENDER, team_id=RND if case == "another team" else ACME)
    stranger = {"ownerId": STRANGER, "ownerFullname": "Ada Lovelace"}
    await house.put(body(BY_ADA, **stranger if case == "a stranger" else {}))
    (message,) = await house.messages()

    assert message.author is None
    assert "Ada Lovelace" in message.title


async def test_an_event_that_names_another_team_is_not_looked_up(house: House) -> None:
    house.start()
    await house.render(body("delete-font/plain", teamId=RND))
    assert house.penpot.calls == []


# The team


def list_hook(house: House, *teams: str) -> None:
    for number, team in enumerate(teams):
        id_ = f"b0000000-0000-4000-8000-00000000000{number}"
        uri = f"https://relay.example.com/hooks/acme/{SECRET}"
        house.penpot.world.webhooks[id_] = Webhook(id_, team, uri)


async def test_the_team_is_found_by_its_webhook_before_the_first_message(house: House) -> None:
    list_hook(house, ACME)
    house.start(team_id="")
    assert "Landing page" in await house.render(body("create-comment/plain"))
    assert house.penpot.count("get-webhooks") == 2
    await house.end()
    house.start(team_id="")
    house.penpot.calls.clear()
    await house.render(body("clone-template/plain"))
    assert house.penpot.calls
    assert house.penpot.count("get-webhooks") == house.penpot.count("get-teams") == 0


@pytest.mark.parametrize("teams", [(), (ACME, RND)])
async def test_nothing_is_read_for_a_hook_that_not_exactly_one_team_lists(
    house: House, teams: tuple[str, ...]
) -> None:
    list_hook(house, *teams)
    house.start(team_id="")
    for case in ("create-comment/plain", "create-comment/plain", "delete-file/plain"):
        assert "Website Redesign" not in await house.render(body(case))
    assert methods(house.penpot) == ["get-teams", "get-webhooks", "get-webhooks"]


async def test_a_slow_search_for_the_team_delays_only_the_first_messages(house: House) -> None:
    list_hook(house, ACME)
    house.penpot.faults["get-webhooks"] = Fault(hang=True)
    house.start(team_id="")
    started = time.monotonic()
    await house.render(body("create-comment/plain"))
    first = time.monotonic() - started
    assert first >= lookups.LOOKUP_TIMEOUT - 0.1
    started = time.monotonic()
    for _ in range(3):
        await house.render(body("delete-file/plain"))
    assert time.monotonic() - started < first
    assert methods(house.penpot)[:2] == ["get-teams", "get-webhooks"]
    house.penpot.faults.clear()


async def test_links_use_the_team_that_an_event_named_until_one_is_verified(house: House) -> None:
    house.start(team_id="")
    await house.render(body("create-project/frontend", teamId=RND))
    assert f"team-id={RND}" in await house.render(body("delete-file/plain", id=NEW))
    list_hook(house, ACME)
    await house.end()
    house.start(team_id="")
    await house.render(body("create-comment/plain"))
    assert f"team-id={ACME}" in await house.render(body("create-comment/plain"))


async def test_an_event_that_all_channels_skip_needs_no_call(house: House) -> None:
    house.start(events="fonts")
    await house.put(body("create-comment/plain"))
    await house.messages()
    assert house.penpot.calls == []


# Calls


async def test_names_are_looked_up_once_and_known_after_a_restart(house: House) -> None:
    house.start()
    await house.render(body("create-comment/plain"), body("delete-file/plain"))
    asked = len(house.penpot.calls)
    assert asked <= 4  # the thread's owner may be the person who deletes
    await house.render(body("create-comment/plain"), body("delete-file/plain"))
    await house.end()
    house.start()
    text = await house.render(body("create-comment/plain"))
    assert "hero spacing looks off" in text
    assert "Ada Lovelace" in await house.render(body("delete-file/plain"))
    assert len(house.penpot.calls) == asked


async def test_names_that_could_not_be_stored_are_not_looked_up_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fanout, "STORE_RETRY_DELAY", 0.01)
    write, failures = house.store.save_fan_out, [StoreUnavailable("disk full")] * 3

    async def failing(batch: Any) -> Any:
        if failures:
            raise failures.pop()
        return await write(batch)

    monkeypatch.setattr(house.store, "save_fan_out", failing)
    house.start()
    assert "Landing page" in await house.render(body("create-comment/plain"))
    await house.end()
    house.start()
    assert "Ada Lovelace" in await house.render(body("delete-file/plain"))
    assert house.penpot.count("get-comment-thread") == 1
    assert house.penpot.count("get-project") == 1


async def test_many_comments_cost_one_call_for_each_thread_and_the_people_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_TIMEOUT", 60.0)  # this is about calls, not about time
    people = list(house.penpot.world.people.values())
    events = []
    for number in range(200):
        thread = f"c0000001-5d0e-81a4-8006-{number:012x}"
        who = people[number % len(people)]
        first = Comment(str(uuid.uuid4()), who.id, f"First of {number}")
        house.penpot.world.threads[thread] = Thread(
            thread, LANDING, "5d9e4f40-5d0e-81a4-8006-9a4f00000001", "Page 1", number, [first]
        )
        event = body("create-comment/plain", threadId=thread, mentions=[people[0].id])
        for key in ("ownerId", "ownerFullname", "ownerEmail"):
            del event["props"][key]
        events.append(event | {"profileId": who.id})
    house.start()
    await house.put(*events)
    messages = await house.messages()
    assert len(messages) == 200
    for number, message in enumerate(messages):
        assert f"First of {number}" in message.content.body
        assert people[number % len(people)].fullname.split()[0] in message.title
    assert house.penpot.count("get-comment-thread") == 200
    assert len(house.penpot.calls) <= 200 + 12


async def test_a_person_who_is_no_member_is_looked_up_once(house: House) -> None:
    house.start()
    for _ in range(3):
        await house.put(body("delete-file/plain") | {"profileId": STRANGER})
        await house.messages()
    assert house.penpot.count("get-team-members") == 1


# Faults


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault(status=400), "unexpected"),
        (Fault(status=401), "refused"),
        (Fault(status=403), "refused"),
        (Fault(status=404), "nothing"),
        (Fault(status=204), "nothing"),
        (Fault(status=429), "busy"),
        (Fault(status=500), "busy"),
        (Fault(status=503), "busy"),
        (Fault(cut=True), "busy"),
        (Fault(garbage=b"SSH-2.0-OpenSSH_9.2\r\n"), "busy"),
    ],
    ids=lambda value: str(getattr(value, "status", "")) or None,
)
async def test_the_message_is_sent_whatever_penpot_answers(
    house: House, fault: Fault, outcome: str
) -> None:
    house.penpot.faults["*"] = fault
    house.start()
    await house.put(body("create-comment/plain"), body("delete-file/plain"))
    reply, deleted = await house.messages()
    assert "Fixed, please look again." in reply.content.body
    assert "Landing page" in deleted.title
    assert house.counted(outcome) >= 1
    before = len(house.penpot.calls)
    await house.put(body("create-comment/plain"))
    assert len(await house.messages()) == 3
    assert len(house.penpot.calls) == before  # the same event again needs no call


async def test_a_failed_method_does_not_stop_the_others(house: House) -> None:
    house.penpot.faults["get-file-libraries"] = Fault(status=500)
    house.start()
    await house.put(body("link-file-to-library/plain"))
    await house.messages()
    assert house.penpot.count("get-file-libraries") == 1
    assert "Landing page" in await house.render(body("create-comment/plain"))
    await house.render(body("link-file-to-library/plain", libraryId=NEW))
    assert house.penpot.count("get-file-libraries") == 1


async def test_an_unreachable_penpot_delays_nothing(house: House) -> None:
    house.start()
    with house.penpot.down():
        await house.put(*[body("create-comment/plain")] * 50)
        assert len(await house.messages(20)) == 50
    assert house.counted("busy") >= 1


async def test_a_lost_permission_means_an_unknown_name(house: House) -> None:
    del house.penpot.world.teams[ACME].members[house.penpot.world.me]
    house.start()
    assert "replied" in await house.render(body("create-comment/plain"))
    assert house.counted("nothing") >= 1


async def test_a_hanging_penpot_delays_one_event_and_not_the_next(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.penpot.faults["*"] = Fault(hang=True)
    house.start()
    started = time.monotonic()
    await house.put(*(body("create-comment/plain", content=f"No {n}") for n in range(200)))
    assert len(await house.messages()) == 200
    assert lookups.LOOKUP_TIMEOUT - 0.1 <= time.monotonic() - started < 4 * lookups.LOOKUP_TIMEOUT
    started = time.monotonic()
    await house.put(body("delete-file/plain"))
    *messages, _ = await house.messages()
    assert time.monotonic() - started < lookups.LOOKUP_TIMEOUT * 0.9
    numbers = [f"No {n}" in message.content.body for n, message in enumerate(messages)]
    assert all(numbers)
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warned) == 1


async def test_a_slow_penpot_is_still_asked(house: House, caplog: pytest.LogCaptureFixture) -> None:
    events, event_of = [], body("create-comment/plain")
    for number in range(70):  # more than it answers within the timeout of one event
        thread = f"c0000001-5d0e-81a4-8006-{number:012x}"
        first = Comment(thread, event_of["profileId"], f"First of {number}")
        house.penpot.world.threads[thread] = Thread(
            thread, LANDING, "5d9e4f40-5d0e-81a4-8006-9a4f00000001", "Page 1", number, [first]
        )
        events.append(body("create-comment/plain", threadId=thread))
    house.penpot.latency = 0.35
    house.start()
    await house.put(*events)
    messages = await house.messages()
    assert len(messages) == 70
    assert "First of 0" in messages[0].content.body
    async with asyncio.timeout(20):  # late answers are known to the next event
        while house.counted("found") < 71:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert "First of 60" in await house.render(events[60])
    assert house.penpot.count("get-comment-thread") == 70
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_events_before_one_with_lookups_do_not_wait(house: House) -> None:
    house.start()
    await house.render(body("create-comment/plain"))
    house.penpot.latency = 0.5
    await house.put(body("create-comment/plain"), body("clone-template/plain"))
    await asyncio.sleep(0.25)
    assert [stored.id for stored in await house.store.stored_events(9)] == [3]
    assert "Welcome to Penpot" in await house.render()


async def test_lookups_of_later_events_run_concurrently(house: House) -> None:
    house.start()
    house.penpot.latency = 0.3
    for case in ("clone-template/plain", "create-comment/plain", "create-project/frontend"):
        await house.put(body(case))
        await asyncio.sleep(0.05)
    await house.messages()
    assert house.penpot.max_concurrent >= 3


@pytest.mark.parametrize("key", ["threadId", "fileId"])
async def test_many_lookups_of_one_team_do_not_delay_another(
    store: SqliteStore, penpot: StandIn, key: str
) -> None:
    """Neither those of threads, nor those that only ask for the teams of unknown files."""
    penpot.latency = 0.1
    asked = asking(store, penpot)
    done: list[str] = []

    async def fill(team: str, number: int) -> None:
        changes = {key: f"11111111-2222-4333-8444-{number:012}"}
        event = normalize(body("create-comment/plain", **changes))
        await asked.fill(event, team, ACME, time.time(), lambda: None)
        done.append(team)

    busy = [asyncio.create_task(fill("acme", number)) for number in range(60)]
    await asyncio.sleep(0.02)
    await fill("rnd", 99)
    assert len(done) < 30
    assert penpot.max_concurrent <= lookups.MAX_TEAM_CALLS + 1
    await asyncio.gather(*busy)
    await asked.close()


def asking(store: SqliteStore, penpot: StandIn, token: str = TOKEN, team_id: str = ACME) -> Lookups:
    team = {"secret": SECRET} | ({"team_id": team_id} if team_id else {})
    config = Config.model_validate({"teams": {"acme": team}})
    directory = TeamDirectory(config, store, None, time.time)
    api = PenpotClient(penpot.url, token)
    return Lookups(api, FactCache(store), store, Metrics(), directory)


async def is_unanswered(asked: Lookups) -> bool:
    event = normalize(body("create-comment/plain"))
    return (await asked.fill(event, "acme", ACME, time.time(), lambda: None)).is_unanswered


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault(), False),
        (Fault(status=404), False),
        (Fault(status=204), False),
        (Fault(status=403), False),
        (Fault(answer=Answer(b"<html>Please log in</html>", 401, "text/html")), False),
        (Fault(answer=Answer(b"<html>Maintenance</html>", 200, "text/html")), True),
        (Fault(status=429), True),
        (Fault(status=500), True),
        (Fault(status=503), True),
        (Fault(hang=True), True),
        (Fault(cut=True), True),
        (Fault(garbage=b"SSH-2.0-OpenSSH_9.2\r\n"), True),
    ],
    ids=lambda value: str(getattr(value, "status", "")) or None,
)
async def test_what_penpot_could_not_answer_is_no_answer_while_calls_pause(
    store: SqliteStore, penpot: StandIn, fault: Fault, expected: bool
) -> None:
    penpot.faults["*"] = fault
    asked = asking(store, penpot)
    assert [await is_unanswered(asked) for _ in range(3)] == [expected] * 3
    nothing_to_ask = await asked.fill(Event("x"), "acme", ACME, time.time(), lambda: None)
    assert not nothing_to_ask.is_unanswered
    await asked.close()


async def test_a_refused_token_is_an_answer_while_calls_pause(
    store: SqliteStore, penpot: StandIn
) -> None:
    asked = asking(store, penpot, token="revoked")
    assert [await is_unanswered(asked) for _ in range(2)] == [False, False]
    assert asked.is_paused
    await asked.close()


async def test_a_search_for_the_team_is_unanswered_until_all_lists_were_read(
    store: SqliteStore, penpot: StandIn
) -> None:
    penpot.faults["*"] = Fault(status=503)
    asked = asking(store, penpot, team_id="")
    assert await asked.find_team("acme", lambda: None) == ""
    assert await asked.is_search_unanswered("acme")
    await asked.close()
    penpot.faults.clear()
    asked = asking(store, penpot, team_id="")
    assert await asked.find_team("acme", lambda: None) == ""  # no team lists the hook
    assert not await asked.is_search_unanswered("acme")
    await asked.close()


async def test_a_refused_token_is_logged_once_and_so_is_the_recovery(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PenpotRefused, "delay", 0.2)
    caplog.set_level(logging.INFO, "relay")
    house.start(token="revoked")
    for _ in range(3):
        await house.put(*[body("create-comment/plain")] * 5)
        await house.messages()
        await asyncio.sleep(0.25)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "penpot.access_token" in errors[0].getMessage()
    assert "revoked" not in caplog.text.replace("expired or revoked", "")
    house.penpot.token = "revoked"
    assert "Landing page" in await house.render(body("create-comment/plain"))
    again = [record for record in caplog.records if "answers again" in record.getMessage()]
    assert len(again) == 1
    assert again[0].levelno == logging.INFO


async def test_a_login_in_front_of_penpot_is_not_logged_as_a_refused_token(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    page = Answer(b"<html>Please log in</html>", 401, "text/html")
    house.penpot.faults["*"] = Fault(answer=page)
    house.start()
    await house.render(body("create-comment/plain"))
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "The token is not the cause" in error.getMessage()
    assert "refuses the access token" not in error.getMessage()
    assert "Create an access token" not in error.getMessage()


async def test_retry_after_is_respected(house: House) -> None:
    house.penpot.faults["*"] = Fault(status=429, times=1)  # with Retry-After: 30
    house.start()
    await house.put(body("clone-template/plain"))
    await house.messages()
    asked = len(house.penpot.calls)
    await house.put(body("create-comment/plain"), body("delete-file/plain"))
    await house.messages()
    assert len(house.penpot.calls) == asked


async def test_a_bug_in_lookups_loses_no_message(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(lookups, "lookup_plan", failing)
    house.start()
    assert "replied" in await house.render(body("create-comment/plain"))
    assert "ZeroDivisionError" in caplog.text


async def test_it_stops_immediately_while_penpot_hangs(house: House) -> None:
    house.penpot.faults["*"] = Fault(hang=True)
    house.start()
    await house.put(body("create-comment/plain"))
    await asyncio.sleep(0.2)
    started = time.monotonic()
    await house.end()
    assert time.monotonic() - started < lookups.LOOKUP_TIMEOUT * 0.9
    assert len(await house.store.stored_events(9)) == 1  # its lookups run after the next start
    house.penpot.faults.clear()
    house.start()
    assert "Landing page" in await house.render()


# The service


def test_a_service_with_a_token_adds_missing_names(tmp_path: Path, penpot: StandIn) -> None:
    channel = (
        '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\n'
        'activity = "each"\n'
    )
    service = Service(tmp_path, channel, extra=f'access_token = "{TOKEN}"')
    hook = "b0000000-0000-4000-8000-000000000001"
    penpot.world.webhooks[hook] = Webhook(hook, ACME, service.hook)
    config = service.config.read_text()
    service.config.write_text(config.replace("http://penpot.example", penpot.url))
    service.start()
    try:
        for case in ("create-comment/plain", "delete-file/plain"):
            assert service.post(json.dumps(body(case)).encode()) == 204
        wait_until(lambda: "deleted" in service.output.read_text(), 30)
    finally:
        service.stop()
    text = service.output.read_text()
    for known in ("hero spacing looks off", "Ada Lovelace", "Website Redesign"):
        assert known in text
    assert penpot.count("get-comment-thread") == penpot.count("get-project") == 1


def test_without_a_token_no_http_client_is_loaded() -> None:
    code = (
        "import sys; from relay.app import build; from relay.config.settings import Config\n"
        f"build(Config.model_validate({{'teams': {{'acme': {{'secret': '{SECRET}'}}}}}}))\n"
        "sys.exit('httpx' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_the_store_has_the_state_of_penpot(house: House) -> None:
    house.penpot.faults["*"] = Fault(status=401)
    house.start()
    await house.render(body("create-comment/plain"))
    await wait_for_state(house, "the access token is unknown to Penpot, expired or revoked")
    await house.end()
    house.penpot.faults.clear()
    house.start()
    await house.render(body("create-comment/plain", id=NEW))
    await wait_for_state(house, "")


async def test_the_state_of_penpot_is_stored_once_the_store_can_be_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise `relay doctor` would report an outage that is over."""
    monkeypatch.setattr(lookups, "STORE_RETRY_DELAY", 0.05)
    refusals = [StoreUnavailable("disk full")] * 3
    put_value = house.store.put_value

    async def refuse(key: str, value: str) -> None:
        if key == lookups.PENPOT_STATE_KEY and refusals:
            raise refusals.pop()
        await put_value(key, value)

    monkeypatch.setattr(house.store, "put_value", refuse)
    house.start()
    await house.render(body("create-comment/plain"))
    await wait_for_state(house, "")
    assert refusals == []


async def wait_for_state(house: House, value: str) -> None:
    async with asyncio.timeout(20):
        stored = None
        while stored is None or stored.value != value:
            await asyncio.sleep(0.01)
            stored = await house.store.get_value(lookups.PENPOT_STATE_KEY)


async def test_new_projects_are_looked_up_after_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = house.penpot.world
    monkeypatch.setattr(lookups, "REPEAT_INTERVAL", 1.0)
    house.start()
    unlinked = body("unlink-file-from-library/plain", fileId=LANDING)
    unlinked["props"]["libraryId"] = STRANGER
    assert "from a library" in await house.render(unlinked)
    project = "3b7c2d20-5d0e-81a4-8006-9a2f00000aaa"
    world.projects[project] = Project(project, ACME, "New")
    world.files[NEW] = File(NEW, project, "New kit", is_shared=True)
    unlinked["props"]["libraryId"] = NEW
    await asyncio.sleep(1.1)
    assert "New kit" in await house.render(unlinked)


async def test_a_missed_rename_of_a_project_is_noticed_within_a_day(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.start()
    assert "Website Redesign" in await house.render(body("create-comment/plain"))
    house.penpot.world.projects[WEB].name = "Website 2027"
    await house.end()

    monkeypatch.setattr(lookups, "NAMES_TTL", 0.0)
    house.start()
    async with asyncio.timeout(20):
        while "Website 2027" not in await house.render(body("create-comment/plain")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_an_answer_does_not_replace_a_newer_name_of_a_project(house: House) -> None:
    house.start()
    cache = FactCache(house.store)
    renamed = normalize(body("rename-project/plain", id=WEB, name="New"))
    asked_at = time.monotonic()
    await cache.new_facts(renamed, "acme")
    for asked, name in ((asked_at, "New"), (time.monotonic(), "Old")):
        await cache.add("acme", [Fact.of("project", WEB, "Old")], asked)
        seen = await cache.enriched(replace(renamed, project=Subject(WEB)), "acme", "", "")
        assert seen.project.name == name


async def test_a_teams_people_are_looked_up_again_after_a_day(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.start()
    await house.render(body("delete-file/plain"))
    assert house.penpot.count("get-team-members") == 1
    person = next(iter(house.penpot.world.people.values()))
    await house.end()

    house.start()
    await house.render(body("delete-file/plain", modifiedAt="2026-01-01T00:00:00Z"))
    await asyncio.sleep(0.2)
    assert house.penpot.count("get-team-members") == 1
    await house.end()

    for member in house.penpot.world.people.values():
        member.fullname = f"New {member.fullname}"
    monkeypatch.setattr(lookups, "NAMES_TTL", 0.0)
    house.start()
    before = await house.render(body("delete-file/plain", modifiedAt="2026-01-02T00:00:00Z"))
    assert "New " not in before
    async with asyncio.timeout(20):
        text = ""
        while "New " not in text:
            await asyncio.sleep(0.05)
            text = await house.render(body("delete-file/plain", createdAt=uuid.uuid4().hex))
    assert person.fullname.startswith("New ")
