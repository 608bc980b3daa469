"""From an event to its messages: one for each variant that its channels need."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from relay.channels import CHANNEL_TYPES, body_template, example_settings
from relay.config.settings import AnyChannel, Config, PersonSettings
from relay.delivery.decisions import selection_of
from relay.delivery.payloads import event_payload
from relay.messages.escape import one_line
from relay.messages.lint import Problem, Variables
from relay.messages.locale import DEFAULT_LOCALE, ENGLISH, Locale
from relay.messages.message import Author, Mention, Message
from relay.messages.shorten import shorten
from relay.messages.templates import RenderResult, Templates
from relay.penpot.events import Event, Person

NOT_MENTIONED, NOT_INVOLVED = "nobody is mentioned", "nobody else is involved"
ADDRESSED = "who is mentioned gets another channel's message"
MAX_SUMMARY_LENGTH = 320  # characters: a title, and a comment in quotation marks
MAX_COMMENT_LENGTH = 90  # characters of the comment in it

_WORDS_EVENTS = frozenset({"create-comment-thread", "create-comment", "update-comment"})
"""What a person said: all other events of Penpot report activity."""


def mentions_to_ping(event: Event, people: Mapping[str, PersonSettings]) -> tuple[Mention, ...]:
    """The people whom Penpot lists as mentioned in an enriched event, without the comment's author,
    the actor, and who is muted. ``people`` is the config's: by mail address or profile id, in lower
    case."""
    return _notified(event, event.comment.mentions, people)


def participants_to_notify(
    event: Event, people: Mapping[str, PersonSettings]
) -> tuple[Mention, ...]:
    """The participants of the thread that an enriched event continues, without those whom it
    mentions; otherwise as ``mentions_to_ping``."""
    if event.name != "create-comment":
        return ()
    mentioned = {person.id for person in event.comment.mentions}
    others = [person for person in event.participants if person.id not in mentioned]
    return _notified(event, others, people)


def _notified(
    event: Event, persons: Iterable[Person], people: Mapping[str, PersonSettings]
) -> tuple[Mention, ...]:
    mentions = []
    for person in persons:
        if person.id in (event.actor.id, event.comment.author.id):
            continue
        keys = (person.id, person.email.lower())
        entries = [people[key] for key in keys if key in people]
        if not any(entry.mute for entry in entries):
            addresses = next((entry.addresses for entry in entries if entry.addresses), {})
            mentions.append(Mention(person.id, person.name, person.email, addresses))
    return tuple(mentions)


class MessageOptions(NamedTuple):
    """What the text of an event's message depends on, besides the event and the kind of channel."""

    share_emails: bool = False  # whether templates get people's mail addresses
    in_digests: bool = False  # whether the message can go into a digest
    emoji: bool = True
    several_teams: bool = False  # whether another team of the config posts to the same place
    direct: bool = False  # whether the message is for a person whom the event mentions
    as_sender: bool = False  # whether the channel shows the actor as the message's sender
    locale: Locale = DEFAULT_LOCALE
    body_template: str = ""  # whose output is sent; empty for none

    @classmethod
    def of(
        cls,
        channel: AnyChannel,
        *,
        several_teams: bool = False,
        locale: Locale = DEFAULT_LOCALE,
    ) -> "MessageOptions":
        return cls(
            share_emails=channel.share_emails,
            in_digests=channel.in_digests,
            emoji=channel.emoji,
            several_teams=several_teams,
            direct=channel.is_direct,
            locale=locale,
            body_template=body_template(channel),
        )

    @classmethod
    def in_config(cls, config: Config, team: str, channel: AnyChannel) -> "MessageOptions":
        """Those of a team's channel, or of one for previews."""
        return cls.of(
            channel,
            several_teams=channel.name in config.shared_channels(team),
            locale=config.locale(team, channel),
        )

    def visible(self, event: Event) -> Event:
        """What the channel may show of an event."""
        return event if self.share_emails else event.without_emails()

    def variables(self, event: Event) -> Variables:
        """The variables of the templates of ``event``, which is enriched and linked."""
        return self.visible(event).variables() | {
            "as_sender": self.as_sender,
            "direct": self.direct,
            "emoji": event.emoji if self.emoji else "",
            "several_teams": self.several_teams,
        }


def render(
    templates: Templates,
    event: Event,
    team: str,
    kind: str,
    options: MessageOptions = MessageOptions(),  # noqa: B008 - immutable
    drafts: Mapping[str, str] | None = None,
    more: Variables = MappingProxyType({}),
    *,
    content_only: bool = False,
) -> RenderResult:
    """Render an enriched and linked event for one kind of channel; ``drafts`` and ``content_only``
    are as for ``Templates.render``, ``more`` as in ``RenderContext``."""
    variables = {**options.variables(event), **more}
    result = templates.render(
        event.name,
        variables if options.emoji else {**variables, "emoji": ""},
        team=team,
        channel_kind=kind,
        drafts=drafts,
        digest=options.in_digests,
        content_only=content_only,
        locale=options.locale,
        body_template=options.body_template,
    )
    is_activity = event.name not in _WORDS_EVENTS
    message = replace(result.message, activity=is_activity, comment=_comment_of(event))
    if CHANNEL_TYPES[kind].sends_payloads:
        payload = event_payload(options.visible(event), message, share_emails=options.share_emails)
        message = replace(message, payload=payload)
    return replace(result, message=message)


def _comment_of(event: Event) -> str | None:
    """``Message.comment``."""
    if event.name not in _WORDS_EVENTS:
        return None
    is_first = event.name == "create-comment-thread" or event.comment.is_first
    return "" if is_first else event.comment.id or None


class RenderedMessage(NamedTuple):
    """Fields as in ``NewDelivery``: the serialized message, and the thread and comment that it
    shows, if any."""

    message: str
    thread: str = ""
    comment: str = ""


class _Variant(NamedTuple):
    kind: str
    in_thread: bool
    options: MessageOptions
    by_author: bool  # whether there is also a form for the comment's author as the sender


class RenderContext(NamedTuple):
    """An enriched and linked event, and what its messages need besides the channel."""

    templates: Templates
    event: Event
    team: str  # the key of one in the config
    people: Sequence[Mention] = ()  # who are pinged
    picture: str = ""  # the id of the thumbnail
    options_of: Callable[[AnyChannel], MessageOptions] = MessageOptions.of
    drafts: Mapping[str, str] | None = None  # as for ``Templates.render``
    participants: Sequence[Mention] = ()  # get a message where the channel writes to them
    more: Variables = MappingProxyType({})
    """Variables of the templates besides those of the event; an ``emoji`` replaces the event's."""


class EventRenderer:
    """Renders one event for every channel that accepts it."""

    def __init__(self, context: RenderContext) -> None:
        self.problems: set[Problem] = set()
        self._context = context
        self._event = context.event
        self._people = tuple(context.people)
        # The first message of a resolved thread is short.
        is_resolved = self._event.name == "create-comment-thread" and self._event.thread.resolved
        self._picture = "" if is_resolved else context.picture
        self._rendered: dict[_Variant, Message] = {}
        self._written: dict[tuple[str, str], str] = {}  # by kind and person: the channel
        self._addressed: frozenset[tuple[str, str]] = frozenset()  # kind and person
        self._serialized: dict[tuple[_Variant, bool], RenderedMessage] = {}

    async def messages(self, channel: AnyChannel) -> list[RenderedMessage]:
        """The channel's message, and the direct ones."""
        direct = await self.direct_messages(channel)
        if channel.is_direct:
            return direct
        key = self._variant(channel), channel.has_thumbnails
        if key not in self._serialized:
            text = (await self.compose(channel)).dumps()
            self._serialized[key] = RenderedMessage(text, *self._shown_ids())
        return [self._serialized[key], *direct]

    def expect(self, channels: Iterable[AnyChannel]) -> None:
        """All channels that get messages: whom one's own message is addressed to gets none from the
        others."""
        self._addressed = frozenset(
            (channel.type, person.id)
            for channel in channels
            for person in channel.shared_recipients(self._people)
        )

    async def direct_messages(self, channel: AnyChannel) -> list[RenderedMessage]:
        """One for each person to whom the channel writes directly."""
        people = [
            person
            for person in channel.direct_recipients(self._people)
            # From the first of several channels that write to people beside their own place.
            if channel.is_direct
            or (
                (channel.type, person.id) not in self._addressed
                and self._written.setdefault((channel.type, person.id), channel.name)
                == channel.name
            )
        ]
        others = self._context.participants if channel.writes_to_participants else ()
        messages = []
        for persons, is_mentioned in ((people, True), (others, False)):
            if persons:
                message = await self._message(channel, direct=is_mentioned)
                messages += [
                    replace(message, to=person, mentioned=is_mentioned) for person in persons
                ]
        return [RenderedMessage(message.dumps()) for message in messages]

    async def compose(self, channel: AnyChannel) -> Message:
        """The message of a channel that is not direct, not serialized."""
        return replace(await self._message(channel), mentions=self._people)

    async def compose_direct(self, channel: AnyChannel, *, mentioned: bool) -> Message:
        """A message for a person, without its recipient, not serialized."""
        return replace(await self._message(channel, direct=mentioned), mentioned=mentioned)

    def with_event(self, event: Event, more: Variables) -> "EventRenderer":
        """For another event, otherwise the same; problems are collected here as well."""
        renderer = EventRenderer(self._context._replace(event=event, more=more))
        renderer.problems = self.problems
        return renderer

    async def preview(self, channel: AnyChannel) -> Message:
        """The channel's message, made from the event's own template; a direct one is that of the
        first person."""
        for rendered in await self.messages(channel):
            return Message.loads(rendered.message)
        return await self._message(channel)

    def skips(self, channel: AnyChannel) -> str:
        """Why the channel gets no message about the event; empty if it gets one."""
        if not channel.is_direct or self._people:
            return ""
        if channel.writes_to_participants:
            return "" if self._context.participants else NOT_INVOLVED
        return NOT_MENTIONED

    async def summary(self) -> str:
        """What happened and the comment, as one line of English for people who look for the
        event. Every part may come from Penpot's users."""
        event, templates = self._event, self._context.templates
        titles = [
            message.title
            for variant, message in self._rendered.items()
            if not variant.options.direct and message.language == ENGLISH
        ]
        if templates.user is None and titles:
            title = titles[0]
        else:
            work = partial(templates.builtin_title, event.name, MessageOptions().variables(event))
            title = await templates.turns.run(self._context.team, work)
        if event.thread.name and event.thread.name not in title:
            title = f"{title} {event.thread.name}"
        if text := one_line(event.comment.text):
            title = f"{title}: “{shorten(text, MAX_COMMENT_LENGTH)}”"
        return shorten(title, MAX_SUMMARY_LENGTH)

    async def _message(self, channel: AnyChannel, *, direct: bool | None = None) -> Message:
        """``direct``: for a person who is mentioned, or for one who is not."""
        variant = self._variant(channel)
        if direct is not None:
            options = variant.options._replace(direct=direct, in_digests=channel.holds)
            variant = variant._replace(options=options, in_thread=False)
        if variant not in self._rendered:
            self._rendered[variant] = await self._render_variant(variant)
        has_picture = channel.has_thumbnails and (
            channel.in_threads or self._event.name != "create-comment"  # one for each thread
        )
        picture = self._picture if has_picture else ""
        return replace(self._rendered[variant], picture=picture)

    def _variant(self, channel: AnyChannel) -> _Variant:
        in_thread = (
            channel.in_threads
            and CHANNEL_TYPES[channel.type].brief_replies
            and self._event.thread.id != ""
            # The first message of a thread has no other before it.
            and self._event.name != "create-comment-thread"
        )
        options = self._context.options_of(channel)
        by_author = channel.shows_author and self._event.name in _COMMENT_EVENTS
        by_author = by_author and bool(self._event.member)
        return _Variant(channel.type, in_thread, options, by_author)

    def _shown_ids(self) -> tuple[str, str]:
        """The thread and the comment that the message shows, so that an edit finds it."""
        match self._event.name:
            case "create-comment-thread":
                return self._event.thread.id, ""
            case "create-comment" if self._event.comment.id:
                return self._event.thread.id, self._event.comment.id
        return "", ""

    async def _render_variant(self, variant: _Variant) -> Message:
        message = await self._render_places(variant)
        if variant.by_author:
            options = variant.options._replace(as_sender=True, in_digests=False)
            own = await self._render_places(variant._replace(options=options), content_only=True)
            message = replace(message, author=author_of(self._event, own))
        return message

    async def _render_places(self, variant: _Variant, *, content_only: bool = False) -> Message:
        """With the form of the message in its thread."""
        message = await self._render(self._event, variant, content_only=content_only)
        if variant.in_thread:
            in_thread = replace(self._event, thread=replace(self._event.thread, begun=True))
            options = variant.options._replace(in_digests=False)
            variant = variant._replace(options=options)
            reply = await self._render(in_thread, variant, content_only=True)
            if reply.full != message.full:
                message = replace(message, reply=reply.full)
        return message

    async def _render(self, event: Event, variant: _Variant, *, content_only: bool) -> Message:
        context, (kind, _, options, _) = self._context, variant
        templates, team = context.templates, context.team
        arguments = (templates, event, team, kind, options, context.drafts, context.more)
        work = partial(render, *arguments, content_only=content_only)
        result = await templates.turns.run(team, work)
        self.problems.update(result.problems)
        return result.message


def author_of(event: Event, own: Message | None = None) -> Author | None:
    """The comment's author as a message's sender; ``own`` is the message without their name."""
    if not event.member:
        return None
    contents = (own.full, own.reply) if own else ()
    return Author(event.member.name, event.member.email, *contents)


_COMMENT_EVENTS = frozenset({"create-comment-thread", "create-comment"})


def channel_to_preview(config: Config, team: str, kind: str, event: Event) -> AnyChannel:
    """The team's first channel of that kind that takes the event, else the first one of that kind,
    else one without options."""
    settings = config.teams.get(team)
    channels = [one for one in (settings.channels if settings else ()) if one.type == kind]
    for channel in channels:
        if selection_of(channel).takes(event.name, event.group):
            return channel
    return channels[0] if channels else example_settings(kind)
