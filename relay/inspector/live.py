"""The live list: rows of events as they come and change, by server-sent events."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from relay.delivery.feed import TooManyListeners
from relay.inspector.context import InspectorContext, inspector_of, viewer_of
from relay.inspector.events import fits, wanted
from relay.inspector.pages import rendered, row_id
from relay.store.base import StoreUnavailable
from relay.store.reading import NEWEST, Filters, Row

log = logging.getLogger(__name__)

BEAT = 20.0
"""Seconds without news after which a sign of life is sent, so that no proxy ends the connection."""
BEATS = 180
"""Tidings and signs of life in one connection; then the browser makes another, and is looked at
again."""
MOST_OPEN = 100
"""Rows not settled yet that one who looks is told of without being told by the feed: those that the
browser names, and those that came later."""


async def _live(request: Request) -> Response:
    team, filters = wanted(request)
    again = request.headers.get("last-event-id") or request.query_params.get("seen", "")
    last = again or request.query_params.get("after", "")
    seen = row_id(last) or 0
    told = request.query_params.get("open", "").split(",")[:MOST_OPEN]
    open_ = {id_ for text in told if (id_ := row_id(text)) is not None}
    teams = viewer_of(request).teams(inspector_of(request).config)
    with_team = viewer_of(request).team is None and len(teams) > 1
    stream = _stream(inspector_of(request), team, filters, seen, open_, with_team, bool(again))
    try:
        first = await anext(stream)
    except TooManyListeners:
        return PlainTextResponse("Too many are looking", 503)

    async def all_of_it() -> AsyncIterator[str]:
        yield first
        async for part in stream:
            yield part

    headers = {"x-accel-buffering": "no"}  # nginx would keep it to itself
    return StreamingResponse(all_of_it(), media_type="text/event-stream", headers=headers)


async def _stream(
    inspector: InspectorContext,
    team: str | None,
    filters: Filters,
    seen: int,
    open_: set[int],
    with_team: bool,
    is_complete: bool,
) -> AsyncGenerator[str, None]:
    """``is_complete``: the list has all up to ``seen``, not only what its filters left of them."""
    with inspector.feed.listen() as listener:
        yield "retry: 2000\n\n"
        unsettled: dict[int, Row | None] = dict.fromkeys(sorted(open_))
        ids: set[int] | None = open_
        for _ in range(BEATS):
            if listener.is_over:
                return
            if ids is None:
                yield ": still here\n\n"
                ids = set(unsettled)  # nobody tells of what another replica has sent
            try:
                rows = await inspector.store.reading.rows(team, ids, after=seen)
            except StoreUnavailable as error:
                log.debug("the live list waits for the store: %s", error)
                rows = []
            if is_complete and sum(row.id > seen for row in rows) >= NEWEST:
                yield f"event: more\ndata: {NEWEST}\n\n"
            is_complete = True
            for row in reversed(rows):
                seen = max(seen, row.id)
                if unsettled.get(row.id) == row:
                    continue
                unsettled.pop(row.id, None)
                if row.is_open:
                    unsettled[row.id] = row
                html = rendered("_row.html", row=row, with_team=with_team)
                told = {"id": row.id, "fits": fits(row, filters), "html": html}
                yield f"id: {seen}\nevent: row\ndata: {json.dumps(told)}\n\n"
            for id_ in list(unsettled)[:-MOST_OPEN]:
                del unsettled[id_]
            ids = await listener.wait(BEAT)


ROUTES = [Route("/inspector/live", _live, methods=["GET"])]
