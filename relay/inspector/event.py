"""One event: what came, what it became, where it went, and sending it again."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.channels.base import ReplyTo
from relay.delivery.memory import FactCache
from relay.delivery.plan import read
from relay.inspector.context import InspectorContext, inspector_of, viewer_of
from relay.inspector.frames import framed
from relay.inspector.look import Look, shown
from relay.inspector.look.mail import SANDBOX
from relay.inspector.pages import form, missing, page, row_id, visible
from relay.messages.message import Message
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import NotAnEvent, normalize
from relay.penpot.links import add_links
from relay.penpot.wire import UnreadableBody, media_type
from relay.store.base import Delivery
from relay.store.reading import DeliveryAttempt, Whole

MOST_SHOWN = 100_000
"""Characters of a body on the page; all of it is in the download."""
MOST_COPIED = 20_000
"""Bytes of a body that stand in a command to copy."""
_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery on the page."""

    delivery: Delivery
    channel: str
    kind: str
    """Of the channel; empty where it has left the config."""
    attempts: Sequence[DeliveryAttempt]
    look: Look


@dataclass(frozen=True, slots=True)
class BodyView:
    """A body on the page."""

    sent: str
    """As it came; JSON indented as Penpot indents it."""
    read: str = ""
    """As it is read, where that looks different."""
    event: str = ""
    variables: str = ""
    fault: str = ""
    """Why it can't be read."""
    is_cut: bool = False


async def _show(request: Request) -> Response:
    inspector, whole = inspector_of(request), await _find(request)
    if whole is None:
        return missing(request)
    return page(
        request,
        "event.html",
        whole=whole,
        row=whole.row,
        told=[await _told(inspector, whole, delivery) for delivery in whole.deliveries],
        body=await _body(inspector, whole),
        has_template=whole.row.name in CATALOGUE,
        sandbox=SANDBOX,
        curl=_curl(inspector, whole),
        file=_file_name(whole),
        resent=request.query_params.get("resent", ""),
        live=f"/inspector/live?after={2**62}&open={whole.event.id}",
    )


async def _again(request: Request) -> Response:
    inspector, whole = inspector_of(request), await _find(request)
    if whole is None:
        return missing(request)
    which = (await form(request)).get("delivery", "")
    chosen = [one for one in whole.deliveries if which in ("all", str(one.id))]
    found = await inspector.store.resend([one.id for one in chosen]) if chosen else []
    inspector.wake({one.queue for one in chosen})
    inspector.feed.changed([whole.event.id])
    return RedirectResponse(f"/inspector/events/{whole.event.id}?resent={len(found)}", 303)


async def _payload(request: Request) -> Response:
    """The body as it came, as tests keep theirs."""
    whole = await _find(request)
    if whole is None:
        return missing(request)
    headers = {"content-disposition": f'attachment; filename="{_file_name(whole)}"'}
    return Response(whole.event.body, headers=headers, media_type="application/octet-stream")


async def _frame(request: Request) -> Response:
    """A mail, for a frame on the event's page."""
    inspector, whole = inspector_of(request), await _find(request)
    for delivery in whole.deliveries if whole else ():
        if whole and str(delivery.id) == request.path_params["delivery"]:
            frame = (await _told(inspector, whole, delivery)).look.frame
            if frame is not None:
                return framed(frame)
    return missing(request)


async def _find(request: Request) -> Whole | None:
    event_id = row_id(request.path_params["id"])
    if event_id is None:
        return None
    return await inspector_of(request).store.reading.event(viewer_of(request).team, event_id)


async def _told(inspector: InspectorContext, whole: Whole, delivery: Delivery) -> DeliveryView:
    settings = inspector.config.queues().get(delivery.queue)
    message = Message.loads(delivery.message)
    thread = None
    if message.thread and settings is not None and settings.in_threads and message.to is None:
        place = await inspector.store.thread(delivery.queue, message.thread)
        if place is not None and place.root != delivery.receipt:
            thread = ReplyTo(place.root, place.last, place.title)
    addresses: dict[str, Any] = {}
    if settings is not None and settings.type == "email":
        addresses = {"sender": settings.sender, "to": settings.to}
    kind = settings.type if settings is not None else ""
    look = shown(kind or "stdout", message, thread, **addresses)
    channel = delivery.queue.partition("/")[2]
    return DeliveryView(delivery, channel, kind, whole.attempts[delivery.id], look)


async def _body(inspector: InspectorContext, whole: Whole) -> BodyView:
    raw = whole.event.body
    text = raw[: 4 * MOST_SHOWN].decode("utf-8", "replace")[:MOST_SHOWN]
    is_cut = len(raw) > len(text.encode("utf-8", "replace"))
    if not raw:  # Relay's own event
        return BodyView("")
    try:
        values = await read(raw, whole.event.content_type)
        event = normalize(values)
    except (UnreadableBody, NotAnEvent) as error:
        return BodyView(text, fault=str(error), is_cut=is_cut)
    pretty = _dump(values)
    is_cut = is_cut or len(pretty) > MOST_SHOWN
    team = inspector.config.teams.get(whole.event.team)
    known = ""
    if team is not None:
        name = inspector.config.team_name(whole.event.team)
        memory = FactCache(inspector.store)
        enriched = await memory.enriched(event, whole.event.team, name, team.team_id)
        linked = add_links(enriched, inspector.config.penpot.url)
        known = _dump({key: _plain(value) for key, value in linked.variables().items()})
    is_transit = media_type(whole.event.content_type) == "transit"
    return BodyView(
        text if is_transit else pretty[:MOST_SHOWN],
        pretty[:MOST_SHOWN] if is_transit else "",
        _dump(_plain(event))[:MOST_SHOWN],
        known[:MOST_SHOWN],
        is_cut=is_cut,
    )


def _plain(value: Any) -> Any:
    """Records as dicts, without what is empty."""
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, dict):
        plain = {key: _plain(each) for key, each in value.items()}
        return {key: each for key, each in plain.items() if each not in ("", None, [], {}, ())}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _dump(value: Any) -> str:
    """As indented JSON; of what is longer than what is shown, one character more."""
    pieces, size = [], 0
    for piece in _ENCODER.iterencode(value):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_SHOWN:
            break
    return "".join(pieces)[: MOST_SHOWN + 1]


def _curl(inspector: InspectorContext, whole: Whole) -> str:
    """The command that posts the event anew; the secret is left to the reader."""
    server = inspector.config.server
    base = server.public_url or f"http://localhost:{server.port}"
    raw = whole.event.body
    body = f"--data-binary @{_file_name(whole)}"
    text = raw[: MOST_COPIED + 1].decode("utf-8", "replace")
    # Not what a terminal would take for commands of its own.
    if len(raw) <= MOST_COPIED and text.encode() == raw and visible(text) == text:
        body = f"--data-raw {shlex.quote(text)}"
    kind = shlex.quote(f"content-type: {whole.event.content_type}")
    return f'curl -H {kind} "{base}/hooks/{whole.event.team}/$SECRET" \\\n  {body}'


def _file_name(whole: Whole) -> str:
    name = re.sub(r"[^a-z0-9-]+", "-", whole.event.name.lower()).strip("-")[:60] or "event"
    end = "transit.json" if media_type(whole.event.content_type) == "transit" else "json"
    return f"{name}-{whole.event.id}.{end}"


ROUTES = [
    Route("/inspector/events/{id}", _show, methods=["GET"]),
    Route("/inspector/events/{id}/again", _again, methods=["POST"]),
    Route("/inspector/events/{id}/payload", _payload, methods=["GET"]),
    Route("/inspector/events/{id}/mail/{delivery}", _frame, methods=["GET"]),
]
