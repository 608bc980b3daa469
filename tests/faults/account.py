"""The account of a run: what Relay answered to Penpot against what the servers received."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

SENDER = 100_000
"""Numbers of one sender: its comments are SENDER * n, SENDER * n + 1, …"""


class Post(NamedTuple):
    """A message as a server received it: its identity for clients, and the comments in it."""

    identity: str
    numbers: tuple[int, ...]


def numbers_in(text: str) -> tuple[int, ...]:
    """The numbers of the comments in a text, as ``tests/faults/stage.py`` writes them."""
    return tuple(int(number) for number in re.findall(r"This is no (\d+)", text))


@dataclass
class Ledger:
    """What Relay answered."""

    acknowledged: list[int] = field(default_factory=list)
    """Answered 204; in order for each sender."""
    refused: list[int] = field(default_factory=list)
    """Answered otherwise: need not arrive."""
    unanswered: list[int] = field(default_factory=list)
    """The connection broke: may arrive, at most once."""


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
        text = (
            f"{self.queue:<22} {self.acknowledged:6} acknowledged = {self.delivered:6} delivered "
            f"+ {self.dead:3} dead; {self.doubled} doubled of {self.allowed} allowed"
        )
        return "\n    ".join([text, *self.faults])


def settle(
    queue: str,
    ledger: Ledger,
    posts: Sequence[Post],
    *,
    dead: Mapping[int, str] | None = None,
    doubles: int = 0,
    resent: Collection[int] = (),
) -> Line:
    """The account of one queue. Clients show only one of several posts with the same identity.

    ``dead``: reasons by number. ``doubles``: how many posts may repeat comments of an earlier one.
    ``resent``: numbers that were resent, out of order.
    """
    dead = dead or {}
    seen_in_order: dict[int, None] = {}
    repeated: list[Post] = []
    for post in {post.identity: post for post in posts}.values():  # in the order of the first
        if seen_in_order.keys() & post.numbers:
            repeated.append(post)
        seen_in_order |= dict.fromkeys(post.numbers)
    seen, due = set(seen_in_order), set(ledger.acknowledged)
    in_order = [number for number in seen_in_order if number in due - set(resent)]
    possible = due | set(ledger.unanswered) | set(ledger.refused)
    faults = [
        *_fault("acknowledged, but neither delivered nor dead", due - seen - dead.keys()),
        *_fault("delivered, but dead as well", seen & dead.keys()),
        *_fault("dead without a reason", {number for number, reason in dead.items() if not reason}),
        *_fault("delivered, but never sent by Penpot", seen - possible),
        *_fault("out of order", _misordered(in_order)),
    ]
    if len(repeated) > doubles:
        faults.append(f"{len(repeated)} posts repeat earlier ones: {repeated[:10]}")
    delivered, lost = len(due & seen), len(due & dead.keys())
    return Line(queue, len(due), delivered, lost, len(repeated), doubles, faults)


def _fault(what: str, numbers: Collection[int]) -> list[str]:
    if not numbers:
        return []
    shown = ", ".join(map(str, sorted(numbers)[:20]))
    return [f"{len(numbers)} {what}: {shown}{', …' if len(numbers) > 20 else ''}"]


def _misordered(numbers: Sequence[int]) -> list[int]:
    """The numbers that come after a later one of the same sender."""
    of_sender: dict[int, list[int]] = {}
    for number in numbers:
        of_sender.setdefault(number // SENDER, []).append(number)
    return [
        later for sent in of_sender.values() for earlier, later in pairwise(sent) if later < earlier
    ]
