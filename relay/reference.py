"""``relay events``: the catalogue and the template variables, for people."""

import difflib
import textwrap

from relay.penpot.events import CATALOGUE, GROUPS
from relay.penpot.selection import Selection

VARIABLES = {
    "event": "the event: event.name, event.group, event.at (a time), event.url (the most telling "
    "place in Penpot), event.props (all that Penpot sent, with long texts and lists cut), "
    "event.file_count (how many files it is about), event.missed (whether no webhook brought it, "
    "and it comes late)",
    "actor": "who did it, where Penpot tells: actor.name, actor.id, actor.email (only where the "
    "channel says share_emails = true)",
    "team": "the Penpot team: team.name, team.id, team.url",
    "project": "the project: project.name, project.id, project.url",
    "file": "the file: file.name, file.id, file.url, file.thumbnail (the address of its picture in "
    "Penpot, only where a channel of the team says thumbnails = true)",
    "files": "several files, the first 100 of event.file_count; each has name, id, url",
    "page": "the page of a comment: page.name, page.id, page.url",
    "thread": "the comment thread: thread.number, thread.name (#15), thread.url, thread.first (its "
    "first comment), thread.begun (whether the message stands under the thread's first one in the "
    "channel), thread.resolved (true, false, or none where it is not known), thread.board (id), "
    "thread.id",
    "comment": "the comment: comment.text, comment.url, comment.author and comment.mentions (the "
    "people, each with name, id, email as for actor), comment.is_first (whether it is its "
    "thread's first), comment.before (its text before it was edited), comment.edited (whether the "
    "message has to say that it was), comment.id",
    "library": "the shared library: library.name, library.id, library.url",
    "font": "the font: font.name, font.style, font.weight, font.id, font.url",
    "previous": "what was before, the old name or the original: previous.name, previous.id, "
    "previous.url",
}
"""What each variable holds. Each is falsy while its name (a comment's text, a thread's number) is
not known."""


def listing() -> str:
    """All kinds of event, by group."""
    width = max(map(len, CATALOGUE)) + 2
    default = Selection()
    lines = []
    for group in GROUPS:
        lines.append(group)
        for kind in CATALOGUE.values():
            if kind.group == group and not kind.own:
                mark = " " if default.takes(kind.name, group) else "-"
                lines.append(f" {mark} {kind.name:<{width}}{kind.when}")
        lines.append("")
    lines.append("What Penpot does not send: Relay finds it out with penpot.access_token")
    for kind in CATALOGUE.values():
        if kind.own:
            lines.append(f"   {kind.name:<{width}}{kind.when} ({kind.group})")
    lines.append("")
    lines.append("- is left out unless a channel's events list asks for it.")
    lines.append("`relay events NAME` tells what a template gets, `relay preview NAME` shows one.")
    return "\n".join(lines)


def unknown(name: str) -> str:
    """What to say of a name that the catalogue does not have."""
    close = difflib.get_close_matches(name, list(CATALOGUE), n=1)
    hint = f"did you mean {close[0]}?" if close else "`relay events` lists them"
    return f"{name} is no event of the catalogue: {hint}"


def describe(name: str) -> str:
    """One kind of event with its template variables.

    Raises ``KeyError`` with a text for a person where there is no such kind.
    """
    kind = CATALOGUE.get(name)
    if kind is None:
        raise KeyError(unknown(name))
    lines = [f"{kind.name} ({kind.group})", kind.when]
    if kind.note:
        lines += textwrap.wrap(kind.note, 80)
    lines += ["", f"Template: {kind.name}.md.j2, with"]
    width = max(map(len, VARIABLES)) + 2
    for variable in ("event", *kind.variables):
        text = textwrap.wrap(VARIABLES[variable], 76 - width)
        lines.append(f"  {variable:<{width}}{text[0]}")
        lines += [" " * (width + 2) + rest for rest in text[1:]]
    return "\n".join(lines)
