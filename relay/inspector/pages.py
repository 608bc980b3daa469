"""Page rendering, headers and helpers shared by all pages.

How a module adds pages
-----------------------
It has Starlette routes with full paths under ``/inspector/``, listed in ``__init__.py``.
An endpoint uses

- ``inspector_of(request)``: config, store, templates, metrics;
- ``viewer_of(request)``: who asks. ``viewer.teams(config)`` are the visible teams; for a request
  for another team it raises ``PageNotFound``;
- ``await form(request)``: the fields of a url-encoded form. ``LoginGate`` has checked its CSRF
  token: a form contains ``{{ token_field() }}``, and htmx sends the token in a header;
- ``page(request, "x.html", **values)``: a template of ``relay/inspector/templates/`` that extends
  ``base.html``, fills the blocks ``title`` and ``main``, and has ``viewer``, ``asset(name)`` and
  the filters of ``FILTERS``;
- ``fragment(request, "x.html", **values)``: the same without a layout, as a response to htmx.

Everything is escaped: no template uses ``|safe``, and no text from outside is in an element or
attribute that executes or loads something. Scripts and styles are files in ``static/``, addressed
with ``asset``: the Content-Security-Policy forbids ``style`` and ``on…`` attributes. A response
with a policy of its own, such as a mail's, sets the header itself.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay import __version__
from relay.channels.preview import PreviewFrame
from relay.config.settings import Config
from relay.delivery.feed import ChangeFeed
from relay.errors import RelayError
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.store.base import Store


@dataclass(frozen=True, slots=True)
class InspectorContext:
    config: Config
    store: Store
    templates: Templates
    metrics: Metrics
    feed: ChangeFeed
    wake: Callable[[Collection[str]], None]
    """Called with the names of queues that got deliveries back for resending."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated client."""

    team: str | None  # key of the only visible team; None: all teams
    token: str  # CSRF token, sent with each form
    name: str = ""  # from the single sign-on proxy's header
    has_session: bool = False  # logged in with a password, so can log out

    def teams(self, config: Config) -> tuple[str, ...]:
        """The keys of the visible teams."""
        return tuple(config.teams) if self.team is None else (self.team,)


def inspector_of(request: Request) -> InspectorContext:
    context = request.scope["inspector"]
    assert isinstance(context, InspectorContext)  # noqa: S101 - set by LoginGate
    return context


def viewer_of(request: Request) -> Viewer:
    viewer = request.scope["viewer"]
    assert isinstance(viewer, Viewer)  # noqa: S101 - set by LoginGate
    return viewer


FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def asset(name: str) -> str:
    return f"/inspector/static/{_version()}/{name}"


async def _serve(request: Request) -> Response:
    file = _files().get(request.path_params["name"])
    if file is None:
        return Response("Not Found", 404, media_type="text/plain")
    content, media_type = file
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(content, headers=headers, media_type=media_type)


ASSET_ROUTES = [Route("/inspector/static/{version}/{name}", _serve)]


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    return {
        path.name: (path.read_bytes(), TYPES[path.suffix])
        for path in sorted(FOLDER.iterdir())
        if path.suffix in TYPES
    }


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for name, (content, _) in _files().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:12]


POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Mapping[bytes, bytes] = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cache-control": b"no-store",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
"""Defaults of every response. With ``Referrer-Policy: no-referrer`` browsers would send forms with
``Origin: null``."""


FORM_TIMEOUT = 30.0  # seconds


class PageNotFound(RelayError):
    """The page does not exist or the viewer may not see it. Answered with 404."""


class PagesMiddleware:
    """Adds ``HEADERS`` to responses and answers ``PageNotFound``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = [header for header in HEADERS.items() if header[0] not in own]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except PageNotFound:
            await page(Request(scope), "missing.html", 404)(scope, receive, with_headers)


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    viewer = request.scope["viewer"]
    common = {
        "viewer": viewer,
        "token": viewer.token if viewer else "",
        "here": request.url.path,
        "config": request.scope["inspector"].config,
    }
    return HTMLResponse(_environment().get_template(name).render(common | values), status)


fragment = page


def render_fragment(name: str, **values: Any) -> str:
    """A template without a layout that needs no request."""
    return _environment().get_template(name).render(values)


def frame_response(frame: PreviewFrame | None) -> Response:
    """A document for an ``<iframe>``, under its own policy; the page's ``<iframe sandbox>`` repeats
    the policy's sandbox flags. Raises ``PageNotFound`` if there is no document."""
    if frame is None:
        raise PageNotFound
    headers = {"content-security-policy": frame.policy}
    return Response(frame.html, headers=headers, media_type="text/html; charset=utf-8")


async def form(request: Request) -> dict[str, str]:
    """The fields of a form; of a repeated field the last value."""
    body = await request.body()
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


async def read_body(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    more = True
    try:
        async with asyncio.timeout(FORM_TIMEOUT):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HTTPException(400)
                body += message.get("body", b"")
                if len(body) > limit:
                    raise HTTPException(413, headers={"connection": "close"})
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise HTTPException(408, headers={"connection": "close"}) from error
    return bytes(body)


def replayed(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the body once more."""
    is_pending = True

    async def replay() -> Message:
        nonlocal is_pending
        if not is_pending:
            return await receive()
        is_pending = False
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {"asset": asset, "version": __version__}
    environment.filters |= FILTERS
    return environment


def moment(seconds: float) -> Markup:
    """A ``<time>``; ``app.js`` converts it to the browser's time zone and language."""
    at = datetime.fromtimestamp(seconds, UTC)
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown = at.strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(exact, shown, shown)


def countdown(seconds: float) -> Markup:
    """A future ``<time>``; ``app.js`` replaces its text with the remaining time."""
    at = datetime.fromtimestamp(seconds, UTC)
    exact = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    shown = at.strftime("%H:%M:%S UTC")
    return Markup('<time datetime="{}" data-until>{}</time>').format(exact, shown)


def duration(seconds: float) -> str:
    """Such as ``0.3 s``, ``12 s``, ``4 min``, ``3 h``, ``2 d``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit in ((60, "s"), (3600, "min"), (86400, "h")):
        if seconds < 2 * size:
            return f"{seconds * {'s': 1, 'min': 1 / 60, 'h': 1 / 3600}[unit]:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def row_id(text: str) -> int | None:
    """The id in a URL; None if the text is not one."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else None


def visible(text: str) -> str:
    """The text with invisible and bidirectional control characters as ``\\u…``."""
    return _INVISIBLE_PATTERN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


_INVISIBLE_PATTERN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
FILTERS = {"moment": moment, "duration": duration, "until": countdown, "visible": visible}
