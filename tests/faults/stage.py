"""A run: Penpot's load, the service, and the account at the end."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from relay.messages.message import Message
from relay.store import store_at
from relay.store.records import LogEntry, StoreUnavailable
from tests.faults.account import SENDER, Ledger, Line, Post, numbers_in, settle
from tests.faults.places import Place
from tests.service import JSON, Service

BODY = json.loads(
    (Path(__file__).parents[1] / "penpot/payloads/create-comment/plain.json").read_bytes()
)
IDS = "5d0e-81a4-8006-9b0000000001"
"""The end of the ids of all comments and threads."""
REPEATING = frozenset({"slack", "mattermost", "rocketchat", "discord", "teams", "apprise"})
"""The kinds whose servers have no idempotency key."""
PENPOT_TIMEOUT = 4.0
"""Seconds that Penpot waits for a response (FACTS.md)."""


def comment(number: int, words: str = "") -> bytes:
    """A webhook body: a comment with its number in the text. Each sender writes in one thread."""
    text = f"This is no {number}. {words}"
    ids = {"id": f"{number:08}-{IDS}", "threadId": f"{number // SENDER:08}-{IDS}"}
    return json.dumps(BODY | {"props": BODY["props"] | ids | {"content": text}}).encode()


class Load:
    """Senders that post one comment after the other as Penpot does, each once, whatever the
    response. A context manager that stops them at its end."""

    def __init__(
        self,
        hooks: Sequence[str],
        ledger: Ledger,
        *,
        senders: int = 1,
        first: int = 0,
        rate: float = 50.0,
        most: int = SENDER,
        words: str = "",
    ) -> None:
        """``hooks`` are used in turn, as by a load balancer. ``first`` is the number of the first
        sender. Each sends up to ``most`` comments at ``rate`` per second, with ``words``."""
        self._hooks = hooks
        self._ledger = ledger
        self._pause = 1 / rate
        self._most = most
        self._words = words
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(sender,))
            for sender in range(first, first + senders)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until all comments are sent."""
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        with httpx.Client(headers=JSON, timeout=PENPOT_TIMEOUT, verify=False) as client:
            for number in range(SENDER * sender, SENDER * sender + self._most):
                if self._stop.is_set():
                    return
                hook = self._hooks[number % len(self._hooks)]
                try:
                    status = client.post(hook, content=comment(number, self._words)).status_code
                except httpx.HTTPError:
                    self._ledger.unanswered.append(number)
                    time.sleep(0.05)
                    continue
                answered = self._ledger.acknowledged if status == 204 else self._ledger.refused
                answered.append(number)
                time.sleep(self._pause)


def service(folder: Path, places: Sequence[Place], **tables: str) -> Service:
    """``relay serve`` with these channels, not started yet."""
    folder.mkdir(exist_ok=True)
    return Service(folder, "".join(place.toml() for place in places), **tables)


def entries(service: Service) -> list[LogEntry]:
    """All log entries in the service's store, read while it runs."""

    async def read() -> list[LogEntry]:
        store = store_at(service.store)
        await store.open(service=False)
        try:
            return await store.log(team=None, state=None, limit=1_000_000)
        finally:
            await store.close()

    return asyncio.run(read())


def waiting(service: Service) -> dict[str, int]:
    """The number of waiting messages by queue; with a key "" if events wait."""

    async def read() -> dict[str, int]:
        store = store_at(service.store)
        await store.open(service=False)
        try:
            stored = {"": 1} if await store.stored_events(1) else {}
            return stored | await store.waiting_queues()
        finally:
            await store.close()

    return asyncio.run(read())


def drained(service: Service, *, within: float, but: Collection[str] = ()) -> None:
    """Wait until all queues other than ``but`` are empty."""

    def empty() -> bool:
        try:
            return not waiting(service).keys() - {f"acme/{name}" for name in but}
        except StoreUnavailable:
            return False

    end = time.monotonic() + within
    while not empty():
        assert time.monotonic() < end, f"after {within:.0f} s there wait {waiting(service)}"
        time.sleep(0.2)


def dead(service: Service) -> dict[str, dict[int, str]]:
    """By queue, the reasons of dead comments by number."""
    found: dict[str, dict[int, str]] = {}
    for entry in entries(service):
        for delivery in entry.deliveries:
            if delivery.state == "dead":
                body = Message.loads(delivery.message).content.body
                for number in numbers_in(re.sub(r"\\", "", body)):
                    found.setdefault(delivery.queue.partition("/")[2], {})[number] = delivery.error
    return found


def account(
    service: Service,
    ledger: Ledger,
    places: Sequence[Place],
    *,
    doubles: Mapping[str, int] | int = 0,
    resent: Collection[int] = (),
) -> list[Line]:
    """Every queue's account; fails if one does not balance. ``doubles``: how many posts may be
    repeated, by queue, or in each queue whose server recognizes no repeated post."""
    lost = dead(service)
    lines = []
    for place in places:
        allowed = doubles.get(place.name, 0) if isinstance(doubles, Mapping) else doubles
        if place.kind not in REPEATING:
            allowed = 0
        posts: list[Post] = [post for post in place.posts() if post.numbers]
        lines.append(
            settle(
                place.name,
                ledger,
                posts,
                dead=lost.get(place.name),
                doubles=allowed,
                resent=resent,
            )
        )
    text = "\n".join(map(str, lines))
    assert not any(line.faults for line in lines), f"\n{text}"
    return lines
