"""``relay preview``: what a channel would get, without sending it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from email.headerregistry import Address
from email.policy import SMTP
from pathlib import Path

from relay.config import Config, PenpotSettings, TemplateSettings
from relay.delivery.rewording import CHANGED_IN, changes_text, told_anew
from relay.delivery.wording import render
from relay.examples import enriched, example, examples
from relay.messages.message import Message
from relay.messages.templates import Templates as TemplateSet
from relay.penpot.events import CATALOGUE, Event, NotAnEvent, normalize
from relay.penpot.links import add_links
from relay.penpot.wire import UnreadableBody, decode
from relay.reference import unknown

KINDS = ("slack", "matrix", "email", "stdout")


class PreviewError(Exception):
    """What was asked for can't be shown; the text says why."""


def previews(
    config: Config | None, name: str | None, kind: str, team: str | None, payload: Path | None
) -> Iterator[str]:
    """The message of one event, or of all, as a channel of ``kind`` would send it; and where the
    event changes a message that stands there, that one as it is by then.

    Without a ``config`` the built-in templates are shown. ``payload`` is a file with a body to
    take instead of the samples.
    """
    if kind not in KINDS:
        raise PreviewError(f"--channel {kind} is none of: {', '.join(KINDS)}")
    if name is not None and name not in CATALOGUE and payload is None:
        raise PreviewError(unknown(name))
    if config is not None and team is not None and team not in config.teams:
        raise PreviewError(f"--team {team} is none of: {', '.join(config.teams)}")
    team = team or (next(iter(config.teams)) if config else "acme")
    templates = TemplateSet((config.templates if config else TemplateSettings()).path)
    settings = config or Config.model_construct(penpot=PenpotSettings())
    events = [_event(payload)] if payload else [example(name)] if name else examples()
    if config is not None:
        called = config.team_name(team)
        events = [replace(one, team=replace(one.team, name=called)) for one in events]
    for event in (stage for one in events for stage in _stages(one, kind)):
        linked = add_links(event, settings.penpot.url)
        rendered = render(templates, linked, team, kind)
        if rendered.problems:
            raise PreviewError("\n".join(f"template {problem}" for problem in rendered.problems))
        yield _shown(kind, rendered.message)


def _stages(event: Event, kind: str) -> Iterator[Event]:
    yield event
    if kind in CHANGED_IN and changes_text(event):
        yield told_anew(event, kind)


def _event(payload: Path) -> Event:
    body = payload.read_bytes()
    form = "transit+json" if body.lstrip()[:1] == b"[" else "json"
    try:
        return enriched(normalize(decode(body, f"application/{form}")))
    except (UnreadableBody, NotAnEvent) as error:
        raise PreviewError(f"{payload}: {error}") from error


def _shown(kind: str, message: Message) -> str:
    match kind:
        case "slack":
            from relay.channels import slack_blocks

            try:
                arguments = (
                    slack_blocks.override(message)
                    if message.override
                    else slack_blocks.render(message)
                )
            except ValueError as error:
                raise PreviewError(f"the template's JSON {error}") from error
            return json.dumps(arguments, indent=2, ensure_ascii=False)
        case "matrix":
            from relay.channels import matrix_content

            return json.dumps(matrix_content.render(message), indent=2, ensure_ascii=False)
        case "email":
            from relay.channels import email_message

            sender = Address("Penpot", "penpot", "example.com")
            recipient = Address("", "design", "example.com")
            mail = email_message.compose(message, "preview", sender, [recipient])
            return mail.as_bytes(policy=SMTP).decode()
        case _:
            from relay.channels import stdout

            return stdout.render(message)
