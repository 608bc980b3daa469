"""What the inspector and ``relay preview`` show of a message is what its channel sends."""

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relay import preview
from relay.channels import open_channel, override_formats, render_preview
from relay.channels.base import ReplyTo
from relay.channels.preview import PICTURE, MessagePreview
from relay.config.settings import AnyChannel, Config
from relay.delivery.alerts import Alerts
from relay.delivery.fact_cache import FactCache
from relay.delivery.notices import NOTICES, NoticeRenderer, notice_sample
from relay.delivery.pipeline import EventSource, PreparedEvent, examples
from relay.delivery.routing import Planner
from relay.delivery.thumbnails import has_thumbnail
from relay.inspector import event as event_page
from relay.inspector.editor import Drafts
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Event
from relay.penpot.samples import SAMPLE_NAMES
from relay.preview import render_previews
from relay.store.records import StoredEvent, ThreadReceipts
from tests.pictures.payloads import PEOPLE, digest_of, digested
from tests.servers.loopback import in_thread
from tests.servers.matrix import Homeserver
from tests.servers.slack import TOKEN, WEBHOOK_PATH, Slack
from tests.servers.smtp import MailServer

SECRET = "a-secret-of-24-characters"
THREAD = ReplyTo("first", "last", "")
# The routing of a Slack message, which is no part of its content.
ROUTING = {"channel", "thread_ts", "reply_broadcast"}
LITERAL = {"mrkdwn", "parse", "link_names", "unfurl_links", "unfurl_media"}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "thumbnails": {"thumbnails": True},
    "no emoji": {"emoji": False},
    "no threads": {"threads": False},
    "share_emails": {"share_emails": True},
    "edits as messages": {"edits": "messages"},
    "direct": {"direct": "mentioned"},
    "own mails": {"mention_by_mail": True},
    "author": {"author_as_sender": True},
    "notices": {"msgtype": "notice"},
    "texts": {"msgtype": "text"},
    "images": {"thumbnails": "image"},
    "several teams": {},
    "own templates": {},
}
OVERRIDES = {
    "slack": ("{{ event.name }}.slack.json.j2", '[{"type": "divider"}]'),
    "matrix": ("{{ event.name }}.matrix.html.j2", "<p>{{ actor }}</p>"),
    "email": ("{{ event.name }}.email.html.j2", "<p>{{ actor }}</p>"),
}


@dataclass
class Servers:
    slack: Slack
    matrix: Homeserver
    mail: MailServer
    slack_url: str
    matrix_url: str

    def received(self, kind: str) -> str:
        """The last message, in the form of a preview's source."""
        if kind == "matrix":
            texts = [body.decode() for body in self.matrix.bodies]
            text = next(text for text in reversed(texts) if '"m.image"' not in text)
            return _json(re.sub(r"mxc://relay\.test/\d+", "mxc://example.org/1", text))
        if kind == "email":
            return _mail(self.mail.mails[-1].content.decode())
        body = json.loads(self.slack.received[-1][1])
        content = {key: body[key] for key in body if key not in ROUTING | LITERAL}
        return _json(re.sub(r"F0FILE\d+", "F0000000000", json.dumps(content)))

    def settings(self, kind: str, name: str) -> dict[str, Any]:
        keys: dict[str, Any] = {"type": kind.partition(" ")[0], "name": "one", "events": ["*"]}
        keys |= {} if name == "direct" else {"activity": "each"}
        keys |= OPTIONS[name]
        match kind:
            case "slack":
                keys |= {"token": TOKEN, "api_url": f"{self.slack_url}/api"}
                keys |= {} if name == "direct" else {"channel": "#design"}
            case "slack by webhook":
                keys |= {"webhook_url": self.slack_url + WEBHOOK_PATH}
            case "matrix":
                keys |= {"homeserver": self.matrix_url, "access_token": "syt_token"}
                keys |= {} if name == "direct" else {"room": "!room:relay.test"}
            case "email":
                smtp = {"host": "127.0.0.1", "port": self.mail.port, "tls": "none"}
                keys |= {"to": ["design@example.com"], "sender": "penpot@example.com", "smtp": smtp}
        return keys


def _json(text: str) -> str:
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)


def _mail(text: str) -> str:
    """Without the random boundaries of its parts, and the time of a mail that has no other."""
    text = re.sub(r"={15}\d+==", "BOUNDARY", text.replace("\r\n", "\n")).rstrip("\n")
    return re.sub(r"^Date: .*$", "", text, flags=re.MULTILINE)


def normal(kind: str, source: str) -> str:
    return _mail(source) if kind == "email" else _json(source)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    slack, matrix = Slack(), Homeserver()
    slack.users["grace@example.com"] = "U0GRACE00"
    slack.posted.add(THREAD.root)
    with (
        in_thread(slack.handle) as first,
        in_thread(matrix.handle) as second,
        MailServer() as mail,
    ):
        yield Servers(slack, matrix, mail, first.url, second.url)


KINDS = ("slack", "slack by webhook", "matrix", "email")
ONLY_FOR = {"own mails": "email", "author": "slack"} | dict.fromkeys(
    ("notices", "texts", "images"), "matrix"
)
CASES = [
    (kind, name)
    for kind in KINDS
    for name, keys in OPTIONS.items()
    if ONLY_FOR.get(name, kind) == kind
    and not (kind == "email" and "direct" in keys)
    and not (kind == "slack by webhook" and keys.keys() & {"direct", "thumbnails", "threads"})
]


def config_of(servers: Servers, kind: str, name: str, folder: Path) -> Config:
    channels = [servers.settings(kind, name)]
    teams = {"acme": {"secret": SECRET, "name": "Acme", "channels": channels}}
    if name == "several teams":
        teams["other"] = {"secret": SECRET[::-1], "channels": channels}
    templates = {}
    if name == "share_emails":
        templates = {"path": str(folder)}
        (folder / "create-comment.md.j2").write_text("{{ actor }}: {{ actor.email }}")
    if name == "own templates":
        templates = {"path": str(folder)}
        form, text = OVERRIDES[kind.partition(" ")[0]]
        (folder / form.replace("{{ event.name }}", "event")).write_text(text)
        for event in ("create-comment", "rename-file"):
            (folder / form.replace("{{ event.name }}", event)).write_text(text)
    penpot = {"url": "https://design.example.com", "access_token": "token"}
    return Config.model_validate(
        {"penpot": penpot, "people": PEOPLE, "teams": teams, "templates": templates}
    )


class NoFacts:
    async def facts(self, _team: str, _keys: Any) -> dict[Any, str]:
        return {}

    async def counts(self, _keys: Any) -> dict[Any, str]:
        return {}


async def planned(config: Config, templates: Templates, event: Event) -> list[Message]:
    """The messages that fan-out stores."""
    planner = Planner(config, FactCache(NoFacts()), NoFacts(), templates, Metrics())
    row = StoredEvent(7, "acme", "application/json", b"", event.name, "stored", "", time.time())
    picture = "thumbnail" if has_thumbnail(event) else ""
    sent = replace(event, file=replace(event.file, thumbnail=picture))
    plan = await planner.plan(row, PreparedEvent(sent, event))
    deliveries = [*plan.deliveries, *(update.delivery for update in plan.lines)]
    return [Message.loads(delivery.message) for delivery in deliveries]


async def send(servers: Servers, settings: AnyChannel, message: Message, thread: Any) -> str:
    channel = open_channel(settings)
    picture = PICTURE if message.picture else None
    try:
        await channel.send(message, "preview", thread, picture)
    finally:
        await channel.close()
    return servers.received(settings.type)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_preview_is_what_is_sent(
    servers: Servers, tmp_path: Path, kind: str, name: str
) -> None:
    config = config_of(servers, kind, name, tmp_path)
    asyncio.run(_compare(servers, config, tmp_path if config.templates.path else None))


async def _compare(servers: Servers, config: Config, folder: Path | None) -> None:
    (settings,) = config.teams["acme"].channels
    templates = Templates(folder, override_formats())
    drafts = Drafts(config, None)  # type: ignore[arg-type]
    kind, count = settings.type, 0
    for sample in await examples(SAMPLE_NAMES, EventSource.of(config, "acme")):
        # As the lookups find the author of a comment in the list of the team's members.
        event = replace(sample, member=sample.comment.author or sample.actor)
        messages = await planned(config, templates, event)
        draft = await drafts.render(event, "acme", kind)
        assert (draft.skipped == "") == bool(messages), event.name
        for message in messages:
            sent = await send(servers, settings, message, None)
            # The page of the event
            shown = render_preview(kind, message, None, settings)
            assert normal(kind, shown.source) == sent, event.name
            assert not shown.note
        # The editor shows what is made from the event's own template, and not the edited message.
        own = [m.change.fallback if m.change and m.change.fallback else m for m in messages[:1]]
        for message in own:
            sent = await send(servers, settings, message, None)
            assert normal(kind, draft.preview.source) == sent, event.name
            count += 1
            if not message.thread or not settings.in_threads:
                continue
            begun = replace(event, thread=replace(event.thread, begun=True))
            reply = (await drafts.render(begun, "acme", kind)).preview
            thread = replace(THREAD, subject=message.subject)
            sent = await send(servers, settings, message.in_thread(), thread)
            assert normal(kind, reply.source) == sent, event.name
    assert count >= 2


class AlertStore:
    """Where no queue fails."""

    def __init__(self) -> None:
        self.problems = self
        self.messages: list[Message] = []

    async def get_value(self, _key: str) -> None:
        return None

    async def is_failing(self, _queue: str) -> bool:
        return False

    async def announce(self, _team: str, _name: str, deliveries: Any, *_: Any) -> None:
        self.messages += [Message.loads(delivery.message) for delivery in deliveries]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["plain", "no emoji"])
def test_every_previewed_alert_is_what_is_sent(
    servers: Servers, tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(servers, kind, name, tmp_path)
    (settings,) = config.teams["acme"].channels
    monkeypatch.setattr(preview, "uuid4", lambda: SimpleNamespace(hex="preview"))
    now = datetime.now(UTC)  # the test message shows its time
    monkeypatch.setattr("relay.delivery.notices.datetime", SimpleNamespace(now=lambda _: now))
    for notice in NOTICES.keys() - {"digest"}:
        (shown,) = render_previews(config, notice, kind=settings.type, team="acme")
        sent = asyncio.run(_send_notice(servers, config, notice))
        assert normal(settings.type, shown) == sent, notice


async def _send_notice(servers: Servers, config: Config, name: str) -> str:
    (settings,) = config.teams["acme"].channels
    if name == "test":
        is_sent, text = await preview.send_test(config, "acme", settings)
        assert is_sent, text
        return servers.received(settings.type)
    store: Any = AlertStore()
    plain = set() if settings.emoji else {"acme/one"}
    notices = NoticeRenderer(Templates(None, override_formats()), Metrics())
    alerts = Alerts(config.alert_queues(), store, notices, plain)
    assert await alerts.send("acme", name, **notice_sample(name, config.penpot.url))
    return await send(servers, settings, store.messages[0], None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_previewed_digest_is_what_is_sent(servers: Servers, tmp_path: Path, kind: str) -> None:
    config = config_of(servers, kind, "plain", tmp_path)
    (settings,) = config.teams["acme"].channels

    async def compare() -> None:
        templates = Templates(None, override_formats())
        samples = await examples(SAMPLE_NAMES, EventSource.of(config, "acme"))
        waiting = [
            message
            for event in digested({event.name: event for event in samples})
            for message in await planned(config, templates, event)
        ]
        message = digest_of(templates, waiting)
        assert {person.name for person in message.mentions} == {"Grace Hopper"}
        shown = render_preview(settings.type, message, None, settings)
        assert normal(settings.type, shown.source) == await send(servers, settings, message, None)

    asyncio.run(compare())


class ThreadStore:
    async def get_thread(self, _queue: str, _thread: str) -> ThreadReceipts:
        return ThreadReceipts(THREAD.root, THREAD.last, "subject")


@pytest.mark.parametrize("name", ["resolve-comment-thread", "update-comment"])
def test_the_page_shows_an_edit_in_the_place_of_the_edited_message(
    servers: Servers, tmp_path: Path, name: str
) -> None:
    """The first message of a thread in full, a reply as a reply."""
    config = config_of(servers, "slack", "plain", tmp_path)
    inspector: Any = SimpleNamespace(config=config, store=ThreadStore())

    async def show() -> tuple[Message, MessagePreview]:
        (event,) = await examples([name], EventSource.of(config, "acme"))
        messages = await planned(config, Templates(None, override_formats()), event)
        (edit,) = [message for message in messages if message.change]
        delivery: Any = SimpleNamespace(
            queue="acme/one", message=edit.dumps(), receipt="", state="sent", event_id=7
        )
        return edit, await event_page._preview(inspector, delivery)

    edit, shown = asyncio.run(show())
    is_first = name == "resolve-comment-thread"
    expected = edit if is_first else edit.in_thread()
    assert shown.source == render_preview("slack", expected).source
    assert ("Open comment" in shown.source) == is_first
