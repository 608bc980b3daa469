"""What every channel is: a Message in, a Receipt or a Failure out."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from relay.messages.message import Message
from relay.picture import Picture


def _storable(text: str) -> str:
    """A server's text as a store can keep it: JSON may hold half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server called the message that it took."""

    id: str
    """Slack's ``ts``, Matrix's ``event_id``, a mail's ``Message-ID``; empty where a
    server tells none (Slack's incoming webhooks)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _storable(self.id))


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where a Penpot comment thread stands in a channel: receipts of its messages there."""

    root: str
    """That of its first message."""
    last: str
    """That of the message before this one."""
    title: str
    """The first message's title: the subject of its mails."""


class KeyValueStore(Protocol):
    """What a channel remembers across restarts: such as whom an address belongs to."""

    async def get(self, key: str, age: float) -> str | None:
        """The value kept under ``key``, unless it is older than ``age`` seconds; None without."""
        ...

    async def keep(self, key: str, value: str) -> None:
        """Keep a value under ``key``."""
        ...


class MemoryKeyValueStore:
    """Notes that last as long as the channel: for a channel that is opened for a moment."""

    def __init__(self) -> None:
        self._notes: dict[str, str] = {}

    async def get(self, key: str, age: float) -> str | None:
        """See ``KeyValueStore``."""
        return self._notes.get(key)

    async def keep(self, key: str, value: str) -> None:
        """See ``KeyValueStore``."""
        self._notes[key] = value


Verdict: TypeAlias = Literal["retry", "broken", "dead", "rootless", "gone", "fixed"]


class Failure(Exception):
    """A send that did not succeed.

    ``verdict`` says what to do with the message. ``retry``: keep it and try again, the whole
    queue waits. ``broken``: the same, and no message can go out before a person mends something (a
    revoked token, a bot that was removed from the room), so one has to be told. ``dead``: this very
    message can never be delivered, set it aside and go on. ``rootless``: the thread that it should
    stand in is gone, let it begin a new one. Of a message that was to be changed: ``gone``, it is
    not there any more, nothing is left to do; ``fixed``, it can't be changed, tell it otherwise.
    """

    def __init__(
        self,
        verdict: Verdict,
        reason: str,
        detail: str = "",
        after: float | None = None,
    ) -> None:
        """``reason`` is one short word or code, fit for a metric's label (``ratelimited``,
        ``M_FORBIDDEN``, ``550``, ``connect``); ``detail`` is the server's words for a person,
        never with a secret in it; ``after`` is the time in seconds that the server asked for.
        """
        reason, detail = _storable(reason), _storable(detail)
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.verdict = verdict
        self.reason = reason
        self.detail = detail
        self.after = after


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``relay doctor``."""

    ok: bool
    text: str
    """What was found, in words; where it is not ok also what to do about it."""


@runtime_checkable
class EditableChannel(Protocol):
    """A channel whose messages can be changed once they are sent."""

    pings_in_edits: ClassVar[bool]
    """Whether who is mentioned in a changed message for the first time is told of it."""

    async def update(
        self, receipt: str, message: Message, key: str, picture: Picture | None = None
    ) -> None:
        """Show ``message`` in the place of the one that the server called ``receipt``. Pings
        nobody but ``message.change.news``, and these as far as ``pings_in_edits``.

        ``key`` as for ``Channel.send``; doing it twice is as doing it once. Raises ``Failure``, and
        nothing else.
        """
        ...

    async def remove(self, receipt: str, message: Message, key: str) -> None:
        """Take the message away. Where it can't be, because it begins a thread or would leave a
        hole, ``message`` stands in its place. Else as ``update``."""
        ...


class Channel(Protocol):
    """A place that messages go to. One instance serves one queue, one send at a time."""

    kind: ClassVar[str]
    """The channel's ``type`` in the config."""
    pace: ClassVar[float | None]
    """Messages a minute that the server documents as its limit; None without one."""

    async def send(
        self,
        message: Message,
        key: str,
        thread: ReplyTo | None = None,
        picture: Picture | None = None,
    ) -> Receipt:
        """Deliver ``message``, as a reply in ``thread`` where one is given, with ``picture`` where
        there is one. A picture or a ping that fails does not cost the message.

        ``key`` names the delivery and stays the same when it is tried again, also after a
        crash: Matrix's transaction id and a mail's Message-ID are made from it.
        Raises ``Failure``, and nothing else, when the message was not taken.
        """
        ...

    async def check(self) -> list[Finding]:
        """Ask the server whether credentials, room and rights are good, without posting."""
        ...

    async def close(self) -> None:
        """Give connections back. The channel is not used afterwards."""
        ...
