"""Many messages for the queues of one team, one of which gets the alerts."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from relay.channels.base import DeliveryError, Finding, Receipt, ReplyTo
from relay.channels.slack import blocks as slack_blocks
from relay.delivery import digest
from relay.delivery.queue_context import QueueSettings
from relay.delivery.queues import QueueManager
from relay.delivery.renderer import MessageOptions, render
from relay.messages.document import parse, to_text
from relay.messages.escape import escape
from relay.messages.filters import quote
from relay.messages.message import Content, Message, Picture
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.events import Comment, Event, File, Person, Subject
from relay.penpot.events import Thread as Discussion
from relay.store.records import FanOutResult, NewDelivery, NewEvent
from relay.store.sqlite import SqliteStore
from tests.delivery.scripted import queue_context
from tests.servers.slack_rules import block_faults, rich_inlines, too_long


@dataclass
class Sink:
    """A channel that accepts messages once it is open, unless its script refuses them."""

    kind: ClassVar[str] = "sink"
    pace: ClassVar[float | None] = None
    taken: list[tuple[str, Message]] = field(default_factory=list)
    refusals: list[DeliveryError | None] = field(default_factory=list)
    free: int = 0
    """How many it accepts before it is open."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    attempted: list[str] = field(default_factory=list)

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        self.attempted.append(key)
        if len(self.attempted) > self.free:
            await self.open.wait()
        if self.refusals and (refusal := self.refusals.pop(0)) is not None:
            raise refusal
        self.taken.append((key, message))
        return Receipt(key)

    async def check(self) -> list[Finding]:
        return []

    async def close(self) -> None:
        self.open.set()


class House:
    """A store with the queues of one team, one of which gets the alerts."""

    alert_queues = ("acme/ops", "acme/next", "acme/a")

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.metrics = Metrics()
        self.sinks = {"acme/a": Sink(), "acme/ops": Sink(), "acme/next": Sink()}
        self.sinks["acme/ops"].open.set()
        self.sinks["acme/next"].open.set()
        self.start()

    def start(self) -> None:
        self.queues = QueueManager(
            {
                "acme/a": QueueSettings(
                    lambda: self.sinks["acme/a"],
                    has_threads=True,
                    digest_after=20,
                    fits=slack_blocks.fits,
                ),
                **{
                    name: QueueSettings(partial(self.sinks.__getitem__, name))
                    for name in self.sinks.keys() - {"acme/a"}
                },
            },
            queue_context(self.store, self.metrics, alert_queues={"acme": self.alert_queues}),
        )

    @property
    def sink(self) -> Sink:
        return self.sinks["acme/a"]

    async def put(self, messages: Iterable[Message], queue: str = "acme/a") -> None:
        for number, message in enumerate(messages):
            fingerprint = f"{time.time()}{number}".encode()
            await self.store.accept(
                NewEvent("acme", "c", b"{}", fingerprint, "x", received_at=time.time())
            )
            (stored,) = await self.store.stored_events(1)
            delivery = NewDelivery(queue, f"key {number}", message.dumps())
            plan = FanOutResult(stored.id, "acme", "fanned-out", deliveries=[delivery])
            await self.store.save_fan_out([plan])

    async def settled(self) -> None:
        self.queues.wake(self.sinks)
        async with asyncio.timeout(10):
            while await self.store.waiting_queues():
                self.queues.wake(await self.store.waiting_queues())
                await asyncio.sleep(0.002)

    async def alerts(self, number: int, queue: str = "acme/ops") -> list[str]:
        """All alerts in a queue, once there are ``number``."""
        async with asyncio.timeout(20):
            while len(self.sinks[queue].taken) < number:
                self.queues.wake(self.sinks)
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.05)  # and no more
        return [message.content.body.replace("\\", "") for _, message in self.sinks[queue].taken]


def comment(number: int, *, files: int = 3, text: str = "", **more: str) -> Message:
    person = ("Ada", "Bob *B*")[number % 2]
    name = f"File {number % files} <x>"
    link = f"[{escape(name)}](<https://design.example.com/#/workspace?team-id=1&file-id={number}>)"
    said = quote(text or f"comment number {number:03}. with some words & <!channel>")
    body = f"**{escape(person)}** commented on {link}\n\n{said}"
    return Message(
        f"T{number}",
        full=Content(body),
        team="acme",
        file=name,
        file_id=f"f{number % files}",
        actor=person,
        **more,
    )


def words(message: Message) -> str:
    """The text as Slack shows it."""
    rendered = slack_blocks.render(message)
    assert block_faults(rendered["blocks"]) == []
    assert not too_long(rendered["blocks"])
    return "".join(part.get("text", "") for part in rich_inlines(rendered["blocks"]))


TEMPLATES = Templates()
TEAM = Subject("t", "Acme", "https://p.example/t")
ADA, GRACE = Person("a", "Ada Lovelace"), Person("g", "Grace *H*")
LANDING = File("l", "Landing page", "https://p.example/l")
CHECKOUT = File("c", "Checkout [v2]", "https://p.example/c")


IN_DIGESTS = MessageOptions(in_digests=True)


def said(who: Person, file: File, number: int, text: str, *, replies: bool = True) -> Message:
    """The built-in template's message for a comment in the thread of that number."""
    url = f"{file.url}#{number}"
    event = Event(
        "create-comment" if replies else "create-comment-thread",
        "comments",
        url=url,
        actor=who,
        team=TEAM,
        file=file,
        page=Subject("p", "Home"),
        thread=Discussion(f"t{number}", number, url, "Too dark?" if replies else ""),
        comment=Comment("", text, author=who),
    )
    return rendered(event)


def happened(name: str, **fields: Any) -> Message:
    """The built-in template's message for an event outside of threads, by Ada."""
    return rendered(Event(name, actor=ADA, team=TEAM, **fields))


def rendered(event: Event) -> Message:
    result = render(TEMPLATES, event, "acme", "slack", IN_DIGESTS)
    assert result.problems == ()
    return result.message


def combine(messages: Sequence[Message]) -> Message:
    result = digest.combine(TEMPLATES, messages)
    assert result.problems == ()
    return result.message


def read(message: Message) -> list[str]:
    """The visible paragraphs of a digest."""
    return to_text(parse(message.content.body), links=False).split("\n\n")
