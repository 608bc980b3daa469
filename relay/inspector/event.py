"""The page of one event: its deliveries with their attempts and previews, and its body."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.channels import render_preview
from relay.channels.base import ReplyTo
from relay.channels.preview import SANDBOX, MessagePreview
from relay.delivery.facts import FactCache
from relay.delivery.pipeline import EventSource, prepare
from relay.inspector.pages import (
    InspectorContext,
    PageNotFound,
    form,
    frame_response,
    inspector_of,
    page,
    row_id,
    viewer_of,
    visible,
)
from relay.messages.message import Message
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import NotAnEvent
from relay.penpot.wire import UnreadableBody, decode_body, media_type
from relay.store.queries import DeliveryAttempt, EventDetails
from relay.store.records import Delivery

MAX_SHOWN_LENGTH = 100_000  # characters of a body; the download has all of it
MAX_CURL_BYTES = 20_000  # a larger body is a file name in the curl command
_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class DeliveryView:
    delivery: Delivery
    channel: str
    kind: str  # of the channel; empty if the channel is no longer in the config
    attempts: Sequence[DeliveryAttempt]
    preview: MessagePreview


@dataclass(frozen=True, slots=True)
class BodyView:
    raw: str  # Transit as received, JSON indented
    decoded: str = ""  # of Transit
    event: str = ""
    variables: str = ""
    error: str = ""  # why it is unreadable
    is_truncated: bool = False


async def _page(request: Request) -> Response:
    inspector, details = inspector_of(request), await _load(request)
    return page(
        request,
        "event.html",
        details=details,
        row=details.row,
        deliveries=[
            await _delivery_view(inspector, details, delivery) for delivery in details.deliveries
        ],
        body=await _body_view(inspector, details),
        has_template=details.row.name in CATALOGUE,
        sandbox=SANDBOX,
        curl=_curl(inspector, details),
        file=_file_name(details),
        resent=request.query_params.get("resent", ""),
        live=f"/inspector/live?after={2**62}&open={details.event.id}",
    )


async def _resend(request: Request) -> Response:
    inspector, details = inspector_of(request), await _load(request)
    choice = (await form(request)).get("delivery", "")
    chosen = [d for d in details.deliveries if choice in ("all", str(d.id))]
    resent = await inspector.store.resend([d.id for d in chosen]) if chosen else []
    inspector.wake({d.queue for d in chosen})
    inspector.feed.changed([details.event.id])
    return RedirectResponse(f"/inspector/events/{details.event.id}?resent={len(resent)}", 303)


async def _payload(request: Request) -> Response:
    """The body as received, in a file named like those in ``tests/penpot/payloads``."""
    details = await _load(request)
    headers = {"content-disposition": f'attachment; filename="{_file_name(details)}"'}
    return Response(details.event.body, headers=headers, media_type="application/octet-stream")


async def _frame(request: Request) -> Response:
    inspector, details = inspector_of(request), await _load(request)
    for delivery in details.deliveries:
        if str(delivery.id) == request.path_params["delivery"]:
            view = await _delivery_view(inspector, details, delivery)
            return frame_response(view.preview.frame)
    raise PageNotFound


async def _load(request: Request) -> EventDetails:
    event_id, team = row_id(request.path_params["id"]), viewer_of(request).team
    queries = inspector_of(request).store.queries
    details = await queries.event(team, event_id) if event_id is not None else None
    if details is None:
        raise PageNotFound
    return details


async def _delivery_view(
    inspector: InspectorContext, details: EventDetails, delivery: Delivery
) -> DeliveryView:
    settings = inspector.config.queues().get(delivery.queue)
    message = Message.loads(delivery.message)
    thread = None
    if message.thread and settings is not None and settings.in_threads and message.to is None:
        stored = await inspector.store.get_thread(delivery.queue, message.thread)
        if stored is not None and stored.root != delivery.receipt:
            thread = ReplyTo(stored.root, stored.last, stored.title)
    kind = settings.type if settings is not None else ""
    preview = render_preview(kind, message, thread, settings)
    channel = delivery.queue.partition("/")[2]
    return DeliveryView(delivery, channel, kind, details.attempts[delivery.id], preview)


async def _body_view(inspector: InspectorContext, details: EventDetails) -> BodyView:
    config, raw = inspector.config, details.event.body
    text = raw[: 4 * MAX_SHOWN_LENGTH].decode("utf-8", "replace")[:MAX_SHOWN_LENGTH]
    is_truncated = len(raw) > len(text.encode("utf-8", "replace"))
    if not raw:  # a synthetic event
        return BodyView("")
    content_type, source = details.event.content_type, EventSource.of(config, details.event.team)
    try:
        prepared = await prepare(raw, content_type, source, FactCache(inspector.store))
        decoded = _dump(await decode_body(raw, content_type))
    except (UnreadableBody, NotAnEvent) as error:
        return BodyView(text, error=str(error), is_truncated=is_truncated)
    variables = ""
    if details.event.team in config.teams:
        values = prepared.linked.variables()
        variables = _dump({key: _compact(value) for key, value in values.items()})
    shown = decoded[:MAX_SHOWN_LENGTH]
    is_transit = media_type(content_type) == "transit"
    return BodyView(
        text if is_transit else shown,
        shown if is_transit else "",
        _dump(_compact(prepared.event))[:MAX_SHOWN_LENGTH],
        variables[:MAX_SHOWN_LENGTH],
        is_truncated=is_truncated or len(decoded) > MAX_SHOWN_LENGTH,
    )


def _compact(value: Any) -> Any:
    """Dataclasses as dicts, without empty values."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        compact = {key: _compact(item) for key, item in value.items()}
        return {key: item for key, item in compact.items() if item not in ("", None, [], {}, ())}
    return [_compact(item) for item in value] if isinstance(value, list | tuple) else value


def _dump(value: Any) -> str:
    """Indented JSON, cut one character after ``MAX_SHOWN_LENGTH``."""
    pieces, size = [], 0
    for piece in _ENCODER.iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_SHOWN_LENGTH:
            break
    return "".join(pieces)[: MAX_SHOWN_LENGTH + 1]


def _curl(inspector: InspectorContext, details: EventDetails) -> str:
    """The command that posts the body again; the secret stays a variable."""
    server = inspector.config.server
    base = server.public_url or f"http://localhost:{server.port}"
    raw = details.event.body
    body = f"--data-binary @{_file_name(details)}"
    text = raw[: MAX_CURL_BYTES + 1].decode("utf-8", "replace")
    # A pasted command must not contain a terminal's control characters.
    if len(raw) <= MAX_CURL_BYTES and text.encode() == raw and visible(text) == text:
        body = f"--data-raw {shlex.quote(text)}"
    kind = shlex.quote(f"content-type: {details.event.content_type}")
    return f'curl -H {kind} "{base}/hooks/{details.event.team}/$SECRET" \\\n  {body}'


def _file_name(details: EventDetails) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", details.event.name.lower()).strip("-")[:60] or "event"
    end = "transit.json" if media_type(details.event.content_type) == "transit" else "json"
    return f"{name}-{details.event.id}.{end}"


ROUTES = [
    Route("/inspector/events/{id}", _page, methods=["GET"]),
    Route("/inspector/events/{id}/resend", _resend, methods=["POST"]),
    Route("/inspector/events/{id}/payload", _payload, methods=["GET"]),
    Route("/inspector/events/{id}/mail/{delivery}", _frame, methods=["GET"]),
]
