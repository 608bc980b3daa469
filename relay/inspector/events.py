"""The list of events."""

from collections.abc import Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.inspector.context import inspector_of, viewer_of
from relay.inspector.pages import page, row_id
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.store.reading import STATES, Filters, Row

MOST_TEXT = 100
"""Characters that are looked for."""
STATE_NAMES: Mapping[str, str] = {
    "sent": "sent",
    "waiting": "waiting",
    "dead": "dead",
    "ignored": "not chosen by any channel",
    "unreadable": "unreadable",
    "stored": "not fanned out yet",
}


def wanted(request: Request) -> tuple[str | None, Filters]:
    """The team and the filters that a request names, within what its viewer may see."""
    viewer, query = viewer_of(request), request.query_params
    team = viewer.team if viewer.team is not None else query.get("team") or None
    state = query.get("state", "")
    return team, Filters(
        query.get("kind", "")[:MOST_TEXT],
        state if state in STATES else "",
        query.get("text", "").strip()[:MOST_TEXT],
    )


def fits(row: Row, filters: Filters) -> bool:
    """Whether the filters leave a row in the list."""
    if filters.kind not in ("", row.name):
        return False
    if filters.text and (
        filters.text.casefold() not in f"{row.name} {row.person} {row.about}".casefold()
    ):
        return False
    states = {row.state, *(mark.state for mark in row.marks)}
    return filters.state == "" or filters.state in states


async def _list(request: Request) -> Response:
    inspector, viewer = inspector_of(request), viewer_of(request)
    team, filters = wanted(request)
    before, after = (_id(request, name) for name in ("before", "after"))
    found = await inspector.store.reading.events(team, filters, before=before, after=after)
    if after is not None and found.newer is None:  # the page before is the first one
        after = None
        found = await inspector.store.reading.events(team, filters)
    asked = {"kind": filters.kind, "state": filters.state, "text": filters.text}
    if viewer.team is None:
        asked["team"] = team or ""
    asked = {name: value for name, value in asked.items() if value}
    teams = viewer.teams(inspector.config)

    def address(path: str = "/inspector", **more: object) -> str:
        query = urlencode(asked | more)
        return f"{path}?{query}" if query else path

    is_first = before is None and after is None
    newest = max((row.id for row in found.rows), default=0)
    return page(
        request,
        "events.html",
        found=found,
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


async def _plainly(_: Request) -> Response:
    return RedirectResponse("/inspector", 308)


ROUTES = [
    Route("/inspector", _list, methods=["GET"]),
    Route("/inspector/", _plainly, methods=["GET"]),
]
