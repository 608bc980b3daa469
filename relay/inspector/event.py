"""The page of one event: its deliveries with their attempts and previews, and its body."""

import json
import re
import shlex
from dataclasses import asdict, replace
from itertools import islice, zip_longest
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.channels import render_preview
from relay.channels.base import ReplyTo
from relay.channels.preview import MessagePreview
from relay.delivery.fact_cache import FactCache
from relay.delivery.pipeline import EventSource, prepare
from relay.inspector import pages
from relay.messages.message import Message
from relay.messages.turns import CONVERSIONS
from relay.penpot.events import NotAnEvent
from relay.penpot.wire import UnreadableBody, decode_body, media_type
from relay.store.queries import EventDetails
from relay.store.records import Delivery, StoredEvent

MAX_SHOWN_LENGTH = 100_000  # characters of a body; the download has all of it
MAX_PREVIEWS = 20  # of an event's deliveries; a comment has one for each mentioned person
MAX_CURL_BYTES = 20_000  # a larger body is a file name in the curl command
_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False, default=str)


async def _page(request: Request) -> Response:
    inspector, details = pages.inspector_of(request), await _load(request)
    queues = inspector.config.queues()
    shown = details.deliveries[:MAX_PREVIEWS]
    previews = [await _preview(inspector, delivery) for delivery in shown]
    body = await _body(inspector, details.event)

    def page() -> Response:
        return pages.page(
            request,
            "event.html",
            details=details,
            deliveries=[
                (delivery, queues.get(delivery.queue), preview)
                for delivery, preview in zip_longest(details.deliveries, previews)
            ],
            body=body,
            curl=_curl(inspector, details.event),
            file=_file_name(details.event),
            resent=request.query_params.get("resent", ""),
        )

    return await CONVERSIONS.run(details.event.team, page)


async def _resend(request: Request) -> Response:
    inspector, details = pages.inspector_of(request), await _load(request)
    choice = pages.form(request).get("delivery", "")
    chosen = [d for d in details.deliveries if choice in ("all", str(d.id))]
    resent = await inspector.store.resend([d.id for d in chosen]) if chosen else []
    inspector.wake({d.queue for d in chosen})
    inspector.feed.changed([details.event.id])
    return RedirectResponse(f"/inspector/events/{details.event.id}?resent={len(resent)}", 303)


async def _payload(request: Request) -> Response:
    """The body as received, in a file named like those in ``tests/penpot/payloads``."""
    details = await _load(request)
    headers = {"content-disposition": f'attachment; filename="{_file_name(details.event)}"'}
    return Response(details.event.body, headers=headers, media_type="application/octet-stream")


async def _frame(request: Request) -> Response:
    inspector, details = pages.inspector_of(request), await _load(request)
    for delivery in details.deliveries:
        if str(delivery.id) == request.path_params["delivery"]:
            return pages.frame_response((await _preview(inspector, delivery)).frame)
    raise pages.PageNotFound


async def _load(request: Request) -> EventDetails:
    team, id_ = pages.viewer_of(request).team, pages.row_id(request.path_params["id"]) or 0
    details = await pages.inspector_of(request).store.queries.event(team, id_)
    if details is None:
        raise pages.PageNotFound
    return details


async def _preview(inspector: pages.InspectorContext, delivery: Delivery) -> MessagePreview:
    settings = inspector.config.queues().get(delivery.queue)
    message = replace(Message.loads(delivery.message), event_number=delivery.event_id)
    thread = None
    if delivery.state in ("waiting", "held"):
        message = message.with_current_times()
    change = message.change
    if change is not None and change.only_held:
        message = change.fallback or message
    is_first = change is not None and not change.comment  # edits the thread's first message
    in_thread = settings is not None and settings.in_threads
    if message.thread and in_thread and not is_first:
        stored = await inspector.store.get_thread(delivery.queue, message.thread)
        if stored is not None and stored.root != delivery.receipt:
            thread = ReplyTo(stored.root, stored.last, stored.subject)
    kind, team = settings.type if settings else "", delivery.queue.partition("/")[0]
    return await CONVERSIONS.run(team, lambda: render_preview(kind, message, thread, settings))


async def _body(inspector: pages.InspectorContext, stored: StoredEvent) -> dict[str, Any]:
    """The body and what is made from it, for the page."""
    raw, content_type = stored.body, stored.content_type
    text = raw[: 4 * MAX_SHOWN_LENGTH].decode("utf-8", "replace")[:MAX_SHOWN_LENGTH]
    is_truncated = len(raw) > len(text.encode("utf-8", "replace"))
    body: dict[str, Any] = dict.fromkeys(("raw", "decoded", "event", "variables", "error"), "")
    body |= {"raw": text, "is_truncated": is_truncated}
    if not raw:  # a synthetic event
        return body
    if stored.truncated_from:
        return body | {"error": stored.reason}
    try:
        source = EventSource.of(inspector.config, stored.team)
        prepared = await prepare(raw, content_type, source, FactCache(inspector.store))
        values = await decode_body(raw, content_type)
    except (UnreadableBody, NotAnEvent) as error:
        return body | {"error": str(error)}

    def dumps() -> dict[str, Any]:
        decoded = _dump(values)
        shown = {"decoded" if media_type(content_type) == "transit" else "raw": decoded}
        shown["event"] = _dump(_compact(prepared.event))
        if stored.team in inspector.config.teams:
            variables = prepared.linked.variables()
            shown["variables"] = _dump({name: _compact(value) for name, value in variables.items()})
        return shown | {"is_truncated": is_truncated or len(decoded) == MAX_SHOWN_LENGTH}

    return body | await CONVERSIONS.run(stored.team, dumps)


def _compact(value: Any) -> Any:
    """Dataclasses as dicts, without empty values."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        compact = {key: _compact(item) for key, item in value.items()}
        return {key: item for key, item in compact.items() if item not in ("", None, [], {}, ())}
    return [_compact(item) for item in value] if isinstance(value, list | tuple) else value


def _dump(value: Any) -> str:
    """The first ``MAX_SHOWN_LENGTH`` characters of indented JSON, without making the others."""
    pieces = islice(_ENCODER.iterencode(value), MAX_SHOWN_LENGTH)
    return "".join(pieces)[:MAX_SHOWN_LENGTH]


def _curl(inspector: pages.InspectorContext, stored: StoredEvent) -> str:
    """The command that posts the body again; the secret stays a variable."""
    base, raw = inspector.config.server.shown_url, stored.body
    body = f"--data-binary @{_file_name(stored)}"
    text = raw[: MAX_CURL_BYTES + 1].decode("utf-8", "replace")
    # A pasted command must not contain a terminal's control characters.
    if len(raw) <= MAX_CURL_BYTES and text.encode() == raw and pages.visible(text) == text:
        body = f"--data-raw {shlex.quote(text)}"
    kind = shlex.quote(f"content-type: {stored.content_type}")
    return f'curl -H {kind} "{base}/hooks/{stored.team}/$SECRET" \\\n  {body}'


def _file_name(stored: StoredEvent) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", stored.name.lower()).strip("-")[:60] or "event"
    end = "transit.json" if media_type(stored.content_type) == "transit" else "json"
    return f"{name}-{stored.id}.{end}"


ROUTES = [
    Route("/inspector/events/{id}", _page, methods=["GET"]),
    Route("/inspector/events/{id}/resend", _resend, methods=["POST"]),
    Route("/inspector/events/{id}/payload", _payload, methods=["GET"]),
    Route("/inspector/events/{id}/mail/{delivery}", _frame, methods=["GET"]),
]
