"""Queues on a real store, with scripted channels."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import ClassVar

from relay.channels.base import Finding, Receipt, ReplyTo
from relay.delivery.alerts import Alerts
from relay.delivery.notices import NoticeRenderer
from relay.delivery.queue_context import QueueContext, QueueSettings
from relay.delivery.queues import QueueManager
from relay.messages.message import Content, Mention, Message, Picture
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.store.base import Store
from relay.store.records import Delivery, FanOutResult, NewDelivery, NewEvent

Answer = Exception | str


class Scripted:
    """A channel that accepts each message unless its script raises an error."""

    kind: ClassVar[str] = "scripted"
    pace: ClassVar[float | None] = None

    def __init__(self, answers: Iterator[Answer]) -> None:
        self.answers = answers
        self.taken: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.threads: list[ReplyTo | None] = []
        self.sending = 0
        self.open_gate = asyncio.Event()
        self.open_gate.set()

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        self.sending += 1
        assert self.sending == 1, "one send at a time"
        try:
            await self.open_gate.wait()
            answer = next(self.answers, "ok")
            if isinstance(answer, Exception):
                raise answer
            self.taken.append((message.title, key))
            self.bodies.append(message.full.body)
            self.threads.append(thread)
            return Receipt(f"receipt of {message.title}")
        finally:
            self.sending -= 1

    async def check(self) -> list[Finding]:
        raise NotImplementedError

    async def close(self) -> None:
        self.answers = iter(())


def queue_context(
    store: Store,
    metrics: Metrics | None = None,
    *,
    retention: float = 3600.0,
    clock_is_trusted: Callable[[], bool] = lambda: True,
    alert_queues: Mapping[str, Sequence[str]] | None = None,
) -> QueueContext:
    metrics = metrics or Metrics()
    notices = NoticeRenderer(Templates(), metrics)
    alerts = Alerts(alert_queues or {}, store, notices)
    return QueueContext(store, metrics, notices, alerts, retention, clock_is_trusted)


class House:
    """A store, its queues and their channels."""

    def __init__(self, store: Store, retention: float = 3600.0, *, trusted: bool = True) -> None:
        self.store = store
        self.channels: dict[str, Scripted] = {}
        self.scripts: dict[str, list[Answer]] = {}
        self.queues = QueueManager(
            {
                "a": QueueSettings(partial(self.open, "a"), has_threads=True),
                "b": QueueSettings(partial(self.open, "b")),
            },
            queue_context(store, retention=retention, clock_is_trusted=lambda: trusted),
        )

    def open(self, name: str) -> Scripted:
        self.channels[name] = Scripted(iter(self.scripts.get(name, [])))
        return self.channels[name]

    async def put(
        self,
        queue: str,
        *titles: str,
        thread: str = "",
        activity: bool = False,
        picture: str = "",
        to: Mention | None = None,
        body: str = "",
    ) -> None:
        for title in titles:
            digest = f"{queue} {title} {time.time()}".encode()
            await self.store.accept(
                NewEvent("acme", "application/json", b"{}", digest, "x", received_at=time.time())
            )
            (stored,) = await self.store.stored_events(1)
            message = Message(
                title, full=Content(body), thread=thread, picture=picture, to=to, activity=activity
            )
            delivery = NewDelivery(queue, f"key of {title}", message.dumps())
            await self.store.save_fan_out(
                [FanOutResult(stored.id, "acme", "fanned-out", deliveries=[delivery])]
            )
        self.queues.wake([queue])

    def titles(self, queue: str) -> list[str]:
        return [title for title, _ in self.channels[queue].taken] if queue in self.channels else []

    async def deliveries(self) -> list[Delivery]:
        entries = await self.store.log(team=None, state=None, limit=1000)
        return [delivery for entry in reversed(entries) for delivery in entry.deliveries]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    async def settled(self) -> None:
        async with asyncio.timeout(20):
            while await self.store.waiting_queues():  # noqa: ASYNC110
                await asyncio.sleep(0.002)
