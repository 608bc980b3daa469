"""Type and size of the pictures that Penpot stores, read from their bytes."""

import struct

from relay.picture import Picture, PictureType

MAX_PICTURE_BYTES = 2 * 1024 * 1024  # Penpot's thumbnails have some ten thousand
_MAX_SIDE_LENGTH = 10_000  # pixels


def picture(content: bytes) -> Picture:
    """The picture in ``content``. Raises ``ValueError`` if its format is not one that every chat
    and mail program shows, or its size is out of bounds."""
    kind, width, height = _size(content)
    if not (0 < width <= _MAX_SIDE_LENGTH and 0 < height <= _MAX_SIDE_LENGTH):
        raise ValueError(f"a picture of {width} by {height} pixels")
    return Picture(content, kind, width, height)


def _size(content: bytes) -> tuple[PictureType, int, int]:
    try:
        if content.startswith(b"\x89PNG\r\n\x1a\n") and content[12:16] == b"IHDR":
            return "image/png", *struct.unpack(">II", content[16:24])
        if content.startswith((b"GIF87a", b"GIF89a")):
            return "image/gif", *struct.unpack("<HH", content[6:10])
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return "image/webp", *_webp(content)
        if content.startswith(b"\xff\xd8\xff"):
            return "image/jpeg", *_jpeg(content)
    except (struct.error, IndexError):
        raise ValueError("a truncated picture") from None
    raise ValueError("no picture in PNG, JPEG, GIF or WebP")


def _webp(content: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    match content[12:16]:
        case b"VP8X":
            width, wide, height, high = struct.unpack("<HBHB", content[24:30])
            return (width | wide << 16) + 1, (height | high << 16) + 1
        case b"VP8L":
            (bits,) = struct.unpack("<I", content[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = struct.unpack("<HH", content[26:30])
            return width & 0x3FFF, height & 0x3FFF


def _jpeg(content: bytes) -> tuple[int, int]:
    """From the frame header, after any number of other segments (ITU-T T.81, B.2.2)."""
    offset = 2
    while True:
        marker, length = struct.unpack(">xBH", content[offset : offset + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[offset + 5 : offset + 9])
            return width, height
        offset += 2 + length
