"""Pages: templates, headers, and what all pages share.

How a module adds pages
-----------------------
It has a function or a list with Starlette routes, with full paths under ``/inspector/``, that
``routes.py`` puts into its own. An endpoint gets

- ``inspector_of(request)``: config, store, templates, metrics (``context.py``);
- ``viewer_of(request)``: for whom. ``viewer.teams(config)`` are the teams that may be shown to
  them, and what belongs to another team is answered with ``missing(request)``;
- ``await form(request)``: the fields of a form, sent url-encoded. ``Door`` has looked at its token
  by then: a form holds ``{{ token_field() }}``, and htmx sends the token by itself;
- ``page(request, "x.html", **values)``: a template from ``relay/inspector/templates/``, which
  begins with ``{% extends "base.html" %}``, fills the blocks ``title`` and ``main``, and
  gets ``viewer``, ``asset(name)`` and the names in ``FILTERS``;
- ``parts(request, "x.html", **values)``: the same without a layout, as an answer to htmx.

Everything is escaped; text from outside stands in elements and attributes that run and fetch
nothing. ``|safe`` does not occur. Scripts and styles are files in ``static/``, named with
``asset``: the policy allows no other, so there is no ``style`` attribute and no ``on…`` either. An
answer that needs a policy of its own, such as what stands in a frame, sets the header by itself.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay import __version__
from relay.inspector.assets import asset

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
"""What every answer has, unless the endpoint says otherwise. Without any referrer browsers would
not say whose form it is that they send (``Origin: null``)."""


class WithHeaders:
    """An application whose answers have ``HEADERS``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name for name, _ in message["headers"]}
                more = [header for header in HEADERS.items() if header[0] not in own]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self._app(scope, receive, with_headers)


def page(request: Request, name: str, status: int = 200, **values: Any) -> Response:
    """A whole page out of the template of that name."""
    viewer = request.scope["viewer"]
    text = (
        _environment()
        .get_template(name)
        .render(
            {
                "viewer": viewer,
                "token": viewer.token if viewer else "",
                "here": request.url.path,
                "config": request.scope["inspector"].config,
            }
            | values
        )
    )
    return HTMLResponse(text, status)


parts = page
"""The same for a template without a layout."""


def rendered(name: str, **values: Any) -> str:
    """What a template without a layout gives that asks for nothing of the request."""
    return _environment().get_template(name).render(values)


def missing(request: Request) -> Response:
    """The answer about what is not there, or not for this viewer."""
    return page(request, "missing.html", 404)


async def form(request: Request) -> dict[str, str]:
    """The fields of a form; the last one counts of those with one name."""
    body = await request.body()
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))


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
    """A time element; the browser's own zone and words are put in by ``app.js``."""
    at = datetime.fromtimestamp(seconds, UTC)
    exact = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    shown = at.strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(exact, shown, shown)


def until(seconds: float) -> Markup:
    """A time to come; ``app.js`` tells how far it is."""
    at = datetime.fromtimestamp(seconds, UTC)
    exact = at.isoformat(timespec="seconds").replace("+00:00", "Z")
    shown = at.strftime("%H:%M:%S UTC")
    return Markup('<time datetime="{}" data-until>{}</time>').format(exact, shown)


def duration(seconds: float) -> str:
    """A span of time in short: ``0.3 s``, ``12 s``, ``4 min``, ``3 h``, ``2 d``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, unit in ((60, "s"), (3600, "min"), (86400, "h")):
        if seconds < 2 * size:
            return f"{seconds * {'s': 1, 'min': 1 / 60, 'h': 1 / 3600}[unit]:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def row_id(text: str) -> int | None:
    """An event's or a delivery's id out of an address; None where it is none."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else None


def visible(text: str) -> str:
    """Text with what can't be seen, or turns the direction of what follows, as ``\\u…``."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)
FILTERS = {"moment": moment, "duration": duration, "until": until, "visible": visible}
