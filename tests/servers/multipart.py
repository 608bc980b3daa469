"""Bodies of ``multipart/form-data``, for stand-ins."""

from email.parser import BytesParser
from email.policy import HTTP

from tests.servers.loopback import Request


def parts(request: Request) -> dict[str, tuple[str, bytes]]:
    """The file's name (empty for a field) and the content, by the field's name."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    found = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        found[str(name)] = (
            part.get_filename() or "",
            content if isinstance(content, bytes) else b"",
        )
    return found
