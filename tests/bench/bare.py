"""The baseline: a bare Starlette endpoint that only reads the body."""

import sys
from functools import partial
from typing import Any, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.protocol import BoundedProtocol, ConnectionTable


async def hook(request: Request) -> Response:
    await request.body()
    return Response(status_code=204)


if __name__ == "__main__":
    app = Starlette(routes=[Route("/hooks/{team}/{secret}", hook, methods=["HEAD", "POST"])])
    uvicorn.run(
        app,
        port=int(sys.argv[1]),
        http=cast(Any, partial(BoundedProtocol, table=ConnectionTable("bare", 4096, print))),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
    )
