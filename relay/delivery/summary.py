"""What an event was about, in a few words for the inspector's list."""

from relay.messages.graphemes import shorten
from relay.penpot.events import Event

MOST = 160
"""Characters of it."""
MOST_TEXT = 90
"""Characters of a comment in it."""


def about(event: Event) -> str:
    """What ``event``, with the names that are known, was about; empty where nothing is known.

    Plain text on one line, of which every part may come from Penpot's users.
    """
    place = event.file.name or event.project.name or event.font.name or event.library.name
    parts = [place or (f"{len(event.files) + event.more_files} files" if event.files else "")]
    if event.previous and event.previous.name != place:
        parts.append(f"was {event.previous.name}")
    if event.library and event.library.name != place:
        parts.append(event.library.name)
    parts.append(event.thread.name)
    if text := " ".join(event.comment.text.split()):
        parts.append(f"“{shorten(text, MOST_TEXT)}”")
    return shorten(" · ".join(part for part in parts if part), MOST)
