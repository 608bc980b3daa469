"""``relay events``: descriptions of the events and their template variables."""

import difflib
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from relay.delivery.notices import NOTICES, Notice
from relay.errors import RelayError
from relay.penpot.catalogue import CATALOGUE, GROUPS, EventKind

VARIABLES = {
    "event": "the event: event.name, event.group, event.at (a time), event.url (the most specific "
    "place in Penpot), event.opens (what that is: comment, thread, file, project, library, "
    "fonts or team), event.props (all that Penpot sent, with long texts and lists cut), "
    "event.file_count (the number of its files), event.missed (whether the webhook was lost and "
    "the message is late)",
    "actor": "who did it, if Penpot sends that: actor.name, actor.id, actor.email (only if the "
    "channel has share_emails = true)",
    "team": "the Penpot team: team.name, team.id, team.url",
    "project": "the project: project.name, project.id, project.url",
    "file": "the file: file.name, file.id, file.url, file.thumbnail (the address of its picture in "
    "Penpot, only if a channel of the team has thumbnails = true)",
    "files": "several files, the first 100 of event.file_count; each has name, id, url",
    "page": "the page of a comment: page.name, page.id, page.url",
    "thread": "the comment thread: thread.number, thread.name (#15), thread.url, thread.first (its "
    "first comment), thread.begun (whether the message is a reply to the thread's first message in "
    "the channel), thread.resolved (true, "
    "false, or none if unknown), thread.board (id), "
    "thread.id",
    "comment": "the comment: comment.text, comment.url, comment.author and comment.mentions (the "
    "people, each with name, id, email as for actor), comment.is_first (whether it is its "
    "thread's first), comment.before (its text before it was edited), comment.edited (whether the "
    "message must mention the edit), comment.id",
    "library": "the shared library: library.name, library.id, library.url",
    "font": "the font: font.name, font.style, font.weight, font.id, font.url",
    "previous": "the old name, or the original of a copy: previous.name, previous.id, previous.url",
}
"""A variable is falsy if its name (a comment's text, a thread's number) is unknown."""


BLOCKS = {
    "title": "one line of plain text: what happened",
    "notice": "one line of plain text with the words themselves: what a phone, a screen reader and "
    "the list of mails show; by default the title",
    "subject": "the subject of a mail that starts a thread; by default team and title",
    "body": "the message; by default the title",
    "footer": "shown in small type",
    "digest": "the message as an entry of a digest, under its file and thread; best on one line, "
    "as the entries of a thread form one quotation; by default the title with its first link",
}
OPTIONS = {
    "direct": "whether the message is for a person whom the event mentions",
    "emoji": "that of the event's kind, ✅ for a resolved thread; empty for other comments, and "
    "with emoji = false",
    "several_teams": "whether another team of the config posts to the same place",
    "as_sender": "whether the channel shows the person as the message's sender",
    "language": "the code of the message's language, such as es",
    "timezone": "the zone of its times, such as Europe/Madrid",
}
"""What templates get about their channel."""


def list_events() -> str:
    width = max(map(len, CATALOGUE)) + 2
    lines = []
    for group in GROUPS:
        lines.append(group)
        for kind in CATALOGUE.values():
            if kind.group == group and not kind.synthetic:
                marks = f"{' ' if kind.is_default else '-'}{'=' if kind.is_activity else ' '}"
                lines.append(f" {marks} {kind.name:<{width}}{kind.when}")
        lines.append("")
    lines.append("Not sent by Penpot: Relay polls for these with penpot.access_token")
    for kind in CATALOGUE.values():
        if kind.synthetic:
            lines.append(f"    {kind.name:<{width}}{kind.when} ({kind.group})")
    lines += ["", "Sent by Relay itself"]
    for name, notice in NOTICES.items():
        lines.append(f"    {name:<{width}}{notice.when}")
    lines += [
        "",
        "- is not sent unless a channel's events list includes it.",
        '= is activity: a line a day sums it up, unless a channel has activity = "each".',
        "`relay events NAME` lists the template variables, `relay preview NAME` shows the message.",
    ]
    return "\n".join(lines)


_ACTIVITY = 'a line a day sums it up, unless the channel has activity = "each".'


class UnknownEvent(RelayError):
    """The catalogue does not have this name."""

    def __init__(self, name: str) -> None:
        close = difflib.get_close_matches(name, [*CATALOGUE, *NOTICES], n=1)
        hint = f"did you mean {close[0]}?" if close else "`relay events` lists them"
        super().__init__(f"{name} is no event of the catalogue: {hint}")


def describe_event(name: str) -> str:
    """Raises ``UnknownEvent``."""
    if notice := NOTICES.get(name):
        lines = [f"{name} (sent by Relay itself)", notice.when]
        described = {key: VARIABLES[key] for key in ("event", "team")} | dict(notice.variables)
    elif kind := CATALOGUE.get(name):
        note = kind.note if kind.is_default else f"{kind.note} Not sent to a channel by default."
        note = f"{note} Activity: {_ACTIVITY}" if kind.is_activity else note
        lines = [f"{name} ({kind.group})", kind.when, *textwrap.wrap(note.strip(), 80)]
        described = {key: VARIABLES[key] for key in ("event", *kind.variables)}
    else:
        raise UnknownEvent(name)
    lines += ["", f"Template: {name}.md.j2, with", *_table(described)]
    if name != "digest":
        lines += ["", "About the channel:", *_table(OPTIONS), "", "Blocks:", *_table(BLOCKS)]
    return "\n".join(lines)


def document(name: str | None = None) -> dict[str, Any]:
    """The same for programs: all events or one of them, and what each template also gets. Raises
    ``UnknownEvent``."""
    described = [_event(kind) for kind in CATALOGUE.values()]
    described += [_notice(each, notice) for each, notice in NOTICES.items()]
    found = [each for each in described if name in (None, each["name"])]
    if name is not None and not found:
        raise UnknownEvent(name)
    return {"events": found, "options": OPTIONS, "blocks": BLOCKS}


def _event(kind: EventKind) -> dict[str, Any]:
    return {
        "name": kind.name,
        "group": kind.group,
        "source": "sync" if kind.synthetic else "webhook",
        "when": kind.when,
        "note": kind.note,
        "default": kind.is_default,
        "activity": kind.is_activity,
        "variables": {key: VARIABLES[key] for key in ("event", *kind.variables)},
    }


def _notice(name: str, notice: Notice) -> dict[str, Any]:
    own = {key: VARIABLES[key] for key in ("event", "team")} | dict(notice.variables)
    return {"name": name, "source": "relay", "when": notice.when, "variables": own}


def _table(rows: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, [*VARIABLES, *rows])) + 2
    for name, text in rows.items():
        first, *others = textwrap.wrap(text, 76 - width)
        yield f"  {name:<{width}}{first}"
        yield from (" " * (width + 2) + line for line in others)
