"""The list of events."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.inspector.pages import page


async def _list(request: Request) -> Response:
    return page(request, "events.html")


ROUTES = [Route("/inspector", _list, methods=["GET"])]
