"""A resolved thread of three people with one mention, which Relay first sees late."""

import json
from pathlib import Path
from typing import Any

from tests.penpot.paint import board
from tests.penpot.world import Asset, World

PAYLOADS = Path(__file__).parent / "payloads"
THREAD = "c0000001-5d0e-81a4-8006-9b0000000001"
PICTURE = "a0000000-0000-4000-8000-000000000001"
FIRST = "The button is hard to see on the photo. Could it be darker?"
SAID = (
    ("zoe", "Fixed: it is on the dark overlay now. {ada}, please look again.", ("ada",)),
    ("ada", "Much better, thank you!", ()),
    ("guest", "Good, I take it over into the mobile page.", ()),
)


def prepare(world: World) -> None:
    """Put the thread and its board's picture into the world."""
    thread = world.threads[THREAD]
    thread.is_resolved = True
    thread.page_name = "Home"
    thread.comments[0].content = FIRST
    world.files[thread.file].boards[f"{thread.page}/{thread.frame}"] = PICTURE
    world.files[thread.file].thumbnail = PICTURE
    world.assets[PICTURE] = Asset(board())


def replies(world: World) -> list[bytes]:
    """The bodies of the replies' events."""
    plain = json.loads((PAYLOADS / "create-comment" / "plain.json").read_bytes())
    return [_reply(plain, world, number, *said) for number, said in enumerate(SAID)]


def _reply(
    plain: dict[str, Any], world: World, number: int, who: str, text: str, to: tuple[str, ...]
) -> bytes:
    ids = {name: world.by_name("profiles", name) for name in ("ada", "zoe", "guest")}
    names = {name: f"@[{world.people[id_].fullname}]({id_})" for name, id_ in ids.items()}
    author = world.people[ids[who]]
    props = plain["props"] | {
        "id": f"c0000003-5d0e-81a4-8006-9b00000001{number:02}",
        "content": text.format(**names),
        "mentions": [ids[name] for name in to],
        "ownerId": author.id,
        "ownerFullname": author.fullname,
        "ownerEmail": author.email,
    }
    at = f"2026-07-25T08:4{number}:22.212Z"
    body = plain | {"props": props, "profileId": author.id, "createdAt": at, "trackedAt": at}
    return json.dumps(body, indent=2).encode()
