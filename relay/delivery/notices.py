"""Notices: messages about Relay itself, each with a template as Penpot's events have."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from relay.delivery.payloads import notice_payload
from relay.messages.escape import Markdown
from relay.messages.lint import Problem, Variables
from relay.messages.locale import DEFAULT_LOCALE, Locale
from relay.messages.message import Message
from relay.messages.templates import RenderResult, Templates
from relay.metrics import Metrics
from relay.penpot.activity import LINE, ActivityLine
from relay.penpot.events import Event, File, Person, Subject

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    when: str
    variables: Mapping[str, str] = field(default_factory=dict)
    """Descriptions of the template variables that it has besides ``event`` and ``team``."""
    sample: Variables = field(default_factory=dict)
    emoji: str = ""


SAMPLE_URL = "https://penpot.example.com"
_QUEUE = "the stopped queue: queue.name (that of its channel)"
NOTICES: Mapping[str, Notice] = {
    "queue-stopped": Notice(
        "a queue stops because a person has to fix something",
        {
            "queue": _QUEUE,
            "problem": "why: problem.detail (a sentence, may be empty), problem.reason (a code)",
        },
        {
            "queue": {"name": "design"},
            "problem": {"detail": "the bot is not in #design", "reason": "not_in_channel"},
        },
        emoji="⚠️",
    ),
    "queue-running": Notice(
        "a stopped queue runs again", {"queue": _QUEUE}, {"queue": {"name": "design"}}, emoji="✅"
    ),
    "messages-dead": Notice(
        "messages are dead: the first at once, later ones once an hour",
        {
            "queue": "their queue: queue.name (that of its channel)",
            "messages": "messages.count, since the last such notice",
            "problem": "why the last one is dead: problem.detail (may be empty), problem.reason",
        },
        {
            "queue": {"name": "design"},
            "messages": {"count": 2},
            "problem": {"detail": "the message is too long", "reason": "msg_too_long"},
        },
        emoji="⚠️",
    ),
    "messages-skipped": Notice(
        "a channel's filter needed a name that Penpot did not give in 15 minutes",
        {
            "queue": "their queue: queue.name (that of its channel)",
            "problem": "which name is missing: problem.detail, such as project not known yet",
        },
        {
            "queue": {"name": "design"},
            "problem": {"detail": "project not known yet", "reason": "undecided"},
        },
        emoji="⚠️",
    ),
    "webhook-switched-on": Notice(
        "Penpot's webhook was off, and Relay has switched it on again",
        {
            "problem": "why it was off: problem.detail (empty if Penpot recorded no failed call), "
            "problem.reason (a code, may be empty)"
        },
        {"problem": {"detail": "Relay did not answer in time", "reason": ""}},
        emoji="🔌",
    ),
    "webhook-listed-twice": Notice(
        "more than one Penpot team lists the webhook",
        {"problem": "what Relay does meanwhile: problem.detail (a sentence)"},
        {
            "problem": {
                "detail": "Relay reads only the team that it found first",
                "reason": "",
            }
        },
        emoji="⚠️",
    ),
    "disk-full": Notice(
        "the team has used up its share of the disk, or the disk is almost full",
        {
            "problem": 'problem.reason ("share": events of this team are refused; "disk": the '
            "whole disk is almost full), problem.detail (the share, or what is free)"
        },
        {"problem": {"detail": "500 MB", "reason": "share"}},
        emoji="⚠️",
    ),
    LINE: Notice(
        "several events about a file, a project or a font on one day are summed up in a line",
        {
            "activity": "activity.count (of the events), activity.people (names), activity.kinds "
            "(the number of events by name), activity.connected and activity.disconnected (names "
            "of libraries), activity.first and activity.last (times), activity.is_over (whether "
            "the line is sent at the end of the day)",
            "actor": "the first person: actor.name",
            "project": "as of the events",
            "file": "as of the events",
            "font": "as of the events",
            "previous": "the name before the first rename: previous.name",
        },
        {
            "actor": Person(name="Ada Lovelace"),
            "project": Subject(name="Website"),
            "file": File(name="Landing page", url=SAMPLE_URL),
            "activity": ActivityLine(
                count=5,
                kinds={"update-file": 4, "rename-file": 1},
                people={"ada": "Ada Lovelace", "grace": "Grace Hopper"},
                first=1_773_046_800,
                last=1_773_068_400,
            ).variables(UTC, is_over=False),
            "previous": Subject(name="Start page"),
        },
        emoji="✏️",
    ),
    "test": Notice("`relay send` or the inspector sends a test message"),
    "digest": Notice(
        "many messages wait for a channel and are sent as one",
        {
            "messages": "messages.count, messages.comments (the number of comments among them), "
            "messages.people and messages.files (names), messages.digest_after (more than so "
            "many messages waited; 0: they were held), messages.groups (one for each file, and "
            "one for what concerns no file): group.file (its name), group.url, group.threads, "
            "group.entries (of events outside of threads); of a thread thread.name (#15), "
            "thread.url, thread.page (a name) and thread.entries. Each entry is the block "
            "digest of its event's template. Each group has group.count, group.comments and "
            "group.people, as messages has. messages.counts_only: more than 20 were held, and "
            "groups have no threads and entries; messages.more_files is then the number of files "
            "without a group"
        },
        {
            "messages": {
                "count": 3,
                "comments": 2,
                "people": ["Ada Lovelace", "Grace Hopper"],
                "files": ["Landing page"],
                "digest_after": 20,
                "counts_only": False,
                "more_files": 0,
                "groups": [
                    {
                        "count": 3,
                        "comments": 2,
                        "people": ["Ada Lovelace", "Grace Hopper"],
                        "file": "Landing page",
                        "url": SAMPLE_URL,
                        "threads": [
                            {
                                "name": "#15",
                                "url": SAMPLE_URL,
                                "page": "Page 1",
                                "entries": [
                                    Markdown("**Ada Lovelace** Which grid is this?"),
                                    Markdown("**Grace Hopper** The twelve columns."),
                                ],
                            }
                        ],
                        "entries": [
                            Markdown("✏️ **Grace Hopper** worked on **Landing page**"),
                        ],
                    }
                ],
            }
        },
    ),
}


def notice_variables(name: str, values: Variables, *, team: str = "", url: str = "") -> Variables:
    """``team`` is the team's name in the messages; ``url`` a place in Penpot."""
    event = Event(name, at=datetime.now(UTC), url=url, team=Subject(name=team))
    return event.variables() | {"emoji": NOTICES[name].emoji} | dict(values)


def notice_sample(name: str, url: str) -> Variables:
    """With links to ``url``, Penpot's address."""
    return {key: _linked(value, url) for key, value in NOTICES[name].sample.items()}


def _linked(value: Any, url: str) -> Any:
    match value:
        case File():
            return replace(value, url=_linked(value.url, url))
        case dict():
            return {key: _linked(item, url) for key, item in value.items()}
        case list():
            return [_linked(item, url) for item in value]
    return url if value == SAMPLE_URL else value


def notice_samples() -> list[Variables]:
    return [notice_variables(name, notice.sample, team="Acme") for name, notice in NOTICES.items()]


def report_problems(problems: Iterable[Problem], metrics: Metrics) -> None:
    for problem in problems:
        log.error("template %s (the built-in text is used)", problem)
        metrics.template_problem(problem.file)


class NoticeRenderer:
    def __init__(
        self,
        templates: Templates,
        metrics: Metrics,
        teams: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``teams``: their names in messages, by key."""
        self._templates = templates
        self._metrics = metrics
        self._teams = teams

    async def render(
        self,
        name: str,
        team: str,
        locale: Locale = DEFAULT_LOCALE,
        **values: Any,
    ) -> Message:
        """The notice for the team with this key."""
        variables = notice_variables(name, values, team=self._teams.get(team, ""))

        def work(templates: Templates) -> RenderResult:
            return templates.render(name, variables, team=team, channel_kind="", locale=locale)

        message = self.message(await self.run(team, work))
        # for any channel: an alert may move on to one of another kind
        return replace(message, payload=notice_payload(name, message, values))

    async def title(self, name: str, team: str, **values: Any) -> str:
        """What the notice says, in English, for people who look for it."""
        variables = notice_variables(name, values, team=self._teams.get(team, ""))
        work = partial(self._templates.builtin_title, name, variables)
        return await self._templates.turns.run(team, work)

    async def run(self, team: str, work: Callable[[Templates], RenderResult]) -> RenderResult:
        return await self._templates.turns.run(team, partial(work, self._templates))

    def message(self, result: RenderResult) -> Message:
        """The message, after its templates' problems are reported."""
        report_problems(result.problems, self._metrics)
        return result.message
