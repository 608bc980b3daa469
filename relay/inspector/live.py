"""The live list: new and changed rows of events, as server-sent events."""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from relay.inspector.events import ListQuery, matches
from relay.inspector.feed import TooManyListeners
from relay.inspector.pages import inspector_of, render, row_id, viewer_of
from relay.store.queries import NEW_ROWS_LIMIT, EventRow
from relay.store.records import StoreUnavailable

log = logging.getLogger(__name__)

KEEPALIVE_INTERVAL = 20.0  # seconds; without data a proxy closes the connection
MAX_ROUNDS = 180  # updates and keep-alives per connection; then access is checked again
MAX_OPEN_ROWS = 100  # rows with waiting deliveries that are polled, for changes by other replicas


class LiveList:
    """What one browser shows of the list, and what it gets next."""

    def __init__(self, request: Request) -> None:
        self._inspector, self._viewer = inspector_of(request), viewer_of(request)
        query = request.query_params
        asked = ListQuery.of(query, self._viewer)
        self._team, self._filters = asked.team, asked.filters
        resumed = request.headers.get("last-event-id") or query.get("seen", "")
        self._has_all = bool(resumed)  # the events up to the newest, not only those that match
        self._newest = row_id(resumed or query.get("after", "")) or 0
        ids = map(row_id, query.get("open", "").split(",")[:MAX_OPEN_ROWS])
        open_ids = sorted(id_ for id_ in ids if id_ is not None)
        self._open: dict[int, EventRow | None] = dict.fromkeys(open_ids)
        """The rows that can still change, as they were sent."""

    async def stream(self) -> AsyncGenerator[str, None]:
        """Raises ``TooManyListeners`` before its first part."""
        with self._inspector.feed.listen() as listener:
            yield "retry: 2000\n\n"
            ids: Collection[int] | None = self._open.keys()
            for _ in range(MAX_ROUNDS):
                if listener.is_over:
                    return
                if ids is None:
                    yield ": keep-alive\n\n"
                    ids = self._open.keys()  # the feed does not report what another replica sends
                try:
                    rows = await self._inspector.store.queries.rows(
                        self._team, ids, after=self._newest
                    )
                except StoreUnavailable as error:
                    log.debug("live list: cannot read the store: %s", error)
                    rows = []
                for part in self._updates(rows):
                    yield part
                ids = await listener.wait(KEEPALIVE_INTERVAL)

    def _updates(self, rows: list[EventRow]) -> Iterator[str]:
        """Of those ``rows``, newest first, that are new or have changed."""
        if self._has_all and sum(row.id > self._newest for row in rows) >= NEW_ROWS_LIMIT:
            yield f"event: more\ndata: {NEW_ROWS_LIMIT}\n\n"
        self._has_all = True
        for row in reversed(rows):
            self._newest = max(self._newest, row.id)
            if self._open.get(row.id) == row:
                continue
            self._open.pop(row.id, None)
            if row.is_open:
                self._open[row.id] = row
            html = render("_row.html", row=row, viewer=self._viewer)
            update = {"id": row.id, "matches": matches(row, self._filters), "html": html}
            yield f"id: {self._newest}\nevent: row\ndata: {json.dumps(update)}\n\n"
        for id_ in list(self._open)[:-MAX_OPEN_ROWS]:
            del self._open[id_]


async def _live(request: Request) -> Response:
    stream = LiveList(request).stream()
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


ROUTES = [Route("/inspector/live", _live, methods=["GET"])]
