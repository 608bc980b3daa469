"""Moments in messages: data in Markdown, and words in the locale's language and zone.

As a mention, a moment is a link whose scheme no text from outside can form, since every bracket in
it is escaped: ``[yesterday 10:17](<relay-time:1785000000>)``. A channel whose clients show times
in their reader's zone gets the seconds, all others the words. A message may wait for hours, so the
words are written again when it is sent: "yesterday" is the day before the message's own, which
chats show. Plain text, which can't be written again, and mails have the date instead.
"""

import logging
import re
import time
import zoneinfo
from datetime import UTC, datetime, tzinfo
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from relay.messages.escape import TIME_SCHEME, Markdown, escape
from relay.messages.locale import current, gettext

log = logging.getLogger(__name__)

FORMS = ("date", "time")
"""What is shown of a moment; without a form both."""
_ADDRESS_PATTERN = re.compile(rf"{TIME_SCHEME}(\d{{1,11}})(?::({'|'.join(FORMS)}))?", re.ASCII)
# An escaped character begins no link: from each "\[" the search would go on to the end of the text.
_LINK_PATTERN = re.compile(rf"\\.|\[(?:[^\]\[\\]|\\.)*\]\(<({TIME_SCHEME}[\w:]+)>\)", re.DOTALL)
_MAX_SECONDS = 10**11  # in the year 5138


class Moment(NamedTuple):
    at: int  # seconds since 1970
    form: str = ""  # of ``FORMS``

    @classmethod
    def parse(cls, address: str) -> "Moment | None":
        match = _ADDRESS_PATTERN.fullmatch(address)
        return cls(int(match[1]), match[2] or "") if match else None

    @property
    def address(self) -> str:
        return f"{TIME_SCHEME}{self.at}:{self.form}".removesuffix(":")


def words(moment: Moment, now: float | None = None) -> str:
    """Such as "yesterday 10:17", or "25 Jul, 10:17" without ``now``. Where no zone is configured,
    the time is in UTC and says so, since its reader can't know that."""
    zone = _zone(current().zone)
    at = datetime.fromtimestamp(moment.at, zone or UTC)
    today = datetime.fromtimestamp(time.time() if now is None else now, at.tzinfo).date()
    days = None if now is None else (today - at.date()).days
    date = _date(at, with_year=at.year != today.year)
    clock = gettext("%(hour)s:%(minute)s", hour=at.strftime("%H"), minute=at.strftime("%M"))
    clock = clock if zone else f"{clock} UTC"
    match moment.form, days:
        case "time", _:
            return clock
        case "date", 0:
            return gettext("today")
        case "date", 1:
            return gettext("yesterday")
        case "date", _:
            return date
        case _, 0:
            return gettext("today %(time)s", time=clock)
        case _, 1:
            return gettext("yesterday %(time)s", time=clock)
    return gettext("%(date)s, %(time)s", date=date, time=clock)


def _date(at: datetime, *, with_year: bool) -> str:
    # Translators: the months' names as in a short date, with a space between them
    months = gettext("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec").split()
    month = months[at.month - 1] if len(months) == 12 else f"{at:%b}"
    if with_year:
        return gettext("%(day)s %(month)s %(year)s", day=at.day, month=month, year=at.year)
    return gettext("%(day)s %(month)s", day=at.day, month=month)


# In Markdown


def to_markdown(at: datetime, form: str = "") -> Markdown:
    """``at`` is aware. A time before 1970, which only a wrong clock gives, is text in its zone."""
    moment = Moment(int(at.timestamp()), form)
    in_range = 0 <= moment.at < _MAX_SECONDS
    return _link(moment) if in_range else escape(at.isoformat(" ", "minutes"))


def rewritten(markdown: str) -> str:
    """``markdown`` with each time as it is to be read now."""
    if TIME_SCHEME not in markdown:
        return markdown

    def rewrite(match: re.Match[str]) -> str:
        moment = Moment.parse(match[1] or "")
        return _link(moment) if moment else match[0]

    return _LINK_PATTERN.sub(rewrite, markdown)


def _link(moment: Moment) -> Markdown:
    return Markdown(f"[{escape(words(moment, time.time()))}](<{moment.address}>)")


# Zones


def local(at: datetime) -> datetime:
    """An aware time by the locale's clock."""
    try:
        return at.astimezone(_zone(current().zone) or UTC)
    except OverflowError:  # in the year 1 or 9999
        return at


def _zone(name: str) -> tzinfo | None:
    """None for UTC where no zone is configured."""
    return (_SENT_ZONES.get(name) or _system_zone(name)) if name else None


@cache
def _system_zone(name: str) -> tzinfo | None:
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # a stored message may have any
        log.error("time zone %s (times in messages are in UTC): %s", name, error)  # noqa: TRY400 - the text says all
        return None


_SENT_ZONES: dict[str, tzinfo] = {}


@cache
def zone_file(name: str) -> bytes:
    """Of a zone, for a process that can open no file; empty if there is none."""
    paths = [Path(folder, name) for folder in zoneinfo.TZPATH]
    try:
        path = next(filter(Path.is_file, paths), None) or files("tzdata.zoneinfo").joinpath(name)
        content = path.read_bytes()
    except (OSError, ValueError):
        content = b""
    return content if content.startswith(b"TZif") else b""


def add_zone(name: str, content: bytes) -> None:
    """The zone with this name, whose file has this ``content``."""
    if content and name not in _SENT_ZONES:
        _SENT_ZONES[name] = zoneinfo.ZoneInfo.from_file(BytesIO(content), name)
