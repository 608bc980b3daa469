"""Quiet hours and schedules: until when a channel holds a message back, by the wall clock of a time
zone.

Where the clock is set back, a quiet window lasts from the first time that the clock shows its begin
to the last time that it shows its end, and a time of a schedule is the first one. A time that the
clock skips is the moment at which it skips it.
"""

import difflib
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from operator import sub
from typing import Annotated, Any, NamedTuple, TypeAlias
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainValidator,
    TypeAdapter,
    ValidationError,
)

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_LENGTH, _WEEK_LENGTH = 24 * 60, 7 * 24 * 60  # minutes
_DAY = f"({'|'.join(_DAYS)})"
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_WINDOW_PATTERN = re.compile(f"(?:{_DAY}(?:-{_DAY})?(?: |$))?(?:{_TIME}-{_TIME})?", re.ASCII)
_TIME_PATTERN = re.compile(f"(?:{_DAY}(?:-{_DAY})? )?{_TIME}", re.ASCII)
_WINDOW_RULE = (
    'must be times such as "22:00-07:00", days such as "sat-sun", or both, such as '
    '"mon-fri 22:00-07:00"; days are mon tue wed thu fri sat sun, times 00:00 to 23:59'
)
_TIME_RULE = (
    'must be a time such as "09:00", or days and a time such as "mon-fri 09:00"; days are mon tue '
    "wed thu fri sat sun, times 00:00 to 23:59"
)


class QuietWindow(NamedTuple):
    """``begin`` and ``end`` are minutes since midnight of each day of ``days`` (0 is Monday)."""

    text: str
    days: frozenset[int]
    begin: int
    end: int

    @classmethod
    def parse(cls, value: object) -> "QuietWindow":
        """Raises ``ValueError`` with the rule."""
        match = _match(_WINDOW_PATTERN, value)
        if match is None or not match[0]:
            raise ValueError(_WINDOW_RULE)
        text = match[0]
        first, last, *times = match.groups()
        days = _days(first, last)
        if times[0] is None:  # whole days: one window
            return cls(text, frozenset({_DAYS.index(first)}), 0, len(days) * _DAY_LENGTH)
        begin, end = _minutes(*times[:2]), _minutes(*times[2:])
        if begin == end:
            raise ValueError("must not last 24 hours: use other times, or whole days: sat-sun")
        return cls(text, days, begin, end if end > begin else end + _DAY_LENGTH)

    def minutes(self) -> Iterator[int]:
        """The quiet minutes of a week, from Monday."""
        for day in self.days:
            for minute in range(self.begin, self.end):
                yield (day * _DAY_LENGTH + minute) % _WEEK_LENGTH


class ScheduledTime(NamedTuple):
    """``at`` in minutes since midnight of each day of ``days`` (0 is Monday)."""

    text: str
    days: frozenset[int]
    at: int

    @classmethod
    def parse(cls, value: object) -> "ScheduledTime":
        """Raises ``ValueError`` with the rule."""
        match = _match(_TIME_PATTERN, value)
        if match is None:
            raise ValueError(_TIME_RULE)
        first, last, *at = match.groups()
        return cls(match[0], _days(first, last), _minutes(*at))


@dataclass(frozen=True, slots=True)
class Hold:
    """When a channel holds its messages back. One of ``quiet`` and ``schedule`` is empty."""

    quiet: Sequence[QuietWindow]
    schedule: Sequence[ScheduledTime]
    zone: ZoneInfo
    urgent: Sequence[str] = ()
    """``mentions``: messages that ping somebody are not held."""

    def release_at(self, moment: datetime) -> datetime | None:
        """When a message of this moment is sent; None: at once. Both are aware."""
        return self._scheduled(moment) if self.schedule else self._end_of_quiet(moment)

    def longest(self) -> timedelta:
        """The longest hold of a week without a clock change."""
        if self.schedule:
            free = {day * _DAY_LENGTH + time.at for time in self.schedule for day in time.days}
        else:
            free = set(range(_WEEK_LENGTH)) - _quiet_minutes(self.quiet)
        ordered = sorted(free)
        following = [*ordered[1:], ordered[0] + _WEEK_LENGTH]
        return timedelta(minutes=max(map(sub, following, ordered)) - (not self.schedule))

    def _scheduled(self, moment: datetime) -> datetime:
        today = moment.astimezone(self.zone).date()
        return min(
            at
            for day in _around(today, 1, 8)
            for time in self.schedule
            if day.weekday() in time.days and (at := self._first(day, time.at)) > moment
        )

    def _end_of_quiet(self, moment: datetime) -> datetime | None:
        """Windows may follow each other or overlap."""
        released = None
        while (end := self._end_of_window(released or moment)) is not None:
            released = end
        return released

    def _end_of_window(self, moment: datetime) -> datetime | None:
        today = moment.astimezone(self.zone).date()
        ends = (
            self._last(day, window.end)
            for window in self.quiet
            for day in _around(today, window.end // _DAY_LENGTH + 1, 1)
            if day.weekday() in window.days and self._first(day, window.begin) <= moment
        )
        return next((end for end in ends if end > moment), None)

    def _first(self, day: date, minutes: int) -> datetime:
        """The first moment, in UTC, at which the clock shows this time or a later one."""
        return self._moment(day, minutes, fold=0)

    def _last(self, day: date, minutes: int) -> datetime:
        """The last such moment."""
        return self._moment(day, minutes, fold=1)

    def _moment(self, day: date, minutes: int, fold: int) -> datetime:
        days, minute = divmod(minutes, _DAY_LENGTH)
        clock = time(*divmod(minute, 60), fold=fold)
        local = datetime.combine(day + timedelta(days), clock, self.zone)
        moment = local.astimezone(UTC)
        if moment.astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
            return moment
        return self._skip(local)

    def _skip(self, local: datetime) -> datetime:
        """When the clock skips this local time: its two readings are after and before that."""
        begin, end = (local.replace(fold=fold).astimezone(UTC) for fold in (1, 0))
        seconds = range(int((end - begin).total_seconds()) + 1)
        after = end.astimezone(self.zone).utcoffset()

        def has_skipped(second: int) -> bool:
            moment = begin + timedelta(seconds=second)
            return moment.astimezone(self.zone).utcoffset() == after

        return begin + timedelta(seconds=bisect_left(seconds, True, key=has_skipped))


def describe_hold(held_until: float, now: float, zone: tzinfo) -> str:
    """Of seconds since 1970, for log and ``relay log``: with the day where it is another."""
    until, today = (datetime.fromtimestamp(at, zone) for at in (held_until, now))
    form = "%H:%M" if until.date() == today.date() else "%Y-%m-%d %H:%M"
    return f"held until {until.strftime(form)}"


def _match(pattern: re.Pattern[str], value: object) -> re.Match[str] | None:
    return pattern.fullmatch(value.strip().lower()) if isinstance(value, str) else None


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    begin = _DAYS.index(first)
    count = (_DAYS.index(last or first) - begin) % 7 + 1
    return frozenset((begin + number) % 7 for number in range(count))


def _minutes(hour: str, minute: str) -> int:
    return int(hour) * 60 + int(minute)


def _around(day: date, before: int, after: int) -> Iterator[date]:
    return (day + timedelta(days) for days in range(-before, after + 1))


def _quiet_minutes(windows: Iterable[QuietWindow]) -> set[int]:
    return {minute for window in windows for minute in window.minutes()}


def _items(example: str) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, list | tuple) or not value:
            rule = f"must be a list such as {example}"
            if value in ([], ()):
                rule = f"must not be empty: leave it out, or list some, such as {example}"
            raise ValueError(rule)
        return tuple(value)

    return BeforeValidator(check)


def _partial(windows: tuple[QuietWindow, ...]) -> tuple[QuietWindow, ...]:
    if len(_quiet_minutes(windows)) == _WEEK_LENGTH:
        texts = ", ".join(window.text for window in windows)
        raise ValueError(f"must leave a part of the week free: {texts} cover all of it")
    return windows


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(value: str) -> str:
    if value in _zone_names():
        return value
    by_city = {name.rpartition("/")[2].lower(): name for name in sorted(_zone_names())}
    names = {name.lower(): name for name in _zone_names()} | by_city
    close = difflib.get_close_matches(value.lower().replace(" ", "_"), names, 1, 0.75)
    hint = f"; did you mean {names[close[0]]}?" if close else ""
    raise ValueError(f'must be an IANA time zone such as "Europe/Madrid"{hint}')


TimeZone: TypeAlias = Annotated[str, AfterValidator(_zone)]
QuietWindows: TypeAlias = Annotated[
    tuple[Annotated[QuietWindow, PlainValidator(QuietWindow.parse)], ...],
    _items('["22:00-07:00", "sat-sun"]'),
    AfterValidator(_partial),
]
ScheduledTimes: TypeAlias = Annotated[
    tuple[Annotated[ScheduledTime, PlainValidator(ScheduledTime.parse)], ...],
    _items('["mon-fri 09:00"]'),
]
_QUIET, _SCHEDULE = TypeAdapter(QuietWindows), TypeAdapter(ScheduledTimes)


def retention_rules(
    raw: Mapping[str, Any], retention: timedelta | None
) -> Iterator[tuple[str, str]]:
    """The key and the broken rule of a channel that holds messages longer than the ``retention``,
    if that is known. Its keys may have any value."""
    try:
        quiet = _QUIET.validate_python(raw["quiet"]) if "quiet" in raw else ()
        schedule = _SCHEDULE.validate_python(raw["schedule"]) if "schedule" in raw else ()
    except ValidationError:  # reported with its key
        return
    if retention is None or not (quiet or schedule):
        return
    longest = Hold(quiet, schedule, ZoneInfo("UTC")).longest()
    if longest > retention:
        hours, limit = (f"{each / timedelta(hours=1):g} h" for each in (longest, retention))
        key = "schedule" if schedule else "quiet"
        yield key, f"holds messages for {hours}, longer than store.retention, which is {limit}"
