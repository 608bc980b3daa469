"""The list of events."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.inspector.pages import inspector_of, page, row_id, viewer_of
from relay.store.queries import EventRow
from relay.store.search import FILTER_STATES, EventFilters

MAX_FILTER_LENGTH = 100  # characters


def requested_filters(request: Request) -> tuple[str | None, EventFilters]:
    """The query's team and filters; the team is the viewer's own if they see only one."""
    viewer, query = viewer_of(request), request.query_params
    team = viewer.team if viewer.team is not None else query.get("team") or None
    state = query.get("state", "")
    kind = query.get("kind", "")[:MAX_FILTER_LENGTH]
    return team, EventFilters(
        (kind,) if kind else None,
        state if state in FILTER_STATES else "",
        query.get("text", "").strip()[:MAX_FILTER_LENGTH],
    )


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
    queries, viewer = inspector_of(request).store.queries, viewer_of(request)
    team, filters = requested_filters(request)
    before, after = (row_id(request.query_params.get(name, "")) for name in ("before", "after"))
    listing = await queries.events(team, filters, before=before, after=after)
    if after is not None and listing.newer is None:  # the previous page is the first one
        after = None
        listing = await queries.events(team, filters)
    query = {"kind": "".join(filters.names or ()), "state": filters.state, "text": filters.text}
    query["team"] = "" if viewer.team else team or ""
    return page(
        request,
        "events.html",
        listing=listing,
        filters=filters,
        team=team,
        query={name: value for name, value in query.items() if value},
        is_first=before is None and after is None,
    )


ROUTES = [
    Route("/inspector", _list, methods=["GET"]),
    Route("/inspector/", RedirectResponse("/inspector", 308), methods=["GET"]),
]
