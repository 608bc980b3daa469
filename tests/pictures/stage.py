"""Real messages for the pictures: a Relay that posts into a Synapse, a mail server and a Slack
stand-in, all on loopback."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.penpot.standin import TOKEN as PENPOT_TOKEN
from tests.penpot.standin import StandIn
from tests.penpot.story import prepare, replies
from tests.servers.loopback import in_thread
from tests.servers.slack import TOKEN, Slack
from tests.servers.smtp import Mail, MailServer
from tests.servers.synapse import Person, Synapse
from tests.service import running, wait_until


@dataclass
class Story:
    """What each channel received."""

    homeserver: str
    reader: Person
    room: str
    slack: Slack
    mails: list[Mail]


@contextlib.contextmanager
def deliver_story() -> Iterator[Story]:
    """A thread, sent to every channel; Synapse runs while the pictures are made."""
    slack = Slack()
    with contextlib.ExitStack() as servers:
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory(prefix="relay-pictures-")))
        (folder / "synapse").mkdir()
        synapse = servers.enter_context(Synapse(folder / "synapse"))
        mail = servers.enter_context(MailServer())
        slack_server = servers.enter_context(in_thread(slack.handle))
        reader, bot = synapse.register("ada"), synapse.register("penpot")
        for person, name in ((reader, "Ada Lovelace"), (bot, "Penpot")):
            person.call(
                "PUT",
                f"/_matrix/client/v3/profile/{person.id}/displayname",
                {"displayname": name},
            )
        room = reader.create_room(name="Design", topic="What happens in Penpot", invite=(bot.id,))
        penpot = servers.enter_context(StandIn())
        prepare(penpot.world)
        channels = f"""
team_id = "{penpot.world.by_name("teams", "acme")}"
[people]
"ada@example.com" = {{ matrix = "{reader.id}" }}
[[teams.acme.channels]]
name = "slack"
type = "slack"
token = "{TOKEN}"
channel = "#design"
api_url = "{slack_server.url}/api"
thumbnails = true

[[teams.acme.channels]]
name = "matrix"
type = "matrix"
homeserver = "{synapse.url}"
access_token = "{bot.token}"
room = "{room}"

[[teams.acme.channels]]
name = "mail"
type = "email"
to = ["Ada Lovelace <ada@example.com>"]
sender = "Penpot <penpot@example.com>"
smtp = {{ host = "127.0.0.1", port = {mail.port}, tls = "none" }}
thumbnails = true
"""
        (folder / "relay").mkdir()
        token = f'url = "{penpot.url}"\naccess_token = "{PENPOT_TOKEN}"'
        relay = servers.enter_context(running(folder / "relay", channels, penpot=token))
        for body in replies(penpot.world):
            assert relay.post(body) == 204
        wait_until(
            lambda: len(slack.messages) == len(mail.mails) == len(reader.messages(room)) == 3, 20
        )
        yield Story(synapse.url, reader, room, slack, mail.mails)
