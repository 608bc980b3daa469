"""What each channel sends about every kind of event, alert and digest: the channels' own requests,
received by stand-ins on loopback."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from relay.channels import open_channel, override_formats
from relay.channels.base import Channel, ReplyTo
from relay.config.settings import AnyChannel, PersonSettings
from relay.delivery.changes import ChangeRenderer, is_synthetic
from relay.delivery.digest import combine
from relay.delivery.notices import NOTICES, notice_variables
from relay.delivery.pipeline import EventSource, examples
from relay.delivery.renderer import EventRenderer, MessageOptions, RenderContext, mentions_to_ping
from relay.messages.locale import DEFAULT_LOCALE, Locale
from relay.messages.message import Message, Picture
from relay.messages.templates import Templates
from relay.penpot.events import Event
from relay.penpot.samples import SAMPLE_NAMES
from tests.channels import builders
from tests.channels.apprise.place import ntfy
from tests.channels.webhook.receiver import Receiver
from tests.penpot.paint import board
from tests.servers.discord import Discord
from tests.servers.loopback import in_thread
from tests.servers.matrix import Homeserver
from tests.servers.mattermost import Mattermost
from tests.servers.ntfy import Ntfy
from tests.servers.rocketchat import RocketChat
from tests.servers.slack import Slack
from tests.servers.smtp import MailServer
from tests.servers.teams import Teams

SOURCE = EventSource("acme", "Acme Design", penpot_url="https://design.example.com")
PEOPLE = {
    "ada@example.com": {
        "slack": "U0ADA0000",
        "matrix": "@ada:relay.test",
        "mattermost": "ada",
        "rocketchat": "ada",
        "discord": "80351110224678912",
        "teams": "ada@example.com",
    },
    "grace@example.com": {
        "slack": "U0GRACE00",
        "matrix": "@grace:relay.test",
        "mattermost": "grace",
        "rocketchat": "grace",
        "discord": "80351110224678913",
        "teams": "grace@example.com",
    },
}
PICTURE = Picture(board(), "image/png", 400, 300)
LONG_TEXT = (
    "The headline and the button do not share a baseline, and on narrow screens the second line "
    "of the headline moves below the photo.\n\nSee https://example.com/guidelines/spacing?section="
    "headlines-and-buttons&version=2026-autumn-release-candidate-2#baseline-grid-of-eight-pixels "
    "for what we agreed on; <!channel> and *this* are no markup."
)
LONG_NAME = "Landing page for the autumn campaign, all breakpoints, with the new photography"
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Servers:
    slack: Slack
    matrix: Homeserver
    discord: Discord
    mattermost: Mattermost
    teams: Teams
    mail: MailServer
    ntfy: Ntfy
    rocketchat: RocketChat
    receiver: Receiver


class Recorder:
    """The channels, and what their servers have received."""

    def __init__(self, servers: Servers, urls: list[str]) -> None:
        self.servers = servers
        self._channels: dict[str, Channel] = {}
        more = {"thumbnails": True}
        self.settings: dict[str, AnyChannel] = {
            "slack": _with(builders.slack_bot(f"{urls[0]}/api", "#design"), **more),
            "matrix": _with(builders.matrix(urls[1]), **more),
            "mattermost": _with(builders.mattermost(urls[3]), **more),
            "rocketchat": builders.rocketchat(urls[6]),
            "discord": _with(builders.discord(urls[2]), **more),
            "teams": _with(builders.teams(urls[4]), **more),
            "apprise": ntfy(urls[5]),
            "webhook": builders.webhook(urls[7]),
            "email": _with(builders.email(servers.mail.port), edits="messages", **more),
        }

    async def send(
        self, kind: str, message: Message, thread: ReplyTo | None = None
    ) -> tuple[Any, str]:
        """What the server gets, and the receipt. A first attempt at a Slack message must succeed:
        no other form of it is posted."""
        if kind not in self._channels:
            self._channels[kind] = open_channel(self.settings[kind])
        picture = PICTURE if message.picture else None
        receipt = await self._channels[kind].send(message, "preview", thread, picture)
        return self._last(kind), receipt.id

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    def _last(self, kind: str) -> Any:
        if kind == "slack":
            return self.servers.slack.messages[-1]
        if kind == "matrix":
            # An image may follow the text.
            return next(
                event
                for event in reversed(self.servers.matrix.posted)
                if event["msgtype"] != "m.image"
            )
        if kind == "mattermost":
            return next(reversed(self.servers.mattermost.posts.values()))
        if kind == "rocketchat":
            return self.servers.rocketchat.messages[-1]
        if kind == "discord":
            return self.servers.discord.posted[-1]
        if kind == "teams":
            return self.servers.teams.posted[-1]
        if kind == "webhook":
            return self.servers.receiver.documents[-1]
        if kind == "apprise":
            return self.servers.ntfy.messages[-1]
        return self.servers.mail.mails[-1].content.decode()


def _with(settings: AnyChannel, **keys: Any) -> Any:
    known = {key: value for key, value in keys.items() if key in type(settings).model_fields}
    return type(settings).model_construct(**(dict(settings) | known))


@contextlib.contextmanager
def recorder() -> Iterator[Recorder]:
    with contextlib.ExitStack() as running:
        servers = Servers(
            Slack(),
            Homeserver(),
            Discord(),
            Mattermost(),
            Teams(),
            running.enter_context(MailServer()),
            Ntfy(),
            RocketChat(),
            Receiver(),
        )
        servers.slack.users["grace@example.com"] = "U0GRACE00"
        servers.mattermost.users["grace"] = "gracegracegracegracegrace1"
        handlers = (
            servers.slack.handle,
            servers.matrix.handle,
            servers.discord.handle,
            servers.mattermost.handle,
            servers.teams.handle,
            servers.ntfy.handle,
            servers.rocketchat.handle,
            servers.receiver.handle,
        )
        urls = [running.enter_context(in_thread(handle)).url for handle in handlers]
        yield Recorder(servers, urls)


async def payloads(to: Recorder, locale: Locale = DEFAULT_LOCALE) -> Rows:
    """By kind of message, then by channel: a Slack message, the content of a Matrix event, a
    Mattermost post, a message of Rocket.Chat, the body of a Discord webhook, a card of Teams, what
    ntfy gets by apprise, the document of a webhook, and the bytes of a mail as text."""
    rows: Rows = {}
    for kind, settings in to.settings.items():
        first: Message | None = None
        root = ""
        async for name, message in _messages(settings, locale):
            thread = None
            if name.endswith(IN_THREAD) and first is not None:
                # By position: the field for the subject has had more than one name.
                thread = ReplyTo(root, root, getattr(first, "subject", first.title))
            sent, receipt = await to.send(kind, message, thread)
            if first is None:
                first, root = message, receipt
            rows.setdefault(name, {})[kind] = sent
    await to.close()
    return rows


IN_THREAD = ", in its thread"


async def _messages(settings: AnyChannel, locale: Locale) -> AsyncIterator[tuple[str, Message]]:
    """Each with what it is, the thread's first message first."""
    templates = Templates(None, override_formats())
    events = {event.name: event for event in await examples(SAMPLE_NAMES, SOURCE)}
    for name, event in events.items():
        for message in await rendered(templates, event, settings, locale):
            change = message.change
            yield f"{name}, edited message" if change else name, message
            if change and change.fallback:
                yield name, change.fallback
            if name in ("create-comment", "resolve-comment-thread") and not change:
                yield name + IN_THREAD, message.in_thread()
    asked = events["create-comment-thread"]
    long = replace(
        asked,
        comment=replace(asked.comment, text=LONG_TEXT, mentions=()),
        file=replace(asked.file, name=LONG_NAME),
    )
    for message in await rendered(templates, long, settings, locale):
        yield "create-comment-thread, long", message
    if "direct" in type(settings).model_fields:
        direct = _with(settings, direct="mentioned")
        for message in await rendered(templates, asked, direct, locale):
            yield "create-comment-thread, direct", message
    for name, notice in NOTICES.items():
        if name != "digest":
            url = SOURCE.penpot_url if name == "test" else ""
            values = notice_variables(name, notice.sample, team="Acme Design", url=url)
            result = templates.render(name, values, team="acme", channel_kind="", locale=locale)
            yield name, result.message
    late = [
        message
        for event in digested(events)
        for message in await rendered(templates, event, settings, locale)
    ]
    yield "digest", digest_of(templates, late, locale)


def digest_of(
    templates: Templates, messages: list[Message], locale: Locale = DEFAULT_LOCALE
) -> Message:
    return combine(templates, messages, locale=locale).message


async def rendered(
    templates: Templates, event: Event, settings: AnyChannel, locale: Locale = DEFAULT_LOCALE
) -> list[Message]:
    persons = {key: PersonSettings(addresses) for key, addresses in PEOPLE.items()}
    people = mentions_to_ping(event, persons)
    kind = ChangeRenderer if is_synthetic(event) else EventRenderer
    # Penpot has thumbnails of files and boards.
    has_picture = event.file.id and event.group in ("comments", "files")
    picture = "picture" if has_picture and event.name != "delete-file" else ""
    options = partial(MessageOptions.of, locale=locale)
    context = RenderContext(templates, event, "acme", people, picture, options)
    messages = await kind(context).messages(settings)
    return [Message.loads(message.message) for message in messages]


def digested(events: dict[str, Event]) -> Iterator[Event]:
    """What a busy quarter of an hour leaves behind: comments on two files, and some other work."""
    asked, answered = events["create-comment-thread"], events["create-comment"]
    ada, grace = asked.actor, answered.actor
    pricing = replace(asked.file, id="pricing", name="Pricing page")
    other = replace(asked.thread, id="other", number=13, first="Which grid is this?")
    yield asked
    yield answered
    thanks = replace(answered.comment, text="Much better, thank you!", author=ada)
    yield replace(answered, actor=ada, comment=thanks)
    yield events["rename-file"]
    which = replace(asked.comment, text="Which grid is this?", mentions=(), author=grace)
    yield replace(asked, actor=grace, file=pricing, thread=other, comment=which)
    which = replace(which, text="The one of eight pixels, as on mobile.", author=ada)
    yield replace(answered, actor=ada, file=pricing, thread=other, comment=which)
    yield events["create-project"]
    yield events["update-file"]
