"""What the queues share, and the settings of each."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from relay.channels import fingerprint, fits, open_channel
from relay.channels.base import Channel, KeyValueStore
from relay.config.schedule import Hold
from relay.config.settings import Config
from relay.delivery.alerts import Alerts
from relay.delivery.notices import NoticeRenderer
from relay.delivery.undecided import JudgesDeliveries
from relay.messages.locale import DEFAULT_LOCALE, Locale
from relay.messages.message import Message, Picture
from relay.metrics import Metrics
from relay.store.base import Store


@dataclass(frozen=True, slots=True)
class QueueSettings:
    open_channel: Callable[[], Channel]  # called before the first message
    pace: float | None = None  # messages per minute; None: the server's documented rate
    has_threads: bool = False
    digest_after: int = sys.maxsize  # more waiting messages are sent as a digest
    fits: Callable[[Message], bool] = lambda _: True  # whether the channel sends all of its text
    hold: Hold | None = None  # when messages are held back
    locale: Locale = DEFAULT_LOCALE  # of digests
    fingerprint: str = ""  # of the channel's settings


def queue_settings(config: Config, values: KeyValueStore) -> dict[str, QueueSettings]:
    """Those of the config's queues, by name."""
    return {
        name: QueueSettings(
            partial(open_channel, channel, values),
            channel.pace,
            channel.in_threads,
            channel.digest_threshold,
            partial(fits, channel),
            config.holds.get(name),
            config.locales[name],
            fingerprint(channel),
        )
        for name, channel in config.queues().items()
    }


@dataclass(frozen=True, slots=True)
class QueueContext:
    """What all queues share."""

    store: Store
    metrics: Metrics
    notices: NoticeRenderer
    alerts: Alerts
    retention: float  # seconds after which a waiting message expires
    clock_is_trusted: Callable[[], bool] = lambda: True
    """No message expires while this is false."""
    pictures: Callable[[str], Awaitable[Picture | None]] | None = None
    """Fetches a picture by its id in Penpot; None without a client."""
    judge: JudgesDeliveries | None = None
    """Decides about undecided deliveries."""
    changed: Callable[[Iterable[int]], None] = lambda _: None
    """Called with the ids of events whose deliveries changed state."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held during an attempt that may end the process, as those before it did."""
