"""Comments that are resolved, reopened, edited and deleted, end to end: a real service, stopped and
killed in between, and the resulting messages in Slack, Matrix and email."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.store import store_at
from tests.penpot import own
from tests.penpot.people import People
from tests.penpot.standin import TOKEN as PENPOT_TOKEN
from tests.penpot.standin import StandIn
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import TOKEN, Slack
from tests.servers.slack_rules import rich_inlines
from tests.servers.smtp import MailServer
from tests.servers.synapse import Person, Synapse
from tests.service import Service, wait_until


@dataclass
class Team:
    """A team's service and its channels' servers."""

    service: Service
    slack: Slack
    ada: Person
    room: str
    mail: MailServer

    def post(self, *bodies: bytes) -> None:
        """Post events and wait until no delivery waits."""
        for body in bodies:
            assert self.service.post(body) == 204
        self.settle()

    def settle(self) -> None:
        async def waits() -> bool:
            store = store_at(self.service.store)
            await store.open(service=False)
            try:
                return bool(await store.stored_events(1) or await store.waiting_queues())
            finally:
                await store.close()

        wait_until(lambda: not asyncio.run(waits()), 20)

    def in_slack(self) -> list[str]:
        """The current text of each message, oldest first, without footer."""
        return [slack_words(message) for message in self.slack.shown.values()]

    def in_matrix(self) -> list[str]:
        texts = self.ada.sees(self.room).values()
        return [re.sub(r"\n\n[^\n]*Open in Penpot.*", "", text) for text in texts]

    def subjects(self) -> list[str]:
        return [message.parsed()["Subject"] for message in self.mail.mails]


def slack_words(message: dict[str, object]) -> str:
    inlines = rich_inlines(message["blocks"])
    return "".join(str(part.get("text", f"<{part.get('user_id')}>")) for part in inlines)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def team(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    slack_server: RunningSlack,
    synapse: Synapse,
    mail_server: Callable[..., MailServer],
) -> Iterator[Team]:
    ada, bot = synapse.register("ada"), synapse.register("bot")
    room = ada.create_room(invite=(bot.id,))
    mail = mail_server()
    kept = request.getfixturevalue("postgres").fresh() if request.param == "PostgreSQL" else ""
    service = Service(
        tmp_path,
        f"""
[people]
"{own.ADA}" = {{ slack = "U0ADA0000", matrix = "{ada.id}" }}
[[teams.acme.channels]]
name = "slack"
type = "slack"
token = "{TOKEN}"
channel = "#design"
api_url = "{slack_server.api_url}"
pace = 6000
[[teams.acme.channels]]
name = "room"
type = "matrix"
homeserver = "{synapse.url}"
access_token = "{bot.token}"
room = "{room}"
[[teams.acme.channels]]
name = "mail"
type = "email"
to = ["design@example.com"]
sender = "penpot@example.com"
smtp = {{ host = "127.0.0.1", port = {mail.port}, tls = "none" }}
""",
        store=kept,
    )
    service.start()
    yield Team(service, slack_server.slack, ada, room, mail)
    service.stop()


HEAD = "Ada Lovelace commented on Landing page · Page 1 · #15"
LATER = f"@[Ada Lovelace]({own.ADA}), fixed for all sizes."


def test_readers_see_the_current_state(team: Team) -> None:
    team.post(own.THREAD, own.REPLY)
    root, answer = team.slack.shown
    team.post(
        own.reply(
            "update-comment",
            content=LATER,
            mentions=[own.ADA],
            previousContent="Fixed, please look again.",
        ),
        own.thread("resolve-comment-thread", isResolved=True),
    )

    assert team.in_slack() == [
        f"{HEAD} · ✓ resolvedThe hero spacing looks off on mobile.",
        "Zoë Müller-O'Neill replied · edited<U0ADA0000>, fixed for all sizes.",
        "A comment by Zoë Müller-O'Neill was edited<U0ADA0000>, fixed for all sizes.",
        "✓ Resolved",
    ]
    assert {message.get("thread_ts") for message in list(team.slack.shown.values())[1:]} == {root}
    first, second, line = team.in_matrix()
    assert "· ✓ resolved" in first
    assert second.endswith("> @Ada Lovelace, fixed for all sizes.")
    assert "edited" not in second  # clients say so themselves
    assert line == "✓ Resolved"
    assert len(team.ada.pings()) == 1
    assert team.subjects() == [
        "Ada Lovelace commented on a file",
        "Re: Ada Lovelace commented on a file",
        "Re: Ada Lovelace commented on a file",
    ]

    team.service.stop()
    team.service.start()
    team.post(own.thread("reopen-comment-thread", isResolved=False), own.reply("delete-comment"))

    assert team.in_slack() == [
        f"{HEAD}The hero spacing looks off on mobile.",
        "A comment by Zoë Müller-O'Neill was deleted",
        "A comment by Zoë Müller-O'Neill was deleted",
        "✓ Resolved",
        "↺ Reopened",
    ]
    first, *others = team.in_matrix()
    assert "✓" not in first
    assert others == ["", "", "✓ Resolved", "↺ Reopened"]  # the message and its change
    assert "fixed for all sizes" not in str(team.ada.messages(team.room))

    team.post(own.thread("delete-comment-thread"))

    assert team.in_slack()[:2] == ["Thread #15 on Landing page · Page 1 was deleted", "Deleted"]
    assert "hero spacing" not in str(team.slack.shown)
    assert "hero spacing" not in str(team.ada.messages(team.room))
    assert set(team.in_matrix()) == {"", "✓ Resolved", "↺ Reopened"}
    assert len(team.mail.mails) == 4
    assert answer in team.slack.posted


def test_an_edit_that_a_kill_interrupts_is_made_after_the_restart(team: Team) -> None:
    team.post(own.THREAD)
    team.slack.next.extend(["fatal_error"])
    edits = [
        own.first("update-comment", content=f"Version {number}", previousContent="before")
        for number in range(8)
    ]
    for number, body in enumerate(edits):
        assert team.service.post(body) == 204
        if number in (2, 5):
            team.service.kill()
            team.service.start()
    team.post(own.thread("resolve-comment-thread", content="Version 7", isResolved=True))

    (first, line) = team.in_slack()
    assert first == f"{HEAD} · edited · ✓ resolvedVersion 7"
    assert line == "✓ Resolved"
    assert [text.splitlines()[-1] for text in team.in_matrix()] == ["> Version 7", "✓ Resolved"]
    assert len(team.mail.mails) == 2


def test_changes_in_penpot_show_within_half_a_minute(
    tmp_path: Path, slack_server: RunningSlack, synapse: Synapse
) -> None:
    ada, bot = synapse.register("ada"), synapse.register("bot")
    room = ada.create_room(invite=(bot.id,))
    slack = slack_server.slack
    with StandIn() as penpot:
        landing = penpot.world.by_name("files", "landing")
        people = People(penpot.world, landing, datetime.now(UTC))
        service = Service(
            tmp_path,
            f"""
team_id = "{penpot.world.by_name("teams", "acme")}"
[[teams.acme.channels]]
name = "slack"
type = "slack"
token = "{TOKEN}"
channel = "#design"
api_url = "{slack_server.api_url}"
[[teams.acme.channels]]
name = "room"
type = "matrix"
homeserver = "{synapse.url}"
access_token = "{bot.token}"
room = "{room}"
""",
            penpot=f'url = "{penpot.url}"\naccess_token = "{PENPOT_TOKEN}"',
        )
        service.start()
        try:
            wait_until(lambda: "team acme: first scan done" in service.log.read_text(), 20)
            thread, begun = people.begin("Too dark")
            for body in (begun, people.reply(thread, "Better now?")):
                assert service.post(json.dumps(body).encode()) == 204
            wait_until(lambda: len(slack.shown) == len(ada.messages(room)) == 2, 20)
            people.edit(thread, 1, "Better by now?")
            people.resolve(thread)
            wait_until(lambda: "✓ Resolved" in map(slack_words, slack.shown.values()), 30)
            wait_until(lambda: len(ada.messages(room)) == 5, 30)
            first, answer, _ = ada.sees(room).values()
            service.kill()
            people.resolve(thread, resolved=False)
            people.delete(thread, 1)
            service.start()
            wait_until(lambda: "" in ada.sees(room).values(), 30)
            wait_until(lambda: "↺ Reopened" in map(slack_words, slack.shown.values()), 30)
        finally:
            service.stop()

    assert "✓ resolved" in first
    assert answer.endswith("> Better by now?")
    shown = [slack_words(message) for message in slack.shown.values()]
    assert "✓" not in shown[0]
    assert shown[1] == "A comment by Ada Lovelace was deleted"
    assert sorted(shown[2:]) == ["↺ Reopened", "✓ Resolved"]
    assert "Better by now?" not in str(ada.messages(room))
