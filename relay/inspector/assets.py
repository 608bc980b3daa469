"""Serves ``static/``. Paths contain a hash of all files, so browsers cache them forever."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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


ROUTES = [Route("/inspector/static/{version}/{name}", _serve)]


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
