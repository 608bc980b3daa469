"""A short description of an event for the inspector's list."""

from relay.messages.graphemes import shorten
from relay.penpot.events import Event

MAX_SUBJECT_LENGTH = 160  # characters
MAX_COMMENT_LENGTH = 90  # characters of a comment in it


def event_subject(event: Event) -> str:
    """What an enriched event is about, as one line of plain text; empty where nothing is known.
    Every part may come from Penpot's users."""
    place = event.file.name or event.project.name or event.font.name or event.library.name
    parts = [place or (f"{len(event.files) + event.more_files} files" if event.files else "")]
    if event.previous and event.previous.name != place:
        parts.append(f"was {event.previous.name}")
    if event.library and event.library.name != place:
        parts.append(event.library.name)
    parts.append(event.thread.name)
    if text := " ".join(event.comment.text.split()):
        parts.append(f"“{shorten(text, MAX_COMMENT_LENGTH)}”")
    return shorten(" · ".join(part for part in parts if part), MAX_SUBJECT_LENGTH)
