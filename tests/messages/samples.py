"""Template variables of sample events."""

from datetime import UTC, datetime
from typing import Any

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Comment, Event, Font, Person, Subject, Thread

ID = "2f6a1c10-0000-4000-8000-00000000000a"


def subject(name: str, place: str = "") -> Subject:
    return Subject(ID, name, f"https://p.example/{place}" if place else "")


def known(name: str, **other: Any) -> dict[str, Any]:
    """The variables of an event with all names."""
    landing = subject("Landing page", "file")
    group = CATALOGUE[name].group if name in CATALOGUE else ""
    values: dict[str, Any] = {
        "group": group,
        "at": datetime(2026, 7, 25, 8, 17, 2, 555000, UTC),
        "url": f"https://p.example/{'thread' if group == 'comments' else 'file'}",
        "actor": Person(ID, "Ada Lovelace", email="ada@p.example"),
        "team": subject("Acme", "team"),
        "project": subject("Website", "project"),
        "file": landing,
        "files": (landing, subject("Checkout"), Subject(ID)),
        "page": subject("Page 1"),
        "thread": Thread(ID, 15, "https://p.example/thread", "Is the hero too dark?"),
        "comment": Comment(
            ID, "Please *lighten* it\nby 10%.\n\nThanks @Grace", author=Person(ID, "Ada Lovelace")
        ),
        "library": subject("UI kit", "library"),
        "font": Font(ID, "Inter", style="italic", weight=700),
        "previous": subject("Old name"),
        "props": {"templateId": "wireframing-kit", "isPinned": True, "isShared": False, "id": ID},
    }
    return Event(name=name, **values | other).variables()


def unknown(name: str, **other: Any) -> dict[str, Any]:
    """The variables of an event with ids only."""
    bare = Subject(ID)
    values: dict[str, Any] = {
        "actor": Person(ID),
        "team": bare,
        "project": bare,
        "file": bare,
        "page": bare,
        "thread": Thread(ID),
        "comment": Comment(ID, author=Person(ID)),
        "library": bare,
        "font": Font(ID),
        "previous": bare,
        "props": {"id": ID, "fileId": ID},
    }
    return Event(name=name, **values | other).variables()
