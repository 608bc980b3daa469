"""The live list: new and changed rows of events, as server-sent events."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from relay.delivery.feed import TooManyListeners
from relay.inspector.events import matches, requested_filters
from relay.inspector.pages import InspectorContext, inspector_of, render_fragment, row_id, viewer_of
from relay.store.queries import NEW_ROWS_LIMIT, EventFilters, EventRow
from relay.store.records import StoreUnavailable

log = logging.getLogger(__name__)

KEEPALIVE_INTERVAL = 20.0  # seconds; without data a proxy closes the connection
MAX_ROUNDS = 180  # updates and keep-alives per connection; then access is checked again
MAX_OPEN_ROWS = 100  # rows with waiting deliveries that are polled, for changes by other replicas


async def _live(request: Request) -> Response:
    team, filters = requested_filters(request)
    resumed = request.headers.get("last-event-id") or request.query_params.get("seen", "")
    seen = row_id(resumed or request.query_params.get("after", "")) or 0
    ids = request.query_params.get("open", "").split(",")[:MAX_OPEN_ROWS]
    open_ = {id_ for text in ids if (id_ := row_id(text)) is not None}
    teams = viewer_of(request).teams(inspector_of(request).config)
    with_team = viewer_of(request).team is None and len(teams) > 1
    stream = _stream(inspector_of(request), team, filters, seen, open_, with_team, bool(resumed))
    try:
        first = await anext(stream)
    except TooManyListeners:
        return PlainTextResponse("Too many open inspector pages", 503)

    async def body() -> AsyncIterator[str]:
        yield first
        async for part in stream:
            yield part

    headers = {"x-accel-buffering": "no"}  # or nginx buffers the stream
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


async def _stream(
    inspector: InspectorContext,
    team: str | None,
    filters: EventFilters,
    seen: int,
    open_: set[int],
    with_team: bool,
    is_complete: bool,
) -> AsyncGenerator[str, None]:
    """``is_complete``: the browser got all events up to ``seen``, not only those that match."""
    with inspector.feed.listen() as listener:
        yield "retry: 2000\n\n"
        unsettled: dict[int, EventRow | None] = dict.fromkeys(sorted(open_))
        ids: set[int] | None = open_
        for _ in range(MAX_ROUNDS):
            if listener.is_over:
                return
            if ids is None:
                yield ": keep-alive\n\n"
                ids = set(unsettled)  # the feed does not report what another replica has sent
            try:
                rows = await inspector.store.queries.rows(team, ids, after=seen)
            except StoreUnavailable as error:
                log.debug("live list: cannot read the store: %s", error)
                rows = []
            if is_complete and sum(row.id > seen for row in rows) >= NEW_ROWS_LIMIT:
                yield f"event: more\ndata: {NEW_ROWS_LIMIT}\n\n"
            is_complete = True
            for row in reversed(rows):
                seen = max(seen, row.id)
                if unsettled.get(row.id) == row:
                    continue
                unsettled.pop(row.id, None)
                if row.is_open:
                    unsettled[row.id] = row
                html = render_fragment("_row.html", row=row, with_team=with_team)
                update = {"id": row.id, "matches": matches(row, filters), "html": html}
                yield f"id: {seen}\nevent: row\ndata: {json.dumps(update)}\n\n"
            for id_ in list(unsettled)[:-MAX_OPEN_ROWS]:
                del unsettled[id_]
            ids = await listener.wait(KEEPALIVE_INTERVAL)


ROUTES = [Route("/inspector/live", _live, methods=["GET"])]
