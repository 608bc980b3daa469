"""Page rendering, headers and helpers shared by all pages.

A template extends ``base.html`` and fills its blocks ``title`` and ``main``. Each form contains
``{{ token_field(token) }}``, and htmx sends the token in a header: ``LoginGate`` checks both.

Everything is escaped: no template uses ``|safe``, and no text from outside is in an element or
attribute that executes or loads something. Scripts and styles are files in ``static/``, addressed
with ``asset``: the Content-Security-Policy forbids ``style`` and ``on…`` attributes.
"""

import hashlib
import logging
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Send

from relay import __version__
from relay.channels import CHANNEL_TYPES
from relay.channels.preview import SANDBOX, PreviewFrame, local_time
from relay.config.settings import Config
from relay.delivery.decisions import describe_undecided
from relay.errors import RelayError
from relay.inspector.feed import ChangeFeed
from relay.messages.templates import Templates
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.store.base import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InspectorContext:
    config: Config
    store: Store
    templates: Templates
    feed: ChangeFeed
    wake: Callable[[Collection[str]], None]  # with the queues that got deliveries to resend


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated client."""

    team: str | None  # key of the only visible team; None: all teams
    teams: tuple[str, ...]  # keys of the visible teams
    token: str  # CSRF token, sent with each form
    name: str = ""  # from the single sign-on proxy's header
    has_session: bool = False  # logged in with a password, so can log out


def inspector_of(request: Request) -> InspectorContext:
    context: InspectorContext = request.scope["inspector"]
    return context


def viewer_of(request: Request) -> Viewer:
    viewer: Viewer = request.scope["viewer"]
    return viewer


def form(request: Request) -> Mapping[str, str]:
    """The fields of the request's form; of a repeated field the last value."""
    fields: Mapping[str, str] = request.scope["form"]
    return fields


FOLDER = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def asset(name: str) -> str:
    return f"/inspector/static/{_version()}/{name}"


async def _serve(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _assets():
        return PlainTextResponse("Not Found", 404)
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(_assets()[name], headers=headers, media_type=TYPES[Path(name).suffix])


ASSET_ROUTES = [Route("/inspector/static/{version}/{name}", _serve)]


@cache
def _assets() -> dict[str, bytes]:
    paths = sorted((FOLDER / "static").iterdir())
    return {path.name: path.read_bytes() for path in paths if path.suffix in TYPES}


@cache
def _version() -> str:
    return hashlib.sha256(repr(_assets()).encode()).hexdigest()[:12]


HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Defaults of every response. With ``Referrer-Policy: no-referrer`` browsers would send forms with
``Origin: null``."""


def with_default_headers(send: Send) -> Send:
    """A ``send`` that adds ``HEADERS``."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers


class PageNotFound(RelayError):
    """The page does not exist or the viewer may not see it. Answered with 404."""


async def not_found(request: Request, _: Exception) -> Response:
    return page(request, "missing.html", 404)


async def store_unavailable(_: Request, error: Exception) -> Response:
    log.warning("inspector: cannot read the store: %s", error)
    return PlainTextResponse(f"Cannot read the store: {error}", 503)


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """A whole page, or a part of one as a response to htmx."""
    viewer, config = request.scope["viewer"], inspector_of(request).config
    token = viewer.token if viewer else ""
    common = {"viewer": viewer, "token": token, "here": request.url.path, "config": config}
    return HTMLResponse(render(name, **common | values), status)


def render(name: str, **values: Any) -> str:
    return _environment().get_template(name).render(values)


def frame_response(frame: PreviewFrame | None) -> Response:
    """A document for an ``<iframe>``, under its own policy; the page's ``<iframe sandbox>`` repeats
    the policy's sandbox flags. Raises ``PageNotFound`` if there is no document."""
    if frame is None:
        raise PageNotFound
    return HTMLResponse(frame.html, headers={"content-security-policy": frame.policy})


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"asset": asset, "version": __version__, "sandbox": SANDBOX}
    environment.globals |= {"catalogue": CATALOGUE, "groups": GROUPS}
    environment.globals["channel_types"] = CHANNEL_TYPES
    environment.filters |= FILTERS
    return environment


def moment(seconds: float) -> Markup:
    return local_time(datetime.fromtimestamp(seconds, UTC))


def countdown(seconds: float) -> Markup:
    """A future ``<time>``; ``app.js`` replaces its text with the remaining time."""
    at = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{:%FT%TZ}" data-until>{:%T} UTC</time>').format(at, at)


def duration(seconds: float) -> str:
    """Such as ``0.3 s``, ``12 s``, ``4 min``, ``3 h``, ``2 d``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    units = ("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800), ("d", 86400, math.inf)
    unit, size = next((unit, size) for unit, size, limit in units if seconds < limit)
    return f"{seconds / size:.0f} {unit}"


def row_id(text: str) -> int | None:
    """The id in a URL; None if the text is not one."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else None


def visible(text: str) -> str:
    """The text with invisible and bidirectional control characters as ``\\u…``."""
    return _INVISIBLE_PATTERN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_INVISIBLE_PATTERN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
FILTERS = {
    "moment": moment,
    "duration": duration,
    "undecided": describe_undecided,
    "until": countdown,
    "visible": visible,
}
