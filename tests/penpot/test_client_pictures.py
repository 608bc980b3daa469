"""Thumbnails: their ids, and the type and size of their bytes."""

import struct
from collections.abc import Iterator

import pytest

from relay.messages.message import Picture
from relay.penpot.api import PenpotClient
from relay.penpot.client import (
    MAX_PICTURE_BYTES,
    PenpotBusy,
    PenpotError,
    PenpotRefused,
    PenpotUnexpected,
    picture,
)
from tests.penpot.paint import board
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.penpot.world import Asset
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio

PICTURE, FRAME = "a0000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000002"
NOBODY = "a0000000-0000-4000-8000-00000000000f"
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc4\0\x03a\xff\xc2\0\x0b\x08" + struct.pack(">HH", 30, 40)
VP8 = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 40 | 0x4000, 30)
VP8L = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 39 | 29 << 14)
VP8X = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x27\0\0\x1d\0\0"


@pytest.fixture
def penpot() -> Iterator[StandIn]:
    with StandIn() as penpot:
        yield penpot


async def asset(penpot: StandIn, id_: str = PICTURE, token: str = TOKEN) -> object:
    penpot.world.assets[PICTURE] = Asset(board())
    rpc_client = PenpotClient(penpot.url, token, timeout=0.5)
    try:
        return await rpc_client.asset(id_)
    finally:
        await rpc_client.close()


async def test_a_picture_has_its_type_and_size(penpot: StandIn) -> None:
    assert await asset(penpot) == picture(board())
    assert await asset(penpot, NOBODY) is None
    assert await asset(penpot, "../../etc/passwd") is None
    with pytest.raises(PenpotRefused, match="unknown to Penpot"):
        await asset(penpot, token="another")


async def test_boards_have_their_own_thumbnails(penpot: StandIn) -> None:
    landing, page = penpot.world.by_name("files", "landing"), penpot.world.by_name("pages", "p1")
    penpot.world.files[landing].boards = {
        f"{page}/{FRAME}": PICTURE,
        f"{page}/": PICTURE,
        "odd": PICTURE,
        f"{page}/{NOBODY}": "no id",
    }
    rpc_client = PenpotClient(penpot.url, TOKEN)
    found = await rpc_client.object_thumbnails(landing)
    penpot.faults["get-file-object-thumbnails"] = Fault(
        answer=Answer(b"[]", 200, "application/json")
    )
    with pytest.raises(PenpotUnexpected, match="an object was expected"):
        await rpc_client.object_thumbnails(landing)
    await rpc_client.close()

    assert found is not None
    assert found[page, FRAME] == PICTURE
    assert all(media == PICTURE for media in found.values())


FAULTS: list[tuple[Fault, type[PenpotError], str]] = [
    (Fault(status=429), PenpotBusy, "429"),
    (Fault(status=500), PenpotBusy, "500"),
    (Fault(status=403), PenpotRefused, "403"),
    (Fault(hang=True), PenpotBusy, "no answer within 0.5 s"),
    (Fault(cut=True), PenpotBusy, "no answer"),
    (Fault(garbage=b"HTTP/1.1 what\r\n\r\n"), PenpotBusy, "no answer"),
    (
        Fault(answer=Answer(b"", 302, headers={"location": "/"})),
        PenpotUnexpected,
        "penpot.url should be",
    ),
    (
        Fault(answer=Answer(b"<html>Log in</html>", 200, "image/png")),
        PenpotUnexpected,
        "no picture",
    ),
    (Fault(answer=Answer(b"<svg/>", 200, "image/svg+xml")), PenpotUnexpected, "no picture"),
    (Fault(answer=Answer(b"", 200, "image/png")), PenpotUnexpected, "no picture"),
    (
        Fault(answer=Answer(board() + bytes(MAX_PICTURE_BYTES), 200)),
        PenpotUnexpected,
        f"more than {MAX_PICTURE_BYTES} bytes",
    ),
]


@pytest.mark.parametrize(("fault", "error", "text"), FAULTS)
async def test_an_answer_that_is_not_a_picture_is_an_error(
    penpot: StandIn, fault: Fault, error: type[PenpotError], text: str
) -> None:
    penpot.faults["asset"] = fault

    with pytest.raises(error, match=text) as caught:
        await asset(penpot)

    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(("content", "kind"), [
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 40, 30), "image/png"),
    (b"GIF89a" + struct.pack("<HH", 40, 30), "image/gif"),
    (JPEG, "image/jpeg"),
    (VP8, "image/webp"),
    (VP8L, "image/webp"),
    (VP8X, "image/webp"),
])  # fmt: skip
def test_type_and_size_are_read_from_the_bytes(content: bytes, kind: str) -> None:
    found = picture(content)

    assert (found.type, found.width, found.height) == (kind, 40, 30)
    assert found.content == content
    assert Picture(*found).extension == kind.removeprefix("image/")
    for end in range(len(content)):
        with pytest.raises(ValueError, match="picture"):
            picture(content[:end])


@pytest.mark.parametrize("size", [(0, 30), (40, 0), (10_001, 30), (40, 2**31)])
def test_a_picture_of_an_invalid_size_is_an_error(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        picture(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", *size))
