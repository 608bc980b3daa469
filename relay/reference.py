"""``relay events``: descriptions of the events and their template variables."""

import difflib
import textwrap

from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.selection import Selection

VARIABLES = {
    "event": "the event: event.name, event.group, event.at (a time), event.url (the most specific "
    "place in Penpot), event.props (all that Penpot sent, with long texts and lists cut), "
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
    "the channel), thread.resolved (true, false, or none if unknown), thread.board (id), "
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


def list_events() -> str:
    width = max(map(len, CATALOGUE)) + 2
    default = Selection()
    lines = []
    for group in GROUPS:
        lines.append(group)
        for kind in CATALOGUE.values():
            if kind.group == group and not kind.synthetic:
                mark = " " if default.takes(kind.name, group) else "-"
                lines.append(f" {mark} {kind.name:<{width}}{kind.when}")
        lines.append("")
    lines.append("Not sent by Penpot: Relay polls for these with penpot.access_token")
    for kind in CATALOGUE.values():
        if kind.synthetic:
            lines.append(f"   {kind.name:<{width}}{kind.when} ({kind.group})")
    lines.append("")
    lines.append("- is not sent unless a channel's events list includes it.")
    lines.append(
        "`relay events NAME` lists the template variables, `relay preview NAME` shows the message."
    )
    return "\n".join(lines)


def unknown_event(name: str) -> str:
    """The error text for a name that the catalogue does not have."""
    close = difflib.get_close_matches(name, list(CATALOGUE), n=1)
    hint = f"did you mean {close[0]}?" if close else "`relay events` lists them"
    return f"{name} is no event of the catalogue: {hint}"


def describe_event(name: str) -> str:
    """Raises ``KeyError`` with ``unknown_event`` for a name that the catalogue does not have."""
    kind = CATALOGUE.get(name)
    if kind is None:
        raise KeyError(unknown_event(name))
    lines = [f"{kind.name} ({kind.group})", kind.when]
    if kind.note:
        lines += textwrap.wrap(kind.note, 80)
    lines += ["", f"Template: {kind.name}.md.j2, with"]
    width = max(map(len, VARIABLES)) + 2
    for variable in ("event", *kind.variables):
        text = textwrap.wrap(VARIABLES[variable], 76 - width)
        lines.append(f"  {variable:<{width}}{text[0]}")
        lines += [" " * (width + 2) + line for line in text[1:]]
    return "\n".join(lines)
