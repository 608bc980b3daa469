"""The list of events."""

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.inspector.pages import inspector_of, page, row_id, viewer_of
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.store.queries import FILTER_STATES, EventFilters, EventRow

MAX_FILTER_LENGTH = 100  # characters
STATE_NAMES: Mapping[str, str] = {
    "sent": "sent",
    "waiting": "waiting",
    "dead": "dead",
    "ignored": "ignored (skipped by all channels)",
    "unreadable": "unreadable",
    "stored": "stored (not fanned out yet)",
}


def requested_filters(request: Request) -> tuple[str | None, EventFilters]:
    """The query's team and filters; the team is the viewer's own if they see only one."""
    viewer, query = viewer_of(request), request.query_params
    team = viewer.team if viewer.team is not None else query.get("team") or None
    state = query.get("state", "")
    return team, EventFilters(
        query.get("kind", "")[:MAX_FILTER_LENGTH],
        state if state in FILTER_STATES else "",
        query.get("text", "").strip()[:MAX_FILTER_LENGTH],
    )


def matches(row: EventRow, filters: EventFilters) -> bool:
    if filters.kind not in ("", row.name):
        return False
    if filters.text and (
        filters.text.casefold() not in f"{row.name} {row.person} {row.about}".casefold()
    ):
        return False
    states = {row.state, *(mark.state for mark in row.deliveries)}
    return filters.state == "" or filters.state in states


async def _list(request: Request) -> Response:
    inspector, viewer = inspector_of(request), viewer_of(request)
    team, filters = requested_filters(request)
    before, after = (_id(request, name) for name in ("before", "after"))
    listing = await inspector.store.queries.events(team, filters, before=before, after=after)
    if after is not None and listing.newer is None:  # the previous page is the first one
        after = None
        listing = await inspector.store.queries.events(team, filters)
    query = {"kind": filters.kind, "state": filters.state, "text": filters.text}
    if viewer.team is None:
        query["team"] = team or ""
    query = {name: value for name, value in query.items() if value}
    teams = viewer.teams(inspector.config)

    def address(path: str = "/inspector", **more: object) -> str:
        encoded = urlencode(query | more)
        return f"{path}?{encoded}" if encoded else path

    is_first = before is None and after is None
    newest = max((row.id for row in listing.rows), default=0)
    return page(
        request,
        "events.html",
        listing=listing,
        filters=filters,
        team=team,
        teams=teams,
        with_team=viewer.team is None and len(teams) > 1,
        groups={group: [n for n, k in CATALOGUE.items() if k.group == group] for group in GROUPS},
        states=STATE_NAMES,
        address=address,
        is_first=is_first,
        live=address("/inspector/live", after=newest) if is_first else "",
    )


def _id(request: Request, name: str) -> int | None:
    return row_id(request.query_params.get(name, ""))


async def _remove_slash(_: Request) -> Response:
    return RedirectResponse("/inspector", 308)


ROUTES = [
    Route("/inspector", _list, methods=["GET"]),
    Route("/inspector/", _remove_slash, methods=["GET"]),
]
