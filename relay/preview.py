"""``relay preview``: the messages that a channel would send."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from relay.channels import (
    CHANNEL_TYPES,
    DEFAULT_KIND,
    body_template,
    open_channel,
    override_formats,
    render_preview,
)
from relay.channels.base import DeliveryError
from relay.config.schedule import describe_hold
from relay.config.settings import AnyChannel, Config
from relay.delivery.changes import renderer_of
from relay.delivery.decisions import ThreadHome, decide, describe_undecided, is_counted
from relay.delivery.fact_cache import FactCache, FactStore
from relay.delivery.holds import released_at
from relay.delivery.notices import NOTICES, notice_sample, notice_variables
from relay.delivery.payloads import notice_payload
from relay.delivery.pipeline import EventSource, examples, prepare
from relay.delivery.renderer import channel_to_preview
from relay.delivery.routing import thread_home
from relay.delivery.thumbnails import has_thumbnail
from relay.errors import RelayError
from relay.messages.lint import Problem
from relay.messages.message import Message
from relay.messages.templates import RenderResult, Templates
from relay.penpot.activity import LINE
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event, NotAnEvent
from relay.penpot.samples import SAMPLE_NAMES, SampleFacts
from relay.penpot.wire import UnreadableBody
from relay.reference import UnknownEvent
from relay.store import store_at
from relay.store.records import FactKey, StoreUnavailable, StoreUnusable


class PreviewError(RelayError):
    """The options are invalid, or a template failed."""


def render_previews(
    config: Config | None,
    name: str | None,
    *,
    kind: str = DEFAULT_KIND,
    channel: str | None = None,
    team: str | None = None,
    payload: Path | None = None,
    project: str | None = None,
) -> Iterator[str]:
    """What the team's ``channel``, or its first one of a ``kind``, sends about the event or notice
    ``name``, or about all events; for an event that edits an earlier message, the edited message
    too.

    Without such a channel the options have their defaults, and without a ``config`` the templates
    are the built-in ones. ``payload`` is a file with a webhook body to use instead of the samples,
    ``project`` a name in place of theirs; with either the last text says which channels of the team
    would get the events, and why. Raises ``PreviewError`` and ``UnknownEvent``.
    """
    config = config or Config.model_construct(teams={})
    if name is not None and name not in {*CATALOGUE, *NOTICES} and payload is None:
        raise UnknownEvent(name)
    if config.teams and team is not None and team not in config.teams:
        raise PreviewError(f"--team {team} is none of: {', '.join(config.teams)}")
    team = team or next(iter(config.teams), "acme")
    channels = config.teams[team].channels if team in config.teams else ()
    chosen = next((each for each in channels if each.name == channel), None)
    if chosen is None and channel is not None:
        raise PreviewError(unknown_channel(channel, team, channels))
    kind = chosen.type if chosen else kind
    source = EventSource.of(config, team)
    templates = Templates(config.templates.path, override_formats())
    body = payload.read_bytes() if payload else b""
    try:
        events = asyncio.run(_events(config, name, source, body, project))
    except (UnreadableBody, NotAnEvent) as error:
        raise PreviewError(f"{payload}: {error}") from error
    find = partial(_channel, config, team, kind, chosen)
    messages = asyncio.run(_messages(config, templates, name, find, source, events))
    for message, settings in messages:
        preview = render_preview(kind, message, settings=settings)
        if preview.note:
            raise PreviewError(preview.note)
        yield preview.source
    if (body or project) and channels:
        yield "\n".join(
            f"{f'{event.name}: ' if len(events) > 1 else ''}{line}"
            for event, home in events
            for line in _routes(config, templates, source, event, home)
        )


def unknown_channel(name: str, team: str, channels: Sequence[AnyChannel]) -> str:
    """The text for a name that none of the team's channels has."""
    names = ", ".join(each.name for each in channels) or "there is none"
    hint = f"; a kind of channel is --kind {name}" if name in CHANNEL_TYPES else ""
    return f"--channel {name} is none of the channels of {team}: {names}{hint}"


def _routes(
    config: Config,
    templates: Templates,
    source: EventSource,
    event: Event,
    home: ThreadHome | None,
) -> Iterator[str]:
    """Which channels of the team would get the event, and why."""
    team = source.team
    renderer = renderer_of(templates, event, team, config)
    for channel in config.teams[team].channels:
        decision = decide(event, channel, home)
        reason = decision.skipped if decision.skipped is not None else renderer.skips(channel)
        if decision.undecided and not reason:
            why = describe_undecided(decision.undecided)
            yield f"{team}/{channel.name}: waiting ({why})"
        elif decision.skipped is None and not reason:
            how = "gets it in a daily line" if is_counted(event, channel) else "gets it"
            held = _held(config, f"{team}/{channel.name}")
            yield f"{team}/{channel.name}: {how}{held} ({'; '.join(decision.entries)})"
        else:
            why = reason or "no entry of its events matches"
            yield f"{team}/{channel.name}: skipped ({why})"


def _held(config: Config, queue: str) -> str:
    """Until when the queue would hold a message of now."""
    hold, now = config.holds.get(queue), time.time()
    until = released_at(hold, now) if hold else None
    return f", {describe_hold(until, now, hold.zone)}" if hold and until else ""


async def _events(
    config: Config, name: str | None, source: EventSource, body: bytes, project: str | None
) -> list[tuple[Event, ThreadHome | None]]:
    """That of a body, with the names that the store has, if there is one, and those of the samples;
    or samples. None for a notice, which no list of a channel judges."""
    team = config.teams.get(source.team)
    channels = team.channels if team else ()
    async with AsyncExitStack() as opened:
        if body:
            form = "transit+json" if body.lstrip()[:1] == b"[" else "json"
            facts = FactCache(_KnownFacts(await _stored_facts(config, opened) if team else None))
            events = [(await prepare(body, f"application/{form}", source, facts)).linked]
        else:
            facts = FactCache(SampleFacts())
            names = [name] if name else SAMPLE_NAMES
            events = await examples([each for each in names if each not in NOTICES], source)
        if project:
            events = [
                replace(event, project=replace(event.project, name=project))
                for event in events
                if event.project
            ]
        return [(each, await thread_home(each, source.team, channels, facts)) for each in events]


async def _stored_facts(config: Config, opened: AsyncExitStack) -> FactStore | None:
    """None without a store that can be read."""
    try:
        store = store_at(config.store.url.reveal())
        await store.open(service=False)
    except (StoreUnusable, StoreUnavailable):
        return None
    opened.push_async_callback(store.close)
    return store


class _KnownFacts:
    def __init__(self, stored: FactStore | None) -> None:
        self._stored = stored

    async def facts(self, team: str, keys: Collection[FactKey]) -> Mapping[FactKey, str]:
        known = dict(await SampleFacts().facts(team, keys))
        return known | dict(await self._stored.facts(team, keys) if self._stored else {})


def _channel(
    config: Config, team: str, kind: str, chosen: AnyChannel | None, event: Event
) -> AnyChannel:
    return chosen or channel_to_preview(config, team, kind, event)


async def _messages(
    config: Config,
    templates: Templates,
    name: str | None,
    find: Callable[[Event], AnyChannel],
    source: EventSource,
    events: Sequence[tuple[Event, ThreadHome | None]],
) -> list[tuple[Message, AnyChannel]]:
    team = source.team
    messages: list[tuple[Message, AnyChannel]] = []
    if name and name in NOTICES and not events:
        channel = find(Event(name))
        result = _render_notice(config, templates, name, source, channel)
        _require_no(result.problems)
        return [(result.message, channel)]
    for event, _ in events:
        channel = find(event)
        picture = "thumbnail" if has_thumbnail(event) else ""
        renderer = renderer_of(templates, event, team, config, picture)
        messages.append((await renderer.preview(channel), channel))
        for rendered in await renderer.messages(channel):
            message = Message.loads(rendered.message)
            if message.change and not (message.change.removes or message.change.only_held):
                messages.append((message, channel))
        _require_no(renderer.problems)
    return messages


def _render_notice(
    config: Config, templates: Templates, name: str, source: EventSource, channel: AnyChannel
) -> RenderResult:
    """An alert with sample values, or the test message, as the channel gets it."""
    values = notice_sample(name, source.penpot_url)
    place = {"team": source.name, "url": source.penpot_url} if name == "test" else {}
    variables = notice_variables(name, values, **place)
    if not channel.emoji:
        variables = {**variables, "emoji": ""}
    # Alerts and digests have no template for one kind of channel, or of one channel.
    is_own = name in ("test", LINE)
    result = templates.render(
        name,
        variables,
        team=source.team,
        channel_kind=channel.type if is_own else "",
        body_template=body_template(channel) if name == "test" else "",
        locale=config.locale(source.team, channel),
    )
    message = replace(result.message, payload=notice_payload(name, result.message, values))
    return replace(result, message=message)


def _require_no(problems: Iterable[Problem]) -> None:
    if lines := [f"template {problem}" for problem in problems]:
        raise PreviewError("\n".join(lines))


async def send_test(
    config: Config, team: str, settings: AnyChannel, templates: Templates | None = None
) -> tuple[bool, str]:
    """Whether the channel accepted a test message, and a text about it for the user. Without
    ``templates`` the config's are used in a sandbox of their own."""
    if templates is None:
        with closing(Templates(config.templates.path, override_formats())) as templates:
            return await send_test(config, team, settings, templates)
    source = EventSource.of(config, team)
    test = partial(_render_notice, config, templates, "test", source, settings)
    rendered = await templates.turns.run(team, test)
    channel = open_channel(settings)
    try:
        receipt = await channel.send(rendered.message, uuid4().hex)
    except DeliveryError as error:
        return False, f"not sent: {error}"
    finally:
        await channel.close()
    return True, f"sent ({receipt.id})" if receipt.id else "sent"
