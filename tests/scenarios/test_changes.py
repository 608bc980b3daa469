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
from tests.servers.channels import mail_channel, matrix_channel, slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import Slack
from tests.servers.slack_rules import rich_words
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
        return words(self.slack)

    def in_matrix(self) -> list[str]:
        """Without the place and the address at the end."""
        texts = self.ada.sees(self.room).values()
        return [re.sub(r"\n\n([^\n]*\n)?https?://.*", "", text) for text in texts]

    def subjects(self) -> list[str]:
        return [message.parsed()["Subject"] for message in self.mail.mails]


def words(slack: Slack) -> list[str]:
    return [rich_words(message["blocks"]) for message in slack.shown.values()]


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
    people = f'[people]\n"{own.ADA}" = {{ slack = "U0ADA0000", matrix = "{ada.id}" }}\n'
    channels = (
        slack_channel(slack_server.api_url, pace=6000),
        matrix_channel(synapse, bot, room),
        mail_channel(mail),
    )
    service = Service(tmp_path, people + "".join(channels), store=kept)
    service.start()
    yield Team(service, slack_server.slack, ada, room, mail)
    service.stop()


HEAD = "Ada Lovelace commented on Landing page · Page 1 · #15"
RESOLVED = "✅ Resolved · Landing page · Page 1 · #15"
HERO = "The hero spacing looks off on mobile."
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
        f"{RESOLVED}Ada Lovelace: The hero spacing looks off on mobile.",
        "Zoë Müller-O'Neill replied · edited<U0ADA0000>, fixed for all sizes.",
        "Zoë Müller-O'Neill edited a comment<U0ADA0000>, fixed for all sizes.",
        "✅ Resolved",
    ]
    assert {message.get("thread_ts") for message in list(team.slack.shown.values())[1:]} == {root}
    first, second, line = team.in_matrix()
    assert first == f"Resolved on Landing page #15: {HERO}\n\n> Ada Lovelace: {HERO}"
    assert second.endswith("on Landing page #15: @Ada Lovelace, fixed for all sizes.")
    assert "edited" not in second  # clients say so themselves
    assert line == "Resolved on Landing page #15"
    assert len(team.ada.pings()) == 1
    assert team.subjects() == [
        "[acme] #15: The hero spacing looks off on mobile.",
        *["Re: [acme] #15: The hero spacing looks off on mobile."] * 2,
    ]

    team.service.stop()
    team.service.start()
    team.post(own.thread("reopen-comment-thread", isResolved=False), own.reply("delete-comment"))

    assert team.in_slack() == [
        f"{HEAD}The hero spacing looks off on mobile.",
        "Zoë Müller-O'Neill deleted this comment",
        "✅ Resolved",
        "🔄 Reopened",
    ]
    first, *others = team.in_matrix()
    assert first == f"Ada Lovelace on Landing page: {HERO}"
    states = ["Resolved on Landing page #15", "Reopened on Landing page #15"]
    assert others == ["", "", *states]  # the message and its change
    assert "fixed for all sizes" not in str(team.ada.messages(team.room))

    team.post(own.thread("delete-comment-thread"))

    assert team.in_slack() == [
        "Ada Lovelace deleted the thread #15 on Landing page · Page 1",
        "✅ Resolved",
        "🔄 Reopened",
    ]
    assert "hero spacing" not in str(team.slack.shown)
    assert "hero spacing" not in str(team.ada.messages(team.room))
    assert set(team.in_matrix()) == {"", *states}
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
    assert first == f"{RESOLVED}Ada Lovelace: Version 7"
    assert line == "✅ Resolved"
    assert team.in_matrix() == [
        "Resolved on Landing page #15: Version 7\n\n> Ada Lovelace: Version 7",
        "Resolved on Landing page #15",
    ]
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
        team_id = f'team_id = "{penpot.world.by_name("teams", "acme")}"\n'
        channels = slack_channel(slack_server.api_url), matrix_channel(synapse, bot, room)
        service = Service(
            tmp_path,
            team_id + "".join(channels),
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
            wait_until(lambda: "✅ Resolved" in words(slack), 30)
            wait_until(lambda: len(ada.messages(room)) == 5, 30)
            first, answer, _ = ada.sees(room).values()
            service.kill()
            people.resolve(thread, resolved=False)
            people.delete(thread, 1)
            service.start()
            wait_until(lambda: "" in ada.sees(room).values(), 30)
            wait_until(lambda: "🔄 Reopened" in words(slack), 30)
        finally:
            service.stop()

    assert first.startswith(
        "Resolved on Landing page #101: Too dark\n\n> Ada Lovelace: Too dark\n\n"
    )
    assert ": Better by now?\n\n" in answer
    shown = words(slack)
    assert "✅" not in shown[0]
    assert shown[1] == "Ada Lovelace deleted this comment"
    assert sorted(shown[2:]) == ["✅ Resolved", "🔄 Reopened"]
    assert "Better by now?" not in str(ada.messages(room))
