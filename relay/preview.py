"""``relay preview``: the messages that a channel would send."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

from relay.channels import CHANNEL_TYPES, open_channel, override_formats
from relay.channels.base import DeliveryError
from relay.config.settings import AnyChannel, Config
from relay.delivery.lookups import FactCache
from relay.delivery.notices import NOTICES, notice_variables
from relay.delivery.pipeline import EventSource, examples, prepare
from relay.delivery.renderer import original_comment_event, render, updates_message
from relay.errors import RelayError
from relay.messages.templates import RenderResult, Templates
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event, NotAnEvent
from relay.penpot.samples import SAMPLE_NAMES, SampleFacts
from relay.penpot.wire import UnreadableBody
from relay.reference import UnknownEvent


class PreviewError(RelayError):
    """The options are invalid, or a template failed."""


def render_previews(
    config: Config | None, name: str | None, channel: str, team: str | None, payload: Path | None
) -> Iterator[str]:
    """The messages of the event or notice ``name``, or of all events, in ``channel``: one of the
    team, by name, or any of a type. For an event that edits an earlier message, also the edited
    message.

    Without a ``config`` the built-in templates are used. ``payload`` is a file with a webhook body
    to use instead of the samples. Raises ``PreviewError`` and ``UnknownEvent``.
    """
    config = config or Config.model_construct(teams={})
    if name is not None and name not in {*CATALOGUE, *NOTICES} and payload is None:
        raise UnknownEvent(name)
    if config.teams and team is not None and team not in config.teams:
        raise PreviewError(f"--team {team} is none of: {', '.join(config.teams)}")
    team = team or next(iter(config.teams), "acme")
    channels = config.teams[team].channels if team in config.teams else ()
    kinds = {kind: kind for kind in CHANNEL_TYPES} | {each.name: each.type for each in channels}
    if (kind := kinds.get(channel)) is None:
        raise PreviewError(f"--channel {channel} is none of: {', '.join(kinds)}")
    source = EventSource.of(config, team)
    templates = Templates(config.templates.path, override_formats())
    for rendered in _results(templates, name, kind, source, payload):
        if rendered.problems:
            raise PreviewError("\n".join(f"template {problem}" for problem in rendered.problems))
        try:
            yield CHANNEL_TYPES[kind].text(rendered.message)
        except ValueError as error:
            raise PreviewError(f"the template's output {error}") from error


def _results(
    templates: Templates, name: str | None, kind: str, source: EventSource, payload: Path | None
) -> Iterator[RenderResult]:
    if payload is not None:
        events = [_event(payload, source)]
    elif name and name in NOTICES:
        sample = notice_variables(name, NOTICES[name].sample, team=source.name or source.team)
        yield templates.render(name, sample, team=source.team, channel_kind=kind)
        return
    else:
        events = asyncio.run(examples([name] if name else SAMPLE_NAMES, source))
    for event in events:
        yield render(templates, event, source.team, kind)
        if CHANNEL_TYPES[kind].editor and updates_message(event):
            yield render(templates, original_comment_event(event, kind), source.team, kind)


def _event(payload: Path, source: EventSource) -> Event:
    body = payload.read_bytes()
    form = "transit+json" if body.lstrip()[:1] == b"[" else "json"
    facts = FactCache(SampleFacts())
    try:
        return asyncio.run(prepare(body, f"application/{form}", source, facts)).linked
    except (UnreadableBody, NotAnEvent) as error:
        raise PreviewError(f"{payload}: {error}") from error


async def send_test(
    config: Config, team: str, settings: AnyChannel, templates: Templates | None = None
) -> tuple[bool, str]:
    """Whether the channel accepted a test message, and a text about it for the user. Without
    ``templates`` the config's are used in a sandbox of their own."""
    if templates is None:
        with closing(Templates(config.templates.path, override_formats())) as templates:
            return await send_test(config, team, settings, templates)
    variables = notice_variables("test", {}, team=config.team_name(team), url=config.penpot.url)
    test = partial(templates.render, "test", variables, team=team, channel_kind=settings.type)
    rendered = await templates.turns.run(team, test)
    channel = open_channel(settings)
    try:
        receipt = await channel.send(rendered.message, uuid4().hex)
    except DeliveryError as error:
        return False, f"not sent: {error}"
    finally:
        await channel.close()
    return True, f"sent ({receipt.id})" if receipt.id else "sent"
