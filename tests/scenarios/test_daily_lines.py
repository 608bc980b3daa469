"""Daily lines of a real service that is killed in between: in Slack, in Matrix, and by mail at the
end of the day."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from relay.penpot.samples import SAMPLES
from tests.servers.channels import mail_channel, matrix_channel, slack_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer
from tests.servers.postgres import Postgres
from tests.servers.slack_rules import rich_words
from tests.servers.smtp import MailServer
from tests.servers.synapse import Synapse
from tests.service import Service, wait_until

HOUR = 3600
EVENTS = '["files", "projects", "libraries"]'


class Day:
    """A service whose clock shows noon, UTC, when the test begins."""

    def __init__(self, folder: Path, channels: str, store: str = "") -> None:
        self.offset = folder / "offset"
        self.service = Service(folder, channels, store=store)
        self.service.command = [sys.executable, "-m", "tests.faults.clocked", str(self.offset)]
        now = datetime.now(UTC)
        self.noon = now.replace(hour=12, minute=0, second=0)
        self._to_noon = (self.noon - now).total_seconds()
        self.number = 0
        self.set(0)

    def set(self, hours: float) -> None:
        """The hours since noon."""
        self.offset.write_text(str(self._to_noon + hours * HOUR))

    def post(self, *names: str) -> None:
        """Each event once it is fanned out."""
        for name in names:
            self.number += 1
            body = dict(SAMPLES[name]) | {"number": self.number}
            assert self.service.post(json.dumps(body).encode()) == 204
            wait_until(lambda: "stored\n" not in self.log(), 20)

    def log(self, *options: str) -> str:
        return self.service.run("log", *options).stdout


@contextmanager
def running(day: Day) -> Iterator[Day]:
    day.service.start()
    try:
        yield day
    finally:
        day.service.end()


def test_slack_shows_one_message_that_is_edited(tmp_path: Path, slack_server: RunningSlack) -> None:
    slack = slack_server.slack
    channel = slack_channel(slack_server.api_url, pace=6000, activity="daily")
    with running(Day(tmp_path, f"{channel}events = {EVENTS}\n")) as day:
        day.post("update-file")
        wait_until(lambda: len(slack.shown) == 1, 20)
        (first,) = slack.shown.values()
        assert rich_words(first["blocks"]).startswith("✏️ Someone worked on Landing page")
        assert "times" not in rich_words(first["blocks"])

        day.post("update-file", "rename-project")  # another line
        wait_until(lambda: len(slack.shown) == 2, 20)
        line = next(iter(slack.shown))

        def words() -> str:
            return rich_words(slack.shown[line]["blocks"])

        wait_until(lambda: "2 times, last at 12:" in words(), 20)
        assert "thread_ts" not in slack.shown[line]

        # Only the latest of the edits that wait for a server that is down is made.
        edits = slack.calls.count("chat.update")
        slack.next.extend([Answer(b"", 503)] * 1000)
        day.post("update-file")
        wait_until(lambda: len(slack.next) < 1000, 20)
        day.post("update-file", "update-file", "rename-file")
        slack.next.clear()
        wait_until(lambda: "6 times" in words(), 30)
        assert slack.calls.count("chat.update") == edits + 1
        assert "renamed from Landing page" in words()
        assert len(slack.messages) == 2
        log = day.log()
        assert log.count("replaced by a later one") == 3
        assert "dead" not in log

        day.service.kill()
        day.service.start()
        day.post("update-file")
        wait_until(lambda: "7 times" in words(), 20)

        del slack.shown[line]  # somebody deletes the message
        day.post("update-file")
        wait_until(lambda: len(slack.messages) == 3, 20)
        line = list(slack.shown)[-1]
        assert "8 times" in words()
        slack.uneditable.add(line)
        day.post("update-file")
        wait_until(lambda: len(slack.messages) == 4, 20)
        line = list(slack.shown)[-1]
        day.post("update-file")
        wait_until(lambda: "10 times" in words(), 20)

        day.service.kill()
        day.set(13)  # at one o'clock
        day.service.start()
        day.post("update-file")
        wait_until(lambda: len(slack.messages) == 5, 20)
        assert "times" not in rich_words(list(slack.shown.values())[-1]["blocks"])
        assert "10 times" in words()


def test_matrix_shows_one_message_that_is_edited(tmp_path: Path, synapse: Synapse) -> None:
    ada, bot = synapse.register("ada"), synapse.register("bot")
    room = ada.create_room(invite=(bot.id,))
    with running(Day(tmp_path, f"{matrix_channel(synapse, bot, room)}events = {EVENTS}\n")) as day:
        day.post("update-file", "update-file", "rename-file")

        def seen() -> list[str]:
            return list(ada.sees(room).values())

        wait_until(lambda: any("3 times" in text for text in seen()), 30)
        (text,) = seen()
        assert "worked on Landing page, autumn" in text
        assert "renamed from Landing page" in text


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_mail_gets_the_lines_when_the_day_is_over(
    tmp_path: Path,
    mail_server: Callable[..., MailServer],
    engine: str,
    request: pytest.FixtureRequest,
) -> None:
    """The service is killed while it counts, and is off when the day ends."""
    mail, store = mail_server(), ""
    if engine == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        store = postgres.fresh()
    channel = f"{mail_channel(mail)}events = {EVENTS}\n"
    with running(Day(tmp_path, channel, store)) as day:
        day.post("update-file", "update-file", "rename-project")
        day.service.kill()
        day.set(3)
        day.service.start()
        day.post("update-file", "create-file")
        wait_until(lambda: len(mail.mails) == 1, 20)  # what is no activity
        held = day.log("--state", "held")
        assert held.count("acme/mail  held until ") == 2
        states = day.log()
        assert states.count("part of a daily line: mail") == 4
        page = httpx.get(f"{day.service.admin}/inspector").text
        assert page.count("part of a daily line</span></a>") == 2
        assert 'href="/inspector/events/1"><span class="name">mail' in page

        day.service.kill()
        day.set(12.5)  # half an hour after midnight
        day.service.start()
        wait_until(lambda: len(mail.mails) == 2, 30)
        wait_until(lambda: "held" not in day.log(), 20)
        day.service.kill()
        day.set(13)
        day.service.start()
        day.post("update-file")
        wait_until(lambda: "held until" in day.log(), 20)
    assert len(mail.mails) == 2
    text = mail.mails[1].parsed().get_body(("plain",)).get_content()
    assert "Someone worked on Landing page (http" in text
    assert f"3 times, last {day.noon.day} {day.noon:%b}, 15:" in text
    assert "Website Redesign" in text
