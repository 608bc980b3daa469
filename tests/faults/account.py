"""The account of a run: what Penpot's side was answered against what the servers got."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

SENDER = 100_000
"""Numbers of one sender: its comments are SENDER * n, SENDER * n + 1, …"""


class Post(NamedTuple):
    """A message as a server got it: what readers' programs know it by, and the comments in it."""

    identity: str
    numbers: tuple[int, ...]


def numbers_in(text: str) -> tuple[int, ...]:
    """The comments that a text tells, as ``tests/faults/stage.py`` words them."""
    return tuple(int(number) for number in re.findall(r"This is no (\d+)", text))


@dataclass
class Ledger:
    """Penpot's side of the account."""

    acknowledged: list[int] = field(default_factory=list)
    """What was answered 204, in this order for each sender."""
    refused: list[int] = field(default_factory=list)
    """What was answered otherwise: it need not arrive."""
    unanswered: list[int] = field(default_factory=list)
    """Where the connection broke: it may arrive or not, once."""


@dataclass(frozen=True)
class Line:
    """One queue in the account."""

    queue: str
    acknowledged: int
    delivered: int
    dead: int
    doubled: int
    allowed: int
    faults: Sequence[str] = ()

    def __str__(self) -> str:
        told = (
            f"{self.queue:<22} {self.acknowledged:6} acknowledged = {self.delivered:6} delivered "
            f"+ {self.dead:3} dead; {self.doubled} doubled of {self.allowed} allowed"
        )
        return "\n    ".join([told, *self.faults])


def settle(
    queue: str,
    ledger: Ledger,
    posts: Sequence[Post],
    *,
    dead: Mapping[int, str] | None = None,
    doubles: int = 0,
    resent: Collection[int] = (),
) -> Line:
    """The account of one queue. A post of the same identity as an earlier one is not seen twice.

    ``dead``: the reasons of what was set aside. ``doubles``: so many posts may tell again what an
    earlier one told. ``resent``: what was put back by hand, out of its turn.
    """
    dead = dead or {}
    told: dict[int, None] = {}
    repeated: list[Post] = []
    for post in {post.identity: post for post in posts}.values():  # in the order of the first
        if told.keys() & post.numbers:
            repeated.append(post)
        told |= dict.fromkeys(post.numbers)
    seen, due = set(told), set(ledger.acknowledged)
    possible = due | set(ledger.unanswered) | set(ledger.refused)
    faults = [
        *_some("acknowledged, but neither delivered nor dead", due - seen - dead.keys()),
        *_some("delivered, but dead as well", seen & dead.keys()),
        *_some("dead without a reason", {one for one, reason in dead.items() if not reason}),
        *_some("delivered, but never sent by Penpot", seen - possible),
        *_some("out of order", _astray([one for one in told if one in due - set(resent)])),
    ]
    if len(repeated) > doubles:
        faults.append(f"{len(repeated)} posts repeat earlier ones: {repeated[:10]}")
    delivered, lost = len(due & seen), len(due & dead.keys())
    return Line(queue, len(due), delivered, lost, len(repeated), doubles, faults)


def _some(what: str, numbers: Collection[int]) -> list[str]:
    if not numbers:
        return []
    shown = ", ".join(map(str, sorted(numbers)[:20]))
    return [f"{len(numbers)} {what}: {shown}{', …' if len(numbers) > 20 else ''}"]


def _astray(numbers: Sequence[int]) -> list[int]:
    """Those that stand behind a later one of the same sender."""
    of_sender: dict[int, list[int]] = {}
    for number in numbers:
        of_sender.setdefault(number // SENDER, []).append(number)
    return [
        later for told in of_sender.values() for earlier, later in pairwise(told) if later < earlier
    ]
