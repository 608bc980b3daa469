"""Quiet hours and schedules against an oracle that reads the clock minute by minute."""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from relay.config.schedule import Hold, QuietWindow, ScheduledTime, describe_hold

DAY = 24 * 60  # minutes
FIRST_READING = datetime(2000, 1, 1)  # noqa: DTZ001 - what the clock shows
NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
YEARS = {
    "Europe/Madrid": 2026,
    "America/Sao_Paulo": 2026,  # without a clock change
    "Australia/Lord_Howe": 2026,  # by 30 minutes
    "America/Havana": 2026,  # the clock is set at midnight
    "America/Asuncion": 2017,  # skips midnight
}
QUIET = [
    ["22:00-07:00", "sat-sun"],
    ["02:30-03:30"],
    ["01:15-02:15", "02:30-02:45"],
    ["mon-fri 18:00-00:00", "00:00-08:00"],
    ["fri-mon", "tue 23:30-00:30"],
    ["sun 00:00-02:10", "sat 12:00-23:59"],
]
SCHEDULES = [
    ["mon-fri 09:00"],
    ["02:30"],
    ["00:00", "12:00"],
    ["sun 02:15", "sun 03:00", "wed 17:45"],
    ["sat-mon 01:59", "01:30"],
]


def hold(zone: str, quiet: Sequence[str] = (), schedule: Sequence[str] = ()) -> Hold:
    windows = [QuietWindow.parse(text) for text in quiet]
    return Hold(windows, [ScheduledTime.parse(text) for text in schedule], ZoneInfo(zone))


def reading(shown: datetime) -> int:
    """What a clock shows, in minutes."""
    return (shown - FIRST_READING) // timedelta(minutes=1)


def shown(reading: int) -> datetime:
    return FIRST_READING + timedelta(minutes=reading)


@cache
def clock(zone: str) -> list[int]:
    """The readings at every minute of a year and some days, from a midnight in UTC. A clock is set
    forward and back at a quarter of an hour only."""
    first = first_minute(zone)
    quarters = ((365 + 45) * 24 * 60) // 15
    reader = ZoneInfo(zone)
    starts = [
        reading((first + timedelta(minutes=15 * quarter)).astimezone(reader).replace(tzinfo=None))
        for quarter in range(quarters)
    ]
    return [start + minute for start in starts for minute in range(15)]


def first_minute(zone: str) -> datetime:
    return datetime(YEARS[zone], 1, 1, tzinfo=UTC) - timedelta(days=15)


def weekdays(text: str) -> list[int]:
    """Of ``sat-mon`` the numbers 5, 6 and 0."""
    if not text:
        return list(range(7))
    first, _, last = text.partition("-")
    numbers = [NAMES.index(first)]
    while NAMES[numbers[-1]] != (last or first):
        numbers.append((numbers[-1] + 1) % 7)
    return numbers


def time_of_day(text: str) -> int:
    hour, minute = map(int, text.split(":"))
    return 60 * hour + minute


def dates(zone: str) -> Iterator[date]:
    day, last = shown(clock(zone)[0]).date(), shown(clock(zone)[-1]).date()
    while day <= last:
        yield day
        day += timedelta(days=1)


def midnight(day: date) -> int:
    return reading(datetime(day.year, day.month, day.day))  # noqa: DTZ001 - what the clock shows


@cache
def minutes_by_reading(zone: str) -> dict[int, list[int]]:
    """The minutes at which the clock shows a reading: two, where it is set back."""
    minutes: dict[int, list[int]] = {}
    for minute, each in enumerate(clock(zone)):
        minutes.setdefault(each, []).append(minute)
    return minutes


def quiet_minutes(zone: str, windows: Sequence[str]) -> list[bool]:
    """Each window of each day lasts from the first to the last minute whose reading is in it."""
    known = minutes_by_reading(zone)
    quiet = [False] * len(clock(zone))
    for text in windows:
        days, _, hours = text.rpartition(" ") if ":" in text else (text, "", "")
        begin, _, end = hours.partition("-")
        for day in dates(zone):
            start = midnight(day)
            if not hours:
                if day.weekday() != weekdays(days)[0]:
                    continue
                stop = start + DAY * len(weekdays(days))
            elif day.weekday() in weekdays(days):
                stop = start + time_of_day(end)
                start += time_of_day(begin)
                stop += DAY if stop <= start else 0
            else:
                continue
            within = [minute for each in range(start, stop) for minute in known.get(each, ())]
            if within:
                for minute in range(min(within), max(within) + 1):
                    quiet[minute] = True
    return quiet


def scheduled_minutes(zone: str, times: Sequence[str]) -> list[int]:
    """The first minute of each day whose reading is the time, or later where it is skipped."""
    readings, known = clock(zone), minutes_by_reading(zone)
    found = set()
    for text in times:
        days, _, at = text.rpartition(" ")
        for day in dates(zone):
            first = midnight(day) + time_of_day(at)
            if day.weekday() not in weekdays(days) or not readings[0] < first <= readings[-1]:
                continue
            found.add(next(known[each][0] for each in range(first, first + DAY) if each in known))
    return sorted(found)


def moments(zone: str) -> list[int]:
    """Every minute of the hours around a clock change, and some of every day of the year."""
    readings, chance = clock(zone), random.Random(zone)
    minutes = range(20 * 24 * 60, len(readings) - 25 * 24 * 60)
    chosen = set(chance.sample(minutes, 1000))
    for minute in minutes:
        if readings[minute] - readings[minute - 1] != 1:
            chosen |= set(range(minute - 200, minute + 200))
            chosen |= set(range(minute - 3 * 24 * 60, minute + 3 * 24 * 60, 17))
    return sorted(chosen)


def test_the_zones_have_the_clock_changes_that_the_oracle_is_for() -> None:
    changes = {
        zone: [
            str(shown(after))
            for before, after in pairwise(clock(zone))
            if after - before != 1 and shown(after).year == YEARS[zone]
        ]
        for zone in YEARS
    }
    assert changes == {
        "Europe/Madrid": ["2026-03-29 03:00:00", "2026-10-25 02:00:00"],
        "America/Sao_Paulo": [],
        "Australia/Lord_Howe": ["2026-04-05 01:30:00", "2026-10-04 02:30:00"],
        "America/Havana": ["2026-03-08 01:00:00", "2026-11-01 00:00:00"],
        "America/Asuncion": ["2017-03-25 23:00:00", "2017-10-01 01:00:00"],
    }


@pytest.mark.parametrize("windows", QUIET, ids=" ".join)
@pytest.mark.parametrize("zone", YEARS)
def test_quiet_hours_end_when_the_oracle_says(zone: str, windows: list[str]) -> None:
    quiet, first = quiet_minutes(zone, windows), first_minute(zone)
    free = [minute for minute, is_quiet in enumerate(quiet) if not is_quiet]
    channel = hold(zone, quiet=windows)
    for minute in moments(zone):
        moment = first + timedelta(minutes=minute)
        end = first + timedelta(minutes=free[bisect_left(free, minute)])
        expected = end if quiet[minute] else None
        assert channel.release_at(moment) == expected, (moment, shown(clock(zone)[minute]))
        within = moment + timedelta(seconds=59, microseconds=999_999)
        assert channel.release_at(within) == expected


@pytest.mark.parametrize("times", SCHEDULES, ids=" ".join)
@pytest.mark.parametrize("zone", YEARS)
def test_a_schedule_releases_when_the_oracle_says(zone: str, times: list[str]) -> None:
    scheduled, first = scheduled_minutes(zone, times), first_minute(zone)
    channel = hold(zone, schedule=times)
    for minute in moments(zone):
        moment = first + timedelta(minutes=minute)
        expected = first + timedelta(minutes=scheduled[bisect_right(scheduled, minute)])
        assert channel.release_at(moment) == expected, (moment, shown(clock(zone)[minute]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22:00-07:00", (range(7), 1320, 1860)),
        ("sat-sun", ([5], 0, 2880)),
        ("Mon-Fri 18:00-00:00", (range(5), 1080, 1440)),
        ("sun", ([6], 0, 1440)),
        ("sat-mon 01:00-02:00", ([5, 6, 0], 60, 120)),
    ],
)
def test_a_window_is_days_or_times_or_both(text: str, expected: tuple[list[int], int, int]) -> None:
    days, begin, end = expected
    assert QuietWindow.parse(text) == (text.lower(), frozenset(days), begin, end)


@pytest.mark.parametrize(
    "text",
    ["", " ", "25:00-07:00", "22:00", "22:00-24:00", "7:00-8:00", "22:00-07:00 sat", "monday",
     "sat-", "satsun", "sat22:00-07:00", "22:00-07:00-", "22:60-07:00",
     "٢٢:٠٠-٠٧:٠٠", 7, None, ["sat"]],
)  # fmt: skip
def test_another_window_is_an_error_with_the_form(text: object) -> None:
    with pytest.raises(ValueError, match="must be times such as"):
        QuietWindow.parse(text)


@pytest.mark.parametrize("text", ["", "25:00", "mon-fri", "mon-fri 9:00", "09:00-10:00", "9", 9])
def test_another_time_is_an_error_with_the_form(text: object) -> None:
    with pytest.raises(ValueError, match='must be a time such as "09:00"'):
        ScheduledTime.parse(text)


@pytest.mark.parametrize(
    ("quiet", "schedule", "hours"),
    [
        (["22:00-07:00"], [], 9),
        (["22:00-07:00", "sat-sun"], [], 57),
        (["sat-sun", "mon 00:00-01:00"], [], 49),
        ([], ["mon-fri 09:00"], 72),
        ([], ["wed 09:00"], 168),
        ([], ["09:00", "17:00"], 16),
    ],
)
def test_the_longest_hold(quiet: list[str], schedule: list[str], hours: int) -> None:
    assert hold("UTC", quiet, schedule).longest() == timedelta(hours=hours)


def test_a_hold_names_the_time_in_the_zone_and_the_day_if_it_is_another() -> None:
    zone = ZoneInfo("Europe/Madrid")
    until = datetime(2026, 1, 10, 8, tzinfo=UTC).timestamp()
    assert describe_hold(until, until - 3600, zone) == "held until 09:00"
    assert describe_hold(until, until - 10 * 3600, zone) == "held until 2026-01-10 09:00"
