"""HTTP/1.1 on asyncio's streams, for servers that delay their answers.

Also reads requests with Penpot's ``Upgrade: h2c``, from which httptools reads no body.
"""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.servers.loopback import Answer, Request, Threaded


async def read(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    url = urlsplit(target)
    return Request(method, url.path, url.query, headers, body)


def to_bytes(answer: Answer) -> bytes:
    """204 has neither a body nor a length."""
    return b"HTTP/1.1 204 X\r\n\r\n" if answer.status == 204 else answer.to_bytes()


@contextmanager
def hook(answer: Answer, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, list[Request]]]:
    """A hook with a fixed answer: its address, and the requests received."""
    requests: list[Request] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await read(reader):
                requests.append(request)
                writer.write(to_bytes(answer))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    with Threaded(lambda: asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)) as server:
        yield server.url if tls is None else f"https://localhost:{server.port}", requests
