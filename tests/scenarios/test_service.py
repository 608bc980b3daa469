"""End to end: from the hook's URL to Slack's API, a Matrix room and a mailbox."""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.samples import SAMPLE_NAMES, sample
from tests.servers.fixtures import RunningSlack
from tests.servers.loopback import Answer
from tests.servers.slack import TOKEN
from tests.servers.smtp import MailServer
from tests.servers.synapse import Person, Synapse
from tests.service import Service, wait_until

PAYLOADS = Path(__file__).parents[1] / "penpot" / "payloads"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass
class Team:
    """A service with one channel of each kind, and the servers behind them."""

    service: Service
    slack: RunningSlack
    reader: Person
    room: str
    mail: MailServer

    def slack_texts(self) -> list[str]:
        return [shown(json.dumps(message["blocks"])) for message in self.slack.slack.messages]

    def matrix_texts(self) -> list[str]:
        return [event["content"]["body"] for event in self.reader.messages(self.room)]

    def mail_texts(self) -> list[str]:
        texts = []
        for mail in self.mail.mails:
            part = mail.parsed().get_body(("plain",))
            assert part is not None
            texts.append(part.get_content())
        return texts

    def delivered(self) -> bool:
        return "waiting" not in self.service.run("log", "--limit", "1000").stdout


def shown(blocks: str) -> str:
    """The text in Slack's blocks."""
    return "".join(re.findall(r'"text": "((?:[^"\\]|\\.)*)"', blocks))


def without_links(text: str) -> str:
    return re.sub(r"https?://\S+", "", text)


@pytest.fixture
def team(
    tmp_path: Path,
    slack_server: RunningSlack,
    synapse: Synapse,
    mail_server: Callable[..., MailServer],
) -> Iterator[Team]:
    bot, reader = (synapse.register(f"{who}-{time.time_ns()}") for who in ("bot", "reader"))
    room = bot.create_room()
    bot.invite(room, reader.id)
    reader.join(room)
    mail = mail_server()
    service = Service(
        tmp_path,
        f"""
[[teams.acme.channels]]
name = "design"
type = "slack"
token = {{ env = "SLACK" }}
channel = "C0DESIGN0"
api_url = "{slack_server.api_url}"
events = ["*"]
activity = "each"
pace = 100000
[[teams.acme.channels]]
name = "room"
type = "matrix"
homeserver = "{synapse.url}"
access_token = {{ env = "MATRIX" }}
room = "{room}"
events = ["*"]
activity = "each"
[[teams.acme.channels]]
name = "mail"
type = "email"
to = ["design@example.com"]
sender = "Penpot <penpot@example.com>"
smtp = {{ host = "127.0.0.1", port = {mail.port}, tls = "none" }}
events = ["*"]
activity = "each"
""",
    )
    service.environ = {"SLACK": TOKEN, "MATRIX": bot.token}
    service.start()
    yield Team(service, slack_server, reader, room, mail)
    service.stop()


def test_every_kind_of_event_reaches_slack_matrix_and_mail_in_order(team: Team) -> None:
    sent_by_penpot = [name for name in SAMPLE_NAMES if not CATALOGUE[name].synthetic]
    for name in sent_by_penpot:
        assert team.service.post(sample(name)) == 204
    wait_until(lambda: team.service.run("log", "--state", "sent").returncode == 0, 30)
    wait_until(lambda: len(team.mail.mails) == len(sent_by_penpot), 30)
    wait_until(team.delivered, 30)
    slack, matrix, mail = team.slack_texts(), team.matrix_texts(), team.mail_texts()
    assert len(slack) == len(matrix) == len(mail) == len(sent_by_penpot) == 24
    for texts in zip(slack, matrix, mail, strict=True):
        for text in texts:
            assert not UUID.search(without_links(text)), text
            assert text.strip()
    position = SAMPLE_NAMES.index("create-comment-thread")
    quoted = "@Grace Hopper the headline is hard to read on the photo."
    for texts in (slack, matrix, mail):
        assert quoted in texts[position].replace("\r\n", " ")
    subjects = [mail.parsed()["subject"] for mail in team.mail.mails]
    assert len(set(subjects)) > 20


def test_facts_of_an_event_are_used_in_later_events(team: Team) -> None:
    for case in ("create-comment-thread/plain", "update-file/plain", "create-comment/plain"):
        assert team.service.post((PAYLOADS / f"{case}.json").read_bytes()) == 204
    assert team.service.post((PAYLOADS / "delete-file/plain.json").read_bytes()) == 204
    wait_until(lambda: len(team.matrix_texts()) == 4, 30)
    wait_until(lambda: len(team.mail_texts()) == 4, 30)
    *_, reply, _ = team.mail_texts()
    *_, deleted = team.matrix_texts()
    for known in ("Zoë Müller-O'Neill", "Landing page", "Page 1", "#15", "hero spacing looks off"):
        assert known in reply
    assert deleted.startswith("Ada Lovelace deleted the file Landing page")
    content = team.reader.messages(team.room)[0]["content"]
    assert content["m.mentions"] == {}
    assert "http://penpot.example/#/workspace?" in reply
    for part in ("team-id=2f6a1c10", "file-id=4c8d3e30", "page-id=5d9e4f40", "comment-id=c0000001"):
        assert part in reply


def test_replies_join_their_thread_across_a_restart(team: Team) -> None:
    start = (PAYLOADS / "create-comment-thread" / "plain.json").read_bytes()
    for body in (start, comment(1)):
        assert team.service.post(body) == 204
    wait_until(lambda: len(team.matrix_texts()) == 2 and len(team.mail_texts()) == 2, 30)
    wait_until(team.delivered, 30)
    team.service.stop()
    team.service.start()
    assert team.service.post(comment(2)) == 204
    wait_until(lambda: len(team.matrix_texts()) == 3 and len(team.mail_texts()) == 3, 30)
    wait_until(team.delivered, 30)

    root, *replies = team.slack.slack.messages
    assert "thread_ts" not in root
    assert {reply["thread_ts"] for reply in replies} == {"1700000000.000001"}
    first, *events = team.reader.messages(team.room)
    roots = {event["content"]["m.relates_to"]["event_id"] for event in events}
    assert roots == {first["event_id"]}
    one, two, three = (mail.parsed() for mail in team.mail.mails)
    assert two["References"] == f"{one['References']} {one['Message-ID']}"
    assert three["In-Reply-To"] == two["Message-ID"]
    for text in (team.slack_texts()[2], team.matrix_texts()[2]):
        assert "replied" in text
        assert "Landing page" not in text


def test_unknown_names_are_omitted(team: Team) -> None:
    for case in ("link-file-to-library/plain", "move-project/plain", "create-comment/plain"):
        assert team.service.post((PAYLOADS / f"{case}.json").read_bytes()) == 204
    wait_until(lambda: len(team.matrix_texts()) == 3, 30)
    for text in team.matrix_texts():
        assert not UUID.search(without_links(text))
        assert "None" not in text
    assert team.matrix_texts()[0].startswith("Someone ")


def test_markup_in_names_and_comments_stays_text_everywhere(team: Team) -> None:
    hostile = "<!channel> <@U123> @room [x](http://evil.example) *bold* <b>html</b>\nSubject: x"
    body = json.loads((PAYLOADS / "create-comment" / "plain.json").read_bytes())
    body["props"] |= {"content": hostile, "ownerFullname": hostile, "ownerId": body["profileId"]}
    assert team.service.post(json.dumps(body).encode()) == 204
    wait_until(team.delivered, 30)
    (message,) = team.slack.slack.messages
    assert "<!channel>" not in message["text"]
    assert "&lt;!channel&gt;" in message["text"]
    (event,) = team.reader.messages(team.room)
    assert "<b>html" not in event["content"]["formatted_body"]
    assert "evil.example)" in event["content"]["body"]
    assert team.reader.pings() == []
    (mail,) = team.mail.mails
    assert mail.parsed().get_all("subject") == [mail.parsed()["subject"]]
    assert "\n" not in mail.parsed()["subject"]


def test_an_unavailable_server_loses_no_message(team: Team) -> None:

    limited = Answer(b"", 429, headers=(("Retry-After", "1"),))
    team.slack.slack.next.extend([Answer(b"busy", 503), limited])
    numbered = [comment(number) for number in range(5)]
    for body in numbered:
        assert team.service.post(body) == 204
    wait_until(lambda: len(team.matrix_texts()) == 5, 30)
    wait_until(team.delivered, 30)
    assert numbers(team.slack_texts()) == [0, 1, 2, 3, 4]
    assert "503" in team.service.log.read_text()


def comment(number: int) -> bytes:
    body = json.loads((PAYLOADS / "create-comment" / "plain.json").read_bytes())
    body["props"] |= {
        "id": f"c0000003-5d0e-81a4-8006-{number:012x}",
        "content": f"This is no {number}.",
    }
    return json.dumps(body).encode()


def numbers(texts: list[str]) -> list[int]:
    return [int(number) for text in texts for number in re.findall(r"This is no (\d+)", text)]


def test_a_users_template_is_used_without_a_restart(team: Team, tmp_path: Path) -> None:
    team.service.stop()
    folder = tmp_path / "templates"
    folder.mkdir()
    config = team.service.config
    config.write_text(f'[templates]\npath = "{folder}"\n' + config.read_text())
    team.service.start()
    (folder / "create-project.md.j2").write_text(
        '{% extends "builtin/create-project.md.j2" %}'
        "{% block title %}A new home: {{ project }}{% endblock %}"
    )
    assert team.service.post(sample("create-project")) == 204
    wait_until(lambda: len(team.matrix_texts()) == 1, 30)
    assert team.matrix_texts()[0].startswith("A new home: ")
    (folder / "create-project.md.j2").write_text("{% block title %}{{ nonsense }}{% endblock %}")
    body = json.loads(sample("create-project")) | {"createdAt": "2026-01-01T00:00:00Z"}
    assert team.service.post(json.dumps(body).encode()) == 204
    wait_until(lambda: len(team.matrix_texts()) == 2, 30)
    assert "created the project" in team.matrix_texts()[1]
    wait_until(lambda: "create-project.md.j2:1: 'nonsense' is undefined" in log_of(team), 30)
    metrics = httpx.get(f"{team.service.admin}/metrics").text
    assert "relay_template_problems_total" in metrics


def log_of(team: Team) -> str:
    return team.service.log.read_text()


def test_the_service_stops_quickly_and_logs_no_secret(team: Team) -> None:
    assert team.service.post(comment(1)) == 204
    wait_until(team.delivered, 30)
    assert team.service.stop() < 2
    for secret in (TOKEN, team.service.environ["MATRIX"]):
        assert secret not in log_of(team)
    team.service.start()
