"""The payloads of events and of notices: what their JSON documents say besides the text."""

from collections.abc import Mapping
from typing import Any

from relay.messages import payload as p
from relay.messages.message import Message
from relay.penpot.catalogue import SYNTHETIC
from relay.penpot.events import Comment, Event, File, Font, Person, Subject, Thread

_NOTICE_KEYS = ("queue", "messages", "problem")


def event_payload(event: Event, message: Message, *, share_emails: bool) -> p.Payload:
    """Of an enriched and linked event. Everything that is not known is null, so that each document
    of a type has the same keys, but for mail addresses: these need ``share_emails``."""
    data = {
        "group": event.group or None,
        "missed": event.missed,
        "url": event.url or None,
        "opens": event.opens or None,
        "actor": _person(event.actor, share_emails),
        "project": _subject(event.project),
        "file": _file(event.file),
        "files": [_subject(file) for file in event.files],
        "file_count": len(event.files) + event.more_files,
        "page": _subject(event.page),
        "thread": _thread(event.thread),
        "comment": _comment(event.comment, share_emails),
        "library": _subject(event.library),
        "font": _font(event.font),
        "previous": _subject(event.previous),
        "props": event.props,
    }
    kind = p.CHANGE if event.name in SYNTHETIC else p.EVENT
    return p.payload(kind, message, data, id_=event.team.id, url=event.team.url)


def notice_payload(name: str, message: Message, values: Mapping[str, Any]) -> p.Payload:
    """Of an alert, with the ``values`` of its template, or of a test message."""
    if name == "test":
        return p.payload(p.TEST, message, {})
    return p.payload(p.ALERT, message, {key: values.get(key) for key in _NOTICE_KEYS})


def _subject(subject: Subject, **more: Any) -> dict[str, Any] | None:
    """None where neither its id nor its name is known."""
    if not subject.id and not subject.name:
        return None
    known = {name: getattr(subject, name) or None for name in ("id", "name", "url")}
    return known | more


def _person(person: Person, share_emails: bool) -> dict[str, Any] | None:
    subject = _subject(person)
    if subject:
        del subject["url"]  # Penpot has no page about a person
        if share_emails:
            subject["email"] = person.email or None
    return subject


def _file(file: File) -> dict[str, Any] | None:
    return _subject(file, thumbnail=file.thumbnail or None)


def _font(font: Font) -> dict[str, Any] | None:
    return _subject(font, style=font.style or None, weight=font.weight)


def _thread(thread: Thread) -> dict[str, Any] | None:
    if not thread.id:
        return None
    return {
        "id": thread.id,
        "number": thread.number,
        "url": thread.url or None,
        "board_id": thread.board or None,
        "resolved": thread.resolved,
        "first_text": str(thread.first) or None,
    }


def _comment(comment: Comment, share_emails: bool) -> dict[str, Any] | None:
    if not comment.id and not comment:
        return None
    return {
        "id": comment.id or None,
        "text": str(comment.text),
        "previous_text": str(comment.before) or None,
        "is_first": comment.is_first,
        "url": comment.url or None,
        "author": _person(comment.author, share_emails),
        "mentions": [_person(person, share_emails) for person in comment.mentions],
    }
