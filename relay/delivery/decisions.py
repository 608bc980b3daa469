"""Decisions: whether a channel's lists of events, projects, files and actors accept an event."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from relay.config.settings import AnyChannel
from relay.penpot.catalogue import ACTIVITY, SYNTHETIC
from relay.penpot.events import Event, Subject
from relay.penpot.facts import Fact
from relay.penpot.filters import Candidate, Filter
from relay.penpot.selection import Selection


class Decision(NamedTuple):
    """``skipped`` is why the channel does not accept the event: the entry that excludes it, or the
    reason; empty where no entry of ``events`` matches, and None if it is accepted."""

    skipped: str | None
    entries: tuple[str, ...] = ()  # that decided, each with its key


@dataclass(frozen=True, slots=True)
class ThreadHome:
    """Where a comment thread was when its first message came, by which ``projects`` and ``files``
    judge all of it, and the channels in which it stays."""

    thread: str
    project: Subject
    file: Subject
    channels: frozenset[str] = frozenset()

    @classmethod
    def of(cls, event: Event, known: Fact) -> Self:
        """For an enriched event; ``known`` is the fact about its thread."""
        project = Subject(known.ref("home_project"), known.ref("home_project_name"))
        if project.id in ("", event.project.id):
            project = Subject(event.project.id, project.name or event.project.name)
        file = Subject(event.file.id, known.ref("home_file_name") or event.file.name)
        return cls(event.thread.id, project, file, frozenset(known.ref("home_in").split()))

    def fact(self) -> Fact:
        return Fact.of(
            "thread",
            self.thread,
            home_project=self.project.id,
            home_project_name=self.project.name,
            home_file_name=self.file.name,
            home_in=" ".join(sorted(self.channels)),
        )

    def judged(self, channels: Iterable[AnyChannel]) -> "ThreadHome":
        """With those of ``channels`` whose ``projects`` and ``files`` accept it."""
        projects, files = _subjects(self.project), _subjects(self.file)
        accepting = {
            channel.name
            for channel in channels
            if _judge("projects", channel.projects, projects).skipped is None
            and _judge("files", channel.files, files).skipped is None
        }
        return replace(self, channels=self.channels | accepting)


def selection_of(channel: AnyChannel) -> Selection:
    return Selection.of(channel.events, daily=channel.sends_lines)


def is_counted(event: Event, channel: AnyChannel) -> bool:
    """Whether the channel counts the event in a daily line, if it accepts it."""
    return channel.sends_lines and event.name in ACTIVITY


def has_place_filter(channel: AnyChannel) -> bool:
    return bool(channel.projects or channel.files)


def decide(event: Event, channel: AnyChannel, home: ThreadHome | None = None) -> Decision:
    """For an enriched event. ``home`` is that of its thread, with the channels that accept it."""
    entry, is_taken = selection_of(channel).deciding(event.name, event.group)
    if not is_taken:
        return Decision(entry)
    if channel.activity == "none" and event.name in ACTIVITY:
        return Decision("activity: none")
    entries: tuple[str, ...] = (f"events: {entry}",)
    projects = _projects(event) if home is None else _subjects(home.project)
    files = _files(event) if home is None else _subjects(home.file)
    decisions = [
        _judge("projects", channel.projects, projects),
        _judge("files", channel.files, files),
    ]
    is_home = home is not None and channel.name in home.channels and has_place_filter(channel)
    if is_home and any(decision.skipped is not None for decision in decisions):
        decisions = [Decision(None, ("its thread is there",))]
    decisions.append(_judge("actors", channel.actors, [_actor(event)]))
    for decision in decisions:
        if decision.skipped is not None:
            return decision
        entries += decision.entries
    return Decision(None, entries)


_NOUNS = {"projects": "project", "files": "file", "actors": "actor"}


def _judge(key: str, entries: Sequence[str], candidates: Sequence[Candidate]) -> Decision:
    if not entries:
        return Decision(None)
    verdict = Filter(entries).judge(candidates)
    reason = f"{key}: {verdict.entry or 'no entry matches'}"
    if not candidates:
        reason = f"it has no {_NOUNS[key]}"
    elif not verdict.is_known:
        reason = f"its {_NOUNS[key]} is not known"
    return Decision(None, (reason,)) if verdict.accepts else Decision(reason)


def _subjects(*subjects: Subject) -> list[Candidate]:
    return [Candidate(subject.id, subject.name) for subject in subjects]


def _projects(event: Event) -> list[Candidate]:
    project = event.project
    if event.name == "rename-project" and event.previous:
        return _subjects(project, event.previous)
    is_in_one = project.id or project.name or event.file.id or event.group == "files"
    return _subjects(project) if is_in_one else []


def _files(event: Event) -> list[Candidate]:
    if event.files:
        return _subjects(*event.files) + [Candidate()] * bool(event.more_files)
    if event.name == "rename-file" and event.previous:
        return _subjects(event.file, event.previous)
    return _subjects(event.file) if event.file.id or event.file.name else []


def _actor(event: Event) -> Candidate:
    """Of a change to a message, which goes where the message is, the message's author."""
    person = event.comment.author if event.name in SYNTHETIC else event.actor
    return Candidate(person.id, person.name, person.email)
