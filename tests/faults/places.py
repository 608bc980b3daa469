"""The channels of the fault-injection tests, each with its real server or stand-in."""

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.channels.builders import SIGNING_SECRET
from tests.channels.webhook.receiver import receiving
from tests.faults.account import Post, numbers_in
from tests.servers.discord import WEBHOOK_PATH, Discord
from tests.servers.faulty import Fault, FaultyProxy
from tests.servers.loopback import in_thread
from tests.servers.mattermost import DESIGN, Mattermost
from tests.servers.mattermost import TOKEN as MATTERMOST_TOKEN
from tests.servers.ntfy import TOKEN as NTFY_TOKEN
from tests.servers.ntfy import TOPIC as NTFY_TOPIC
from tests.servers.ntfy import Ntfy
from tests.servers.rocketchat import WEBHOOK_PATH as ROCKETCHAT_PATH
from tests.servers.rocketchat import RocketChat
from tests.servers.slack import TOKEN, Slack
from tests.servers.smtp import MailServer
from tests.servers.synapse import Synapse
from tests.servers.teams import WEBHOOK_PATH as TEAMS_PATH
from tests.servers.teams import Teams


@dataclass
class Place:
    """A channel of team acme; its posts are read from its server."""

    name: str
    kind: str
    port: int
    """The port of its server."""
    keys: str
    """The channel's TOML, with the placeholders HOST, PORT, HTTP, NTFY and TLS."""
    posts: Callable[[], list[Post]]
    count: Callable[[], int]
    """The number of its posts, without reading them."""
    secure: bool = False
    host: str = "127.0.0.1"
    more: str = ""
    """More TOML."""
    replies: dict[str, str] = field(default_factory=dict)
    """Replies with which a mail server refuses commands, see ``MailServer``."""

    def toml(self) -> str:
        keys = self.keys.replace("HTTP", "https" if self.secure else "http")
        keys = keys.replace("NTFY", "ntfys" if self.secure else "ntfy")
        keys = keys.replace("TLS", "tls" if self.secure else "none")
        keys = keys.replace("HOST", self.host).replace("PORT", str(self.port))
        activity = "" if self.kind == "webhook" else 'activity = "each"\n'  # it has no other
        return (
            f'[[teams.acme.channels]]\nname = "{self.name}"\ntype = "{self.kind}"\n'
            f'events = ["*"]\n{activity}{keys}\n{self.more}\n'
        )

    def behind(self, proxy: FaultyProxy) -> None:
        """Reach the server through a proxy."""
        self.port = proxy.port


class Places:
    """Creates places; their servers end with ``running``."""

    def __init__(self, running: ExitStack, synapse: Synapse) -> None:
        self._running = running
        self._synapse = synapse
        self._bot, self._reader = synapse.register("bot"), synapse.register("reader")

    def of_each_kind(self) -> list[Place]:
        """One of each, and a Slack channel that soon sends digests. None by apprise, whose process
        would add a second to each of many starts."""
        digests = self.slack("digests")
        digests.more += "digest_after = 3\n"
        return [
            self.slack("slack"),
            digests,
            self.matrix("matrix"),
            self.mattermost("mattermost"),
            self.rocketchat("rocketchat"),
            self.discord("discord"),
            self.teams("teams"),
            self.mail("mail"),
            self.webhook("webhook"),
        ]

    def make(self, kind: str, name: str) -> Place:
        return self.makers[kind](name)

    @property
    def makers(self) -> dict[str, Callable[[str], Place]]:
        """By kind of channel."""
        return {
            "slack": self.slack,
            "matrix": self.matrix,
            "mattermost": self.mattermost,
            "rocketchat": self.rocketchat,
            "discord": self.discord,
            "teams": self.teams,
            "email": self.mail,
            "webhook": self.webhook,
            "apprise": self.apprise,
        }

    def faulty(
        self, place: Place, fault: Fault, *, ca_file: Path | None = None, tls: Any = None
    ) -> FaultyProxy:
        """A proxy before a place; with ``tls`` the channel uses TLS."""
        proxy = FaultyProxy(place.port, fault, tls=tls, greets=place.kind == "email")
        self._running.enter_context(proxy)
        place.behind(proxy)
        if tls is not None:
            place.secure = True
            place.more += f'ca_file = "{ca_file}"\n'
        return proxy

    def slack(self, name: str) -> Place:
        """In a separate workspace."""
        workspace = Slack()
        server = self._running.enter_context(in_thread(workspace.handle))
        keys = (
            f'token = "{TOKEN}"\nchannel = "C0DESIGN0"\napi_url = "HTTP://HOST:PORT/api"\n'
            "pace = 100000"
        )

        def posts() -> list[Post]:
            texts = [json.dumps(message["blocks"]) for message in workspace.messages]
            return [Post(f"{place}", numbers_in(text)) for place, text in enumerate(texts)]

        return Place(name, "slack", server.port, keys, posts, lambda: len(workspace.messages))

    def matrix(self, name: str) -> Place:
        """In a separate room."""
        room = self._bot.create_room()
        self._bot.invite(room, self._reader.id)
        self._reader.join(room)
        keys = f'homeserver = "HTTP://HOST:PORT"\naccess_token = "{self._bot.token}"\n'
        port = int(self._synapse.url.rpartition(":")[2])

        def posts() -> list[Post]:
            return [
                Post(event["event_id"], numbers_in(event["content"]["body"]))
                for event in self._reader.messages(room)
            ]

        return Place(name, "matrix", port, f'{keys}room = "{room}"', posts, lambda: len(posts()))

    def mattermost(self, name: str) -> Place:
        """On a separate server, by bot."""
        chat = Mattermost()
        server = self._running.enter_context(in_thread(chat.handle))
        keys = (
            f'url = "HTTP://HOST:PORT"\ntoken = "{MATTERMOST_TOKEN}"\nchannel = "{DESIGN}"\n'
            "pace = 100000"
        )

        def posts() -> list[Post]:
            return [Post(post, numbers_in(text["message"])) for post, text in [*chat.posts.items()]]

        return Place(name, "mattermost", server.port, keys, posts, lambda: len(chat.posts))

    def rocketchat(self, name: str) -> Place:
        """On a separate server."""
        chat = RocketChat()
        server = self._running.enter_context(in_thread(chat.handle))
        keys = f'webhook_url = "HTTP://HOST:PORT{ROCKETCHAT_PATH}"\npace = 100000'

        def posts() -> list[Post]:
            texts = list(chat.texts)
            return [Post(f"{place}", numbers_in(text)) for place, text in enumerate(texts)]

        return Place(name, "rocketchat", server.port, keys, posts, lambda: len(chat.messages))

    def discord(self, name: str) -> Place:
        """With a separate webhook."""
        webhook = Discord()
        server = self._running.enter_context(in_thread(webhook.handle))
        keys = f'webhook_url = "HTTP://HOST:PORT{WEBHOOK_PATH}"'

        def posts() -> list[Post]:
            texts = [str(body["embeds"][0]["description"]) for body in list(webhook.posted)]
            return [Post(f"{place}", numbers_in(text)) for place, text in enumerate(texts)]

        return Place(name, "discord", server.port, keys, posts, lambda: len(webhook.posted))

    def teams(self, name: str) -> Place:
        """With a separate workflow."""
        workflow = Teams()
        server = self._running.enter_context(in_thread(workflow.handle))
        keys = f'webhook_url = "HTTP://HOST:PORT{TEAMS_PATH}"\npace = 100000'

        def posts() -> list[Post]:
            texts = enumerate(workflow.texts)
            return [Post(f"{place}", numbers_in(text)) for place, text in texts]

        return Place(name, "teams", server.port, keys, posts, lambda: len(workflow.posted))

    def webhook(self, name: str) -> Place:
        """Of a separate program, which drops repetitions."""
        receiver = self._running.enter_context(receiving())
        url = urlsplit(receiver.url)
        keys = f'url = "HTTP://HOST:PORT{url.path}"\nsecret = "{SIGNING_SECRET}"'

        def posts() -> list[Post]:
            return [
                Post(id_, numbers_in(document["text"]["body"]))
                for id_, document in list(receiver.accepted)
            ]

        return Place(name, "webhook", url.port or 0, keys, posts, lambda: len(receiver.documents))

    def apprise(self, name: str) -> Place:
        """At a separate ntfy."""
        ntfy = Ntfy()
        server = self._running.enter_context(in_thread(ntfy.handle))
        keys = f'url = "NTFY://{NTFY_TOKEN}@HOST:PORT/{NTFY_TOPIC}"'

        def posts() -> list[Post]:
            return [Post(f"{place}", numbers_in(text)) for place, text in enumerate(ntfy.texts)]

        return Place(name, "apprise", server.port, keys, posts, lambda: len(ntfy.messages))

    def mail(self, name: str) -> Place:
        """On a separate mail server."""
        server = self._running.enter_context(MailServer())
        keys = (
            'to = ["design@example.com"]\nsender = "Penpot <penpot@example.com>"\n'
            'smtp = { host = "HOST", port = PORT, tls = "TLS" }'
        )

        def posts() -> list[Post]:
            parsed = [mail.parsed() for mail in list(server.mails)]
            texts = [str(mail.get_body(("plain",))) for mail in parsed]
            folded = [re.sub(r"\s+", " ", text) for text in texts]
            return [
                Post(mail["message-id"], numbers_in(text))
                for mail, text in zip(parsed, folded, strict=True)
            ]

        return Place(
            name,
            "email",
            server.port,
            keys,
            posts,
            lambda: len(server.mails),
            replies=server.replies,
        )
