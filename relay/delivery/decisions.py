"""Decisions: whether a channel's lists of events, projects, files and actors accept an event."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from relay.config.settings import AnyChannel, TeamSettings
from relay.penpot.catalogue import ACTIVITY, SYNTHETIC
from relay.penpot.events import Event, Subject
from relay.penpot.facts import Fact
from relay.penpot.filters import Candidate, Filter
from relay.penpot.selection import Selection

_NOUNS = {"projects": "project", "files": "file", "actors": "actor"}
FILTER_KEYS = tuple(_NOUNS)  # of a channel
PLACE_KEYS = FILTER_KEYS[:2]  # which follow the thread


class Decision(NamedTuple):
    """``skipped`` is why the channel does not accept the event: the entry that excludes it, or the
    reason; empty where no entry of ``events`` matches, and None if it is accepted."""

    skipped: str | None
    entries: tuple[str, ...] = ()  # that decided, each with its key
    undecided: str = ""
    """The keys of the filters that accept or reject it only once Penpot has said the names,
    separated by spaces."""


def describe_undecided(undecided: str) -> str:
    """Why a delivery waits, for log, command line and inspector."""
    return f"{' and '.join(_NOUNS[key] for key in undecided.split())} not known yet"


class _Verdict(NamedTuple):
    """Of the filter ``key``; ``skipped`` as in ``Decision``."""

    key: str
    skipped: str | None
    entry: str = ""
    is_known: bool = True  # whether the name that it needs is known
    waits: bool = False  # until that is known, as Penpot could not say it


@dataclass(frozen=True, slots=True)
class ThreadHome:
    """Where a comment thread was when its first message came, by which ``projects`` and ``files``
    judge all of it, and what channels have decided about it for good, by their names."""

    thread: str
    project: Subject
    file: Subject
    channels: frozenset[str] = frozenset()  # in which it stays
    left_out: frozenset[str] = frozenset()  # which rejected it before its place was known
    undecided: frozenset[str] = (
        frozenset()
    )  # whose queues decide, as Penpot could not say its place

    @classmethod
    def of(cls, event: Event, known: Fact) -> Self:
        """For an enriched event; ``known`` is the fact about its thread."""
        project = Subject(known.ref("home_project"), known.ref("home_project_name"))
        if project.id in ("", event.project.id):
            project = Subject(event.project.id, project.name or event.project.name)
        file = Subject(event.file.id, known.ref("home_file_name") or event.file.name)
        keys = ("home_in", "home_out", "home_undecided")
        channels = [frozenset(known.ref(key).split()) for key in keys]
        return cls(event.thread.id, project, file, *channels)

    def fact(self) -> Fact:
        return Fact.of(
            "thread",
            self.thread,
            home_project=self.project.id,
            home_project_name=self.project.name,
            home_file_name=self.file.name,
            home_in=" ".join(sorted(self.channels)),
            home_out=" ".join(sorted(self.left_out)),
            home_undecided=" ".join(sorted(self.undecided)),
        )

    def judged(
        self, channels: Iterable[AnyChannel], *, is_unanswered: bool = False
    ) -> "ThreadHome":
        """With the decisions of those of ``channels`` that have none. A rejection by the known
        place needs not be kept: it stays the same. ``is_unanswered`` as for ``decide``."""
        home = self
        for channel in channels:
            if channel.name in self.channels | self.left_out | self.undecided:
                continue
            verdicts = self.verdicts(channel, FILTER_KEYS, is_unanswered)
            if any(verdict.waits for verdict in verdicts):
                home = replace(home, undecided=home.undecided | {channel.name})
            elif all(verdict.skipped is None for verdict in verdicts):
                home = home.settled(channel.name, is_in=True)
            elif not any(verdict.is_known for verdict in verdicts if verdict.skipped is not None):
                home = home.settled(channel.name, is_in=False)
        return home

    def reopened(self, channel: AnyChannel, *, is_unanswered: bool) -> "ThreadHome":
        """With a new decision of an undecided channel."""
        home = replace(self, undecided=self.undecided - {channel.name})
        return home.judged([channel], is_unanswered=is_unanswered)

    def settled(self, channel: str, *, is_in: bool) -> "ThreadHome":
        """With this decision of a channel."""
        home = replace(self, undecided=self.undecided - {channel})
        if is_in:
            return replace(home, channels=home.channels | {channel})
        return replace(home, left_out=home.left_out | {channel})

    def verdicts(
        self, channel: AnyChannel, keys: Collection[str], is_unanswered: bool
    ) -> list[_Verdict]:
        """By the place, whatever was decided before."""
        projects, files = _subjects(self.project), _subjects(self.file)
        return _of_place(channel, keys, projects, files, is_unanswered)

    def decided(self, channel: str, verdicts: Sequence[_Verdict]) -> Sequence[_Verdict]:
        """The verdicts, or what was decided before."""
        is_clear = all(each.skipped is None and not each.waits for each in verdicts)
        is_rejected = any(each.skipped is not None and not each.waits for each in verdicts)
        if channel in self.channels and not is_clear:
            return [_Verdict("", None, "its thread is there")]
        if channel in self.left_out and not is_rejected:
            return [_Verdict("", "its thread is not there")]
        if channel in self.undecided:
            return [verdict._replace(waits=True) for verdict in verdicts]
        return verdicts


def selection_of(channel: AnyChannel) -> Selection:
    return Selection.of(channel.events, daily=channel.sends_lines)


def describe_channel(team: TeamSettings, channel: AnyChannel) -> str:
    """What the channel gets, when and in which form, with the keys of the config."""
    lists = {
        "events": selection_of(channel).entries,
        "projects": channel.projects,
        "files": channel.files,
        "actors": channel.actors,
        "activity": () if channel.is_direct else (channel.activity,),
        "quiet": [window.text for window in channel.quiet],
        "schedule": [time.text for time in channel.schedule],
        "urgent": channel.urgent,
        "language": filter(None, [channel.language or team.language]),
        "timezone": filter(None, [channel.timezone or team.timezone]),
    }
    texts = {key: ", ".join(entries) for key, entries in lists.items()}
    return f"{channel.type}, {'; '.join(f'{key}: {text}' for key, text in texts.items() if text)}"


def is_counted(event: Event, channel: AnyChannel) -> bool:
    """Whether the channel counts the event in a daily line, if it accepts it."""
    return channel.sends_lines and event.name in ACTIVITY


def has_place_filter(channel: AnyChannel) -> bool:
    return bool(channel.projects or channel.files)


def decide(
    event: Event,
    channel: AnyChannel,
    home: ThreadHome | None = None,
    *,
    is_unanswered: bool = False,
    keys: Collection[str] = FILTER_KEYS,
) -> Decision:
    """For an enriched event. ``home`` is that of its thread, with the channels that accept it.
    ``is_unanswered``: Penpot could not answer a call for its names, so that a filter that needs one
    is undecided; otherwise it accepts what is not known, if all its entries exclude. ``keys``: the
    filters to ask."""
    entry, is_taken = selection_of(channel).deciding(event.name, event.group)
    if not is_taken:
        return Decision(entry)
    if channel.activity == "none" and event.name in ACTIVITY:
        return Decision("activity: none")
    if home is None:
        verdicts = _of_place(channel, keys, _projects(event), _files(event), is_unanswered)
    else:
        verdicts = home.verdicts(channel, keys, is_unanswered)
        verdicts = [*home.decided(channel.name, verdicts)] if verdicts else []
    if "actors" in keys and channel.actors:
        verdicts.append(_judge("actors", channel.actors, [_actor(event)], is_unanswered))
    rejecting = (each for each in verdicts if each.skipped is not None and not each.waits)
    if rejected := next(rejecting, None):
        return Decision(rejected.skipped)
    entries = (f"events: {entry}", *(each.entry for each in verdicts))
    undecided = " ".join(each.key for each in verdicts if each.waits)
    return Decision(None, entries, undecided)


def _of_place(
    channel: AnyChannel,
    keys: Collection[str],
    projects: Sequence[Candidate],
    files: Sequence[Candidate],
    is_unanswered: bool,
) -> list[_Verdict]:
    places = (("projects", channel.projects, projects), ("files", channel.files, files))
    return [
        _judge(key, entries, candidates, is_unanswered)
        for key, entries, candidates in places
        if entries and key in keys
    ]


def _judge(
    key: str, entries: Sequence[str], candidates: Sequence[Candidate], is_unanswered: bool
) -> _Verdict:
    verdict = Filter(entries).judge(candidates)
    reason = f"{key}: {verdict.entry or 'no entry matches'}"
    if not candidates:
        reason = f"it has no {_NOUNS[key]}"
    elif not verdict.is_known:
        reason = f"its {_NOUNS[key]} is not known"
    waits = is_unanswered and not verdict.is_known
    skipped, entry = (None, reason) if verdict.accepts else (reason, "")
    return _Verdict(key, skipped, entry, verdict.is_known, waits)


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
