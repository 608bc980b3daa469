"""A channel of each kind at its server, for what all kinds have in common.

A kind of the registry that is missing here fails ``tests/scenarios/test_conformance.py``.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote_plus

from relay.channels.stdout import StdoutSettings
from relay.config.settings import AnyChannel
from tests.channels import builders
from tests.channels.apprise.place import ntfy
from tests.channels.webhook.receiver import Receiver
from tests.servers.discord import Discord
from tests.servers.loopback import Answer, Handler, Request, in_thread
from tests.servers.matrix import Homeserver
from tests.servers.mattermost import Mattermost
from tests.servers.ntfy import Ntfy
from tests.servers.rocketchat import RocketChat
from tests.servers.slack import WEBHOOK_PATH, Slack
from tests.servers.smtp import MailServer
from tests.servers.teams import Teams

FAILURE = Answer(b"no", 502, "text/plain")


@dataclass
class Gate:
    """Gives prepared answers before a stand-in gets the requests."""

    handler: Handler
    next: deque[Answer] = field(default_factory=deque)
    is_down: bool = False
    refused: str = ""
    """A text of a message that gets the ``refusal``, in each form that Relay sends it."""
    refusal: Answer | None = None

    def handle(self, request: Request) -> Answer:
        if self.is_down:
            return FAILURE
        if self.next:
            return self.next.popleft()
        text = unquote_plus(request.body.decode("utf-8", "replace"))
        if self.refusal is not None and self.refused in text:
            return self.refusal
        return self.handler(request)


@dataclass
class Kind:
    """A channel, and what its server got."""

    settings: AnyChannel
    texts: Callable[[], list[str]]
    """Of the messages that it shows, oldest first; of an edited one the latest."""
    pings: Callable[[], list[Any]]
    """Whom the messages ping."""
    gate: Gate | None = None
    refusal: Answer | None = None
    """Of a message that can never be delivered; None where no answer says so."""


@contextmanager
def _served(handler: Handler) -> Iterator[tuple[str, Gate]]:
    gate = Gate(handler)
    with in_thread(gate.handle) as server:
        yield server.url, gate


def _in_texts(pattern: str, texts: Callable[[], list[str]]) -> Callable[[], list[Any]]:
    return lambda: [found for text in texts() for found in re.findall(pattern, text)]


@contextmanager
def slack(settings: Callable[[str], AnyChannel], refusal: Answer) -> Iterator[Kind]:
    server = Slack()

    def shown() -> list[Any]:
        return list(server.shown.values()) or server.messages  # a webhook's have no ids

    def pings() -> list[Any]:
        elements = [each for message in shown() for each in _elements(message.get("blocks"))]
        marked = [message["text"] for message in shown()]
        marked += [each["text"] for each in elements if each["type"] == "mrkdwn"]
        found = [ping for text in marked for ping in re.findall("<[!@#]", text)]
        return found + [each for each in elements if each["type"] in _SLACK_PINGS]

    with _served(server.handle) as (url, gate):
        texts = lambda: [json.dumps(each.get("blocks") or each["text"]) for each in shown()]  # noqa: E731
        yield Kind(settings(url), texts, pings, gate, refusal)


def _elements(value: Any) -> Iterator[dict[str, Any]]:
    """All objects with a type in blocks."""
    if isinstance(value, dict):
        if "type" in value:
            yield value
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from _elements(each)


@contextmanager
def matrix() -> Iterator[Kind]:
    server = Homeserver()

    def texts() -> list[str]:
        contents: dict[str, str] = {}
        for number, content in enumerate(server.posted, 1):
            edited = content.get("m.relates_to", {}).get("event_id", f"${number}")
            contents[edited] = content.get("m.new_content", content)["body"]
        return list(contents.values())

    def pings() -> list[Any]:
        mentioned = [content.get("m.mentions", {}) for content in server.posted]
        html = [content.get("formatted_body", "") for content in server.posted]
        return [*filter(None, mentioned), *(each for each in html if "matrix.to/" in each)]

    with _served(server.handle) as (url, gate):
        refusal = Answer.of({"errcode": "M_TOO_LARGE", "error": "no"}, 413)
        yield Kind(builders.matrix(url), texts, pings, gate, refusal)


@contextmanager
def mattermost(settings: Callable[[str], AnyChannel]) -> Iterator[Kind]:
    server = Mattermost()
    with _served(server.handle) as (url, gate):
        refusal = Answer.of({"id": "plugin.message_will_be_posted.dismiss_post"}, 400)
        yield Kind(settings(url), lambda: server.texts, lambda: server.pings, gate, refusal)


@contextmanager
def rocketchat() -> Iterator[Kind]:
    server = RocketChat()
    with _served(server.handle) as (url, gate):
        refusal = Answer.of({"success": False, "error": "error-message-size-exceeded"}, 400)
        texts = lambda: [message["msg"] for message in server.messages]  # noqa: E731
        yield Kind(builders.rocketchat(url), texts, lambda: list(server.pings), gate, refusal)


@contextmanager
def discord() -> Iterator[Kind]:
    server = Discord()

    def texts() -> list[str]:
        return [str(body["embeds"][0]["description"]) for body in server.shown.values()]

    with _served(server.handle) as (url, gate):
        refusal = Answer.of({"message": "Message was blocked", "code": 200000}, 400)
        yield Kind(builders.discord(url), texts, lambda: list(server.pings), gate, refusal)


@contextmanager
def teams() -> Iterator[Kind]:
    server = Teams()
    with _served(server.handle) as (url, gate):
        refusal = Answer(b"too large", 413)
        texts, pings = lambda: server.texts, lambda: list(server.pings)
        yield Kind(builders.teams(url), texts, pings, gate, refusal)


@contextmanager
def webhook() -> Iterator[Kind]:
    receiver = Receiver()

    def texts() -> list[str]:
        return [document["text"]["body"] for document in receiver.documents]

    with _served(receiver.handle) as (url, gate):
        yield Kind(builders.webhook(url), texts, list, gate, Answer(b"no", 413))


@contextmanager
def apprise() -> Iterator[Kind]:
    server = Ntfy()
    pings = _in_texts("@(?!\u200b)", lambda: server.texts)
    with _served(server.handle) as (url, gate):
        yield Kind(ntfy(url), lambda: server.texts, pings, gate)


@contextmanager
def email() -> Iterator[Kind]:
    """Its failures have tests of their own: it does not speak HTTP."""
    with MailServer() as server:

        def texts() -> list[str]:
            bodies = (mail.parsed().get_body(("plain",)) for mail in list(server.mails))
            return [re.sub(r"\s+", " ", str(body)) for body in bodies]

        yield Kind(builders.email(server.port), texts, list)


@contextmanager
def stdout() -> Iterator[Kind]:
    """Its texts are read from standard output."""
    yield Kind(StdoutSettings(type="stdout", name="log"), list, list)


_SLACK_PINGS = ("user", "usergroup", "broadcast")
_SLACK_REFUSAL = Answer.of({"ok": False, "error": "slack_connect_file_link_sharing_blocked"})
KINDS: dict[str, Callable[[], AbstractContextManager[Kind]]] = {
    "slack": partial(slack, lambda url: builders.slack_bot(f"{url}/api"), _SLACK_REFUSAL),
    "slack-hook": partial(
        slack,
        lambda url: builders.slack_hook(url + WEBHOOK_PATH),
        Answer(b"no", 413, "text/plain"),
    ),
    "matrix": matrix,
    "mattermost": partial(mattermost, builders.mattermost),
    "mattermost-hook": partial(mattermost, builders.mattermost_hook),
    "rocketchat": rocketchat,
    "discord": discord,
    "teams": teams,
    "email": email,
    "webhook": webhook,
    "apprise": apprise,
    "stdout": stdout,
}
