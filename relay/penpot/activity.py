"""Activity lines: what happened to a file, a project or a font family on one day, summed up."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any, Final

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event, File, Font, Person, Subject

LINE: Final = "activity"
"""Takes the place of an event's name in a line of several events, for its template."""
MAX_NAMES: Final = 50  # of people, and of libraries; a line does not name further ones

_SUBJECTS = {
    "rename-project": "project",
    "update-project-pin": "project",
    "duplicate-project": "project",
    "create-font-variant": "font",
    "update-font": "font",
    "delete-font": "font",
    "delete-font-variant": "font",
}  # of all other kinds it is the file
_IS_CONNECTED = {"link-file-to-library": True, "unlink-file-from-library": False}


def line_id(event: Event, day: date) -> str:
    """Of the line that counts an event of this day."""
    kind, (id_, name, _) = _subject(event)
    return f"{LINE}:{day.isoformat()}:{kind}:{id_ or name}"


def _subject(event: Event) -> tuple[str, tuple[str, str, str]]:
    """Its kind, and its id, name and URL. Of a copy it is the original."""
    kind = _SUBJECTS.get(event.name, "file")
    is_copy = event.name.startswith("duplicate-")
    subject: Subject = event.previous if is_copy else getattr(event, kind)
    return kind, (subject.id, subject.name, subject.url)


def day_of(at: float, zone: tzinfo) -> date:
    """``at`` in seconds since 1970."""
    return datetime.fromtimestamp(at, zone).date()


def end_of(day: date, zone: tzinfo) -> float:
    """In seconds since 1970, when no part of the day is left: where the clock is set back across
    midnight, it has two ends."""
    midnight = datetime.combine(day + timedelta(1), time(), zone)
    readings = [midnight.replace(fold=fold).timestamp() for fold in (0, 1)]
    return max(at for at in readings if day_of(at - 1, zone) == day)


@dataclass(frozen=True, slots=True)
class ActivityLine:
    """What was counted for one subject on one day in one channel."""

    count: int = 0  # events
    kinds: Mapping[str, int] = field(default_factory=dict)  # events by name, in their order
    people: Mapping[str, str] = field(default_factory=dict)
    """Names by id, in the order of each person's first event; empty where not known."""
    libraries: Mapping[str, bool] = field(default_factory=dict)
    """By name whether the file was connected to it at last."""
    old_name: str = ""  # before the first rename; empty if not known
    first: float = 0.0  # time of the first event, in seconds since 1970
    last: float = 0.0

    @classmethod
    def loads(cls, text: str) -> "ActivityLine":
        return cls(**json.loads(text))

    def dumps(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    def with_event(self, event: Event, at: float) -> "ActivityLine":
        """``event`` is enriched, and happened at this time, in seconds since 1970."""
        actor, library = event.actor, event.library.name
        people = _with_name(self.people, actor.id or actor.name, actor.name)
        libraries = dict(self.libraries)
        if library and event.name in _IS_CONNECTED and len(libraries) < MAX_NAMES:
            libraries[library] = _IS_CONNECTED[event.name]
        return replace(
            self,
            count=self.count + 1,
            kinds={**self.kinds, event.name: self.kinds.get(event.name, 0) + 1},
            people=people,
            libraries=libraries,
            old_name=self.old_name or (event.previous.name if _is_rename(event) else ""),
            first=min(self.first or at, at),
            last=max(self.last, at),
        )

    @property
    def emoji(self) -> str:
        """That of the kind of most events."""
        return CATALOGUE[max(self.kinds, key=lambda kind: self.kinds[kind])].emoji

    def event(self, last: Event) -> Event:
        """The event that the line's template gets: the subject as in the ``last`` counted event,
        which is enriched and linked."""
        kind, (id_, name, url) = _subject(last)
        is_file = kind == "file"
        return Event(
            LINE,
            last.group,
            at=last.at,
            url=url or last.url,
            actor=Person(name=next(filter(None, self.people.values()), "")),
            team=last.team,
            project=Subject(id_, name, url) if kind == "project" else last.project,
            file=File(id_, name, url, last.file.thumbnail) if is_file else File(),
            font=Font(id_, name, url) if kind == "font" else Font(),
            previous=Subject(name=self.old_name if self.old_name != name else ""),
        )

    def variables(self, zone: tzinfo, *, is_over: bool) -> dict[str, Any]:
        """The variable ``activity`` of the template. ``is_over``: whether the line is sent when its
        day is over."""
        connected = [name for name, is_connected in self.libraries.items() if is_connected]
        return {
            "count": self.count,
            "kinds": dict(self.kinds),
            "people": [name for name in self.people.values() if name],
            "connected": connected,
            "disconnected": [name for name in self.libraries if name not in connected],
            "first": datetime.fromtimestamp(self.first, zone),
            "last": datetime.fromtimestamp(self.last, zone),
            "is_over": is_over,
        }


def _is_rename(event: Event) -> bool:
    return event.name in ("rename-file", "rename-project", "update-font")


def _with_name(names: Mapping[str, str], key: str, name: str) -> Mapping[str, str]:
    """A person whose name was not known before may have one now."""
    if not key or (key not in names and len(names) >= MAX_NAMES):
        return names
    return {**names, key: name or names.get(key, "")}
