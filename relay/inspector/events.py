"""The list of events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from urllib.parse import parse_qsl, urlencode, urlsplit
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.inspector.pages import Viewer, inspector_of, page, row_id, viewer_of
from relay.store.queries import EventRow
from relay.store.search import FILTER_STATES, EventFilters

MAX_FILTER_LENGTH = 100  # characters
MIN_YEAR, MAX_YEAR = 1970, 9998  # of the days that have a time in each time zone


@dataclass(frozen=True, slots=True)
class ListQuery:
    """The filters of the list in a URL's query, which anyone may have written; what is not valid
    filters nothing."""

    team: str | None
    """The viewer's own if they see only one."""
    channel: str = ""
    """As ``team/channel``."""
    kind: str = ""
    """Penpot's name of the event."""
    state: str = ""
    text: str = ""
    first_day: date | None = None
    last_day: date | None = None
    zone: str = ""
    """Of the days: the time zone of the browser in which they were chosen, UTC without scripts. It
    is in the URL, so that whoever opens it sees the same events."""

    @classmethod
    def of(cls, query: Mapping[str, str], viewer: Viewer) -> "ListQuery":
        values = {name: text.strip()[:MAX_FILTER_LENGTH] for name, text in query.items()}
        team = viewer.team if viewer.team is not None else values.get("team") or None
        channel, state = values.get("channel", ""), values.get("state", "")
        first_day, last_day = _day(values.get("from", "")), _day(values.get("to", ""))
        is_known = _zone(zone := values.get("zone", "")) is not None
        return cls(
            team,
            # after a change of the team
            channel if team in (None, channel.partition("/")[0]) else "",
            values.get("kind", ""),
            state if state in FILTER_STATES else "",
            values.get("text", ""),
            first_day,
            last_day,
            zone if is_known and (first_day or last_day) else "",
        )

    @property
    def filters(self) -> EventFilters:
        return EventFilters(
            (self.kind,) if self.kind else None,
            self.state,
            self.text,
            (self.channel,) if self.channel else (),
            self._midnight(self.first_day),
            self._midnight(self.last_day and self.last_day + timedelta(days=1)),
        )

    def parameters(self, viewer: Viewer) -> dict[str, str]:
        """The query with nothing but what filters."""
        given = {
            "team": "" if viewer.team else self.team or "",
            "channel": self.channel,
            "kind": self.kind,
            "state": self.state,
            "text": self.text,
            "from": str(self.first_day or ""),
            "to": str(self.last_day or ""),
            "zone": self.zone,
        }
        return {name: value for name, value in given.items() if value}

    def _midnight(self, day: date | None) -> float | None:
        """The day's beginning, in seconds since 1970."""
        zone = _zone(self.zone) or UTC
        return datetime.combine(day, time(), zone).timestamp() if day else None


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if MIN_YEAR <= day.year <= MAX_YEAR else None


def _zone(name: str) -> tzinfo | None:
    """None for the name of no time zone, which may come from the path of no file."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return None


def matches(row: EventRow, filters: EventFilters) -> bool:
    """Whether the search would return the row."""
    if filters.names is not None and row.name not in filters.names:
        return False
    if filters.since is not None and row.received_at < filters.since:
        return False
    if filters.until is not None and row.received_at >= filters.until:
        return False
    marks = [m for m in row.deliveries if not filters.queues or m.queue in filters.queues]
    if filters.queues and not marks:
        return False
    text = f"{row.name} {row.person} {row.about}".casefold()
    states = {"", row.state, *(mark.state for mark in marks)}
    return filters.text.casefold() in text and filters.state in states


async def _list(request: Request) -> Response:
    inspector, viewer = inspector_of(request), viewer_of(request)
    queries = inspector.store.queries
    asked = ListQuery.of(request.query_params, viewer)
    before, after = (row_id(request.query_params.get(name, "")) for name in ("before", "after"))
    listing = await queries.events(asked.team, asked.filters, before=before, after=after)
    if after is not None and listing.newer is None:  # the previous page is the first one
        after = None
        listing = await queries.events(asked.team, asked.filters)
    query = asked.parameters(viewer)
    channels = {
        key: [channel.name for channel in inspector.config.teams[key].channels]
        for key in viewer.teams
        if asked.team in (None, key)
    }
    response = page(
        request,
        "events.html",
        listing=listing,
        asked=asked,
        channels=channels,
        query=query,
        is_first=before is None and after is None,
    )
    if "hx-request" in request.headers:  # the address gets no filters that are not set
        current = dict(parse_qsl(urlsplit(request.headers.get("hx-current-url", "")).query))
        was_typing = "text" in current and "text" in query
        is_same_search = {**current, "text": ""} == {**query, "text": ""} and was_typing
        header = "hx-replace-url" if is_same_search or current == query else "hx-push-url"
        response.headers[header] = f"/inspector?{urlencode(query)}" if query else "/inspector"
    return response


ROUTES = [
    Route("/inspector", _list, methods=["GET"]),
    Route("/inspector/", RedirectResponse("/inspector", 308), methods=["GET"]),
]
