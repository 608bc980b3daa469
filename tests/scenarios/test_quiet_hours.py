"""Quiet hours of a running service: nothing early, nothing lost, and comments' latest text."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.channels.email.parts import text_of
from tests.penpot import own
from tests.servers.channels import mail_channel
from tests.servers.fixtures import RunningSlack
from tests.servers.postgres import Postgres
from tests.servers.slack import TOKEN
from tests.servers.smtp import MailServer
from tests.service import Service, wait_until

HOUR = 3600
OTHER = "6eaf5050-5d0e-81a4-8006-9a5f0000beef"


def event(number: int) -> bytes:
    return b'{"name": "create-project", "props": {"name": "Project %d"}}' % number


def is_held(service: Service, count: int) -> bool:
    return service.run("log").stdout.count("  held until ") == count


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_kills_release_nothing_early_and_lose_nothing(
    tmp_path: Path, slack_server: RunningSlack, engine: str, request: pytest.FixtureRequest
) -> None:
    store = ""
    if engine == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        store = postgres.fresh()
    now = datetime.now(UTC)
    begin, end = (now + timedelta(hours=hours) for hours in (-1, 3))
    keys = (
        f'name = "design"\ntype = "slack"\ntoken = "{TOKEN}"\nchannel = "C0DESIGN0"\n'
        f'api_url = "{slack_server.api_url}"\nquiet = ["{begin:%H:%M}-{end:%H:%M}"]\n'
    )
    offset = tmp_path / "offset"
    service = Service(tmp_path, f"[[teams.acme.channels]]\n{keys}", store=store)
    service.command = [sys.executable, "-m", "tests.faults.clocked", str(offset)]
    posted = 0
    try:
        for hours in (0, 1, 2):
            offset.write_text(str(hours * HOUR))
            service.start()
            for _ in range(2):
                posted += 1
                assert service.post(event(posted)) == 204
            wait_until(partial(is_held, service, posted), 60)
            assert service.log.read_text().count(" is held until ") == posted
            assert "waiting" not in service.run("log").stdout
            pages = [
                httpx.get(f"{service.admin}/inspector{path}").text
                for path in ("", "?state=held", "/teams/acme", f"/events/{posted}")
            ]
            until = f'<time datetime="{end:%Y-%m-%dT%H:%M}:00'
            assert all(until in page for page in pages)
            assert pages[1].count(f"held until {until}") == posted
            time.sleep(1)
            assert slack_server.slack.messages == []
            service.kill()
        offset.write_text(str(4 * HOUR))
        service.start()
        wait_until(lambda: len(slack_server.slack.messages) > 0, 30)
        wait_until(lambda: "held" not in service.run("log").stdout, 30)
    finally:
        service.end()
    (digest,) = slack_server.slack.messages
    assert all(f"Project {number}" in str(digest) for number in range(1, posted + 1))
    assert service.run("log").stdout.count("  sent") == posted


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_the_mails_of_the_morning_have_the_latest_text_only(
    tmp_path: Path,
    mail_server: Callable[..., MailServer],
    engine: str,
    request: pytest.FixtureRequest,
) -> None:
    store = request.getfixturevalue("postgres").fresh() if engine == "postgresql" else ""
    now = datetime.now(UTC)
    begin, end = (now + timedelta(hours=hours) for hours in (-1, 3))
    mail, offset = mail_server(), tmp_path / "offset"
    people = f'[people]\n"{own.ADA}" = {{ email = "ada@home.example" }}\n'
    quiet = [f"{begin:%H:%M}-{end:%H:%M}"]
    keys = mail_channel(mail, mention_by_mail=True, edits="messages", quiet=quiet)
    service = Service(tmp_path, people + keys, store=store)
    service.command = [sys.executable, "-m", "tests.faults.clocked", str(offset)]
    ada = f"@[Ada Lovelace]({own.ADA})"

    def texts(recipient: str) -> list[str]:
        mails = [each for each in mail.mails if each.recipients == [recipient]]
        return [text_of(each.parsed()) for each in mails]

    service.start()
    try:
        for body in (
            own.THREAD,
            own.reply("create-comment", content=f"{ada}, first words", mentions=[own.ADA]),
            own.reply("create-comment", id=OTHER, content=f"{ada}, a slip", mentions=[own.ADA]),
            own.first("update-comment", content="Root now", previousContent="before"),
            own.reply(
                "update-comment",
                content=f"{ada}, last words",
                mentions=[own.ADA],
                previousContent=f"{ada}, first words",
            ),
            own.reply("delete-comment", id=OTHER, content=f"{ada}, a slip"),
        ):
            assert service.post(body) == 204
        wait_until(lambda: service.run("log").stdout.count("  skipped") >= 5, 30)
        assert mail.mails == []
        offset.write_text(str(4 * HOUR))
        wait_until(lambda: len(mail.mails) == 2, 60)
        assert service.post(own.first("update-comment", content="Root later")) == 204
        wait_until(lambda: len(mail.mails) == 3, 30)
    finally:
        service.end()
    digest, line = texts("design@example.com")
    (direct,) = texts("ada@home.example")
    assert "Root now" in digest
    for text in (digest, direct):
        assert "last words" in text
        assert not any(words in text for words in ("first words", "a slip", "hero spacing"))
        assert not any(words in text for words in ("edited a comment", "deleted"))
    assert "edited a comment" in line
    assert "Root later" in line
