"""Real messages for the pictures: a Relay that posts into a Synapse, a mail server and a Slack
stand-in, all on loopback."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relay.penpot.samples import sample
from tests.servers.loopback import in_thread
from tests.servers.slack import TOKEN, Slack
from tests.servers.smtp import Mail, MailServer
from tests.servers.synapse import Person, Synapse
from tests.service import running, wait_until

STORY = ("update-file", "rename-project", "create-comment-thread", "create-comment", "rename-file")
"""The first two only teach Relay the names of the file and of its project."""
SHOWN = STORY[2:]


@dataclass
class Told:
    """What arrived, channel by channel."""

    homeserver: str
    reader: Person
    room: str
    slack: list[Any]
    mails: list[Mail]


@contextlib.contextmanager
def told() -> Iterator[Told]:
    """The story, told to every channel; Synapse runs on while the pictures are made."""
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
        events = ", ".join(f'"{name}"' for name in SHOWN)
        channels = f"""
[[teams.acme.channels]]
name = "slack"
type = "slack"
token = "{TOKEN}"
channel = "#design"
api_url = "{slack_server.url}/api"
events = [{events}]

[[teams.acme.channels]]
name = "matrix"
type = "matrix"
homeserver = "{synapse.url}"
access_token = "{bot.token}"
room = "{room}"
events = [{events}]

[[teams.acme.channels]]
name = "mail"
type = "email"
to = ["Ada Lovelace <ada@example.com>"]
sender = "Penpot <penpot@example.com>"
smtp = {{ host = "127.0.0.1", port = {mail.port}, tls = "none" }}
events = [{events}]
"""
        (folder / "relay").mkdir()
        relay = servers.enter_context(running(folder / "relay", channels))
        for event in STORY:
            assert relay.post(sample(event)) == 204
        wait_until(
            lambda: len(slack.messages) == len(mail.mails) == len(reader.messages(room)) == 3, 20
        )
        yield Told(synapse.url, reader, room, slack.messages, mail.mails)
