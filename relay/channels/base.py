"""The channel protocol: it takes a Message, returns a Receipt, and raises DeliveryError only."""

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from relay.errors import RelayError
from relay.messages.message import Message, Picture


def _storable(text: str) -> str:
    """Without lone surrogates, which JSON may hold but a database does not take."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server's id of a sent message."""

    id: str
    """Slack's ``ts``, Matrix's ``event_id``, a mail's ``Message-ID``; empty where the server
    returns none (Slack's incoming webhooks)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _storable(self.id))


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """The position of a Penpot comment thread in a channel, as receipts of its messages."""

    root: str
    """Receipt of the thread's first message."""
    last: str
    """Receipt of the previous message."""
    title: str
    """The first message's title: the subject of the thread's mails."""


class KeyValueStore(Protocol):
    """Values that a channel keeps across restarts, such as the user id of a mail address."""

    async def get(self, key: str, age: float) -> str | None:
        """The value, or None where there is none or it is older than ``age`` seconds."""
        ...

    async def put(self, key: str, value: str) -> None: ...


class MemoryKeyValueStore:
    """Values that live as long as the channel, for a channel that is opened once and closed."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    async def get(self, key: str, age: float) -> str | None:
        return self._values.get(key)

    async def put(self, key: str, value: str) -> None:
        self._values[key] = value


class DeliveryError(RelayError):
    """A message that a channel could not deliver. The kind says what the queue does next.

    ``reason`` is one short word or code, fit for a metric's label (``ratelimited``,
    ``M_FORBIDDEN``, ``550``, ``connect``); ``detail`` is the server's own text for a person and
    never holds a secret; ``retry_after`` is the delay in seconds that the server asked for.
    """

    def __init__(self, reason: str, detail: str = "", retry_after: float | None = None) -> None:
        reason, detail = _storable(reason), _storable(detail)
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after


class RetryLater(DeliveryError):
    """The queue keeps the message and retries it with backoff; later messages wait behind it."""


class Misconfigured(DeliveryError):
    """No message can be delivered until a person fixes something (a revoked token, a bot that was
    removed from the room): the queue retries as for ``RetryLater`` and alerts at once."""


class Permanent(DeliveryError):
    """This message can never be delivered: the queue makes it a dead letter and goes on."""


class ThreadNotFound(DeliveryError):
    """The thread to reply to no longer exists: the queue forgets it and sends the message as the
    first of a new thread."""


class MessageNotFound(DeliveryError):
    """The message to edit no longer exists: the queue counts the edit as done."""


class NotEditable(DeliveryError):
    """The message can't be edited: the queue sends the change as a new message."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``relay doctor``."""

    ok: bool
    text: str
    """The result, and where it is not ok, how to fix it."""


@runtime_checkable
class EditableChannel(Protocol):
    """A channel that can edit messages after they are sent."""

    edits_notify: ClassVar[bool]
    """Whether an edit notifies the people whom it mentions for the first time."""

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        """Replace the message with this receipt by ``message``. Notifies only those in
        ``message.change.news``, and these only where ``edits_notify`` is true.

        ``key`` is as for ``Channel.send``; the call is idempotent. Raises ``DeliveryError``, and
        nothing else.
        """
        ...

    async def remove(self, receipt: str, message: Message, key: str) -> None:
        """Delete the message, or replace it by ``message`` where it can't be deleted, because it
        starts a thread or would leave a gap. Otherwise as ``update``."""
        ...


class Channel(Protocol):
    """A place that messages are sent to. An instance serves one queue, one send at a time."""

    kind: ClassVar[str]
    """The channel's ``type`` in the config."""
    pace: ClassVar[float | None]
    """The server's documented limit in messages per minute; None where it documents none."""

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Deliver the message, as a reply in ``thread`` and with ``picture`` where given. The
        message is sent even where the picture or a mention fails.

        ``key`` identifies the delivery and stays the same on each retry, also after a crash:
        Matrix's transaction id and a mail's Message-ID are derived from it.
        Raises ``DeliveryError``, and nothing else, when the server did not accept the message.
        """
        ...

    async def check(self) -> list[Finding]:
        """Ask the server whether credentials, room and permissions are good, without posting."""
        ...

    async def close(self) -> None:
        """Close all connections. The channel is not used afterwards."""
        ...
