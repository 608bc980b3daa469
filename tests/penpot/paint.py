"""PNG pictures for the tests, made without a library: a board's thumbnail."""

import struct
import zlib

Color = tuple[int, int, int]
BACKGROUND, HEADER, PHOTO, LINE, BUTTON = (
    (232, 233, 234), (24, 24, 26), (126, 239, 255), (177, 178, 181), (105, 17, 212)
)  # fmt: skip


def png(rows: list[list[Color]]) -> bytes:
    raw = b"".join(b"\0" + bytes(part for pixel in row for part in pixel) for row in rows)
    size = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def board(width: int = 400, height: int = 300) -> bytes:
    """A landing page as a wireframe."""
    return png([[_pixel(x / width, y / height) for x in range(width)] for y in range(height)])


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    body = b"".join(chunk)
    return struct.pack(">I", len(chunk[1])) + body + struct.pack(">I", zlib.crc32(body))


def _pixel(x: float, y: float) -> Color:
    if y < 0.12:
        return HEADER
    if 0.06 < x < 0.5 and 0.2 < y < 0.8:
        return PHOTO
    if 0.56 < x < 0.78 and 0.62 < y < 0.74:
        return BUTTON
    if 0.56 < x < 0.94 and 0.2 < y < 0.55 and int(y * 40) % 3 == 0:
        return LINE
    return BACKGROUND
