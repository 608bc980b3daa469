"""The channel protocol: it takes a Message, returns a Receipt, and raises DeliveryError only.
``ChannelType`` is what a kind of channel exports, with a settings class on ``ChannelSettings``."""

import hashlib
import sys
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from pydantic import AfterValidator, Field

from relay.channels.preview import MessagePreview
from relay.config.schedule import QuietWindows, ScheduledTimes, TimeZone
from relay.config.types import AsTuple, CaFile, Name, SettingsModel, Texts
from relay.errors import RelayError
from relay.messages.environments import OverrideFormat
from relay.messages.locale import LANGUAGES
from relay.messages.message import Mention, Message, Picture


def _storable(text: str) -> str:
    """Without lone surrogates, which JSON may hold but a database does not take."""
    return text.encode("utf-8", "replace").decode()


def _language(value: str) -> str:
    if value in LANGUAGES:
        return value
    code = value.lower()[:2]  # of "de-AT" and of "Deutsch"
    hint = f"; did you mean {code}?" if code in LANGUAGES else ""
    raise ValueError(f"must be the code of one of Relay's languages: {', '.join(LANGUAGES)}{hint}")


Language: TypeAlias = Annotated[str, AfterValidator(_language)]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server's id of a sent message."""

    id: str
    """Slack's ``ts``, Matrix's ``event_id`` (with that of the image, if any, after a space), a
    mail's ``Message-ID``; empty if it has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", _storable(self.id))


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """The position of a Penpot comment thread in a channel, as receipts of its messages."""

    root: str  # receipt of the thread's first message
    last: str  # receipt of the previous message
    subject: str  # of the thread's first mail with a comment's words; empty before that


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


MAX_REQUESTED_DELAY = 24 * 3600.0  # seconds; a server that asks for more is called then


def short_hash(text: str) -> str:
    """For a key, so that the store does not hold the text itself."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class DeliveryError(RelayError):
    """A message that a channel could not deliver. The kind says what the queue does next.

    ``reason`` is one short word or code, fit for a metric's label (``ratelimited``,
    ``M_FORBIDDEN``, ``550``, ``connect``); ``detail`` is the server's own text for a person and
    never holds a secret; ``retry_after`` is the delay in seconds that the server asked for. A
    message that is retried becomes a dead letter ``give_up_after`` seconds after its first such
    error; None: never. ``answered`` is false where no answer came from the server.
    """

    def __init__(
        self,
        reason: str,
        detail: str = "",
        retry_after: float | None = None,
        give_up_after: float | None = None,
        *,
        answered: bool = True,
    ) -> None:
        reason, detail = _storable(reason), _storable(detail)
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.give_up_after = give_up_after
        self.answered = answered


class RetryLater(DeliveryError):
    """The queue keeps the message and retries it with backoff; later messages wait behind it."""


class Misconfigured(DeliveryError):
    """No message can be delivered until a person fixes something (a revoked token, a bot that was
    removed from the room): the queue retries as for ``RetryLater`` and alerts at once."""


class Gone(Misconfigured):
    """The server wants no further messages: the queue makes no attempt until a person acts."""


class Permanent(DeliveryError):
    """This message can never be delivered: the queue makes it a dead letter and goes on."""


class NoAddress(DeliveryError):
    """The person whom the message is for has no address in this channel: the queue skips it."""


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
    text: str  # the result, and where it is not ok, how to fix it
    is_note: bool = False  # not a problem, but something to know or to do

    @property
    def status(self) -> str:
        return "FAIL" if not self.ok else "note" if self.is_note else "ok"


def passed(text: str) -> Finding:
    return Finding(ok=True, text=text)


def noted(text: str) -> Finding:
    return Finding(ok=True, text=text, is_note=True)


def failed(text: str) -> Finding:
    return Finding(ok=False, text=text)


async def collect(findings: AsyncIterator[Finding], server: str) -> list[Finding]:
    """A ``DeliveryError`` ends the check as its last finding."""
    collected = []
    try:
        async for finding in findings:
            collected.append(finding)
    except DeliveryError as error:
        collected.append(failed(f"{server}: {error.detail} ({error.reason})."))
    return collected


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

    async def remove(
        self, receipt: str, message: Message, key: str, *, is_further: bool = False
    ) -> None:
        """Delete the message, or replace it by ``message`` where it can't be deleted, because it
        starts a thread or would leave a gap. ``is_further``: another message reports the deletion,
        so that no gap is left. Otherwise as ``update``."""
        ...


class Channel(Protocol):
    """A place that messages are sent to. An instance serves one queue, one send at a time."""

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


class ChannelSettings(SettingsModel):
    """The keys and capabilities that all channel types share."""

    type: str
    """Kind of channel."""
    name: Name
    """Unique in the team: letters, digits, . _ -"""
    events: Texts = ()
    """Groups, events, globs."""
    projects: Texts = ()
    """Names, ids, globs."""
    files: Texts = ()
    """The same for files."""
    actors: Texts = ()
    """Who did it: names, email addresses, profile ids, globs."""
    activity: Literal["daily", "each", "none"] = "daily"
    """Edited and renamed files and the like: "daily" (a line a day and file), "each" or "none"."""
    pace: Annotated[float, Field(gt=0)] | None = None
    """Maximum messages per minute."""
    digest_after: Annotated[int, Field(ge=0, le=1000)] = 20
    """With more messages waiting, digests are sent; 0: never."""
    quiet: QuietWindows = ()
    """When messages are held back, to be sent as a digest afterwards."""
    schedule: ScheduledTimes = ()
    """When messages are sent, as a digest; instead of quiet."""
    urgent: Annotated[tuple[Literal["mentions"], ...], AsTuple] = ()
    """What is not held back."""
    language: Language = ""
    """Language of the messages."""
    timezone: TimeZone = ""
    """IANA zone of all times in messages, quiet and schedule."""
    share_emails: bool = False
    """Whether templates get people's email addresses."""
    edits: Literal["", "in-place", "messages", "none"] = ""
    """Edited and deleted comments: "in-place", "messages" or "none"."""
    emoji: bool = True
    """Whether messages that are no comments begin with an emoji."""
    ca_file: CaFile | None = None
    """Certificates of a private authority."""

    @property
    def advice(self) -> str:
        """What ``relay check`` says about these valid settings; empty for nothing."""
        return ""

    @property
    def places(self) -> frozenset[str]:
        """Where the messages go, one text for each place; empty for direct messages."""
        return frozenset()

    @property
    def server(self) -> str:
        """Host and port of the server that gets the messages; empty without one."""
        return ""

    @property
    def server_keys(self) -> str:
        """The keys of that address, for a text."""
        return ""

    # What a type can do follows from its keys: some types do not have all of these.

    @property
    def in_threads(self) -> bool:
        """Whether the messages of a Penpot comment thread form a thread in the channel."""
        return getattr(self, "threads", False) and not self.is_direct

    @property
    def is_direct(self) -> bool:
        """Whether people get messages of their own, instead of a shared place."""
        return bool(getattr(self, "direct", ""))

    def direct_recipients(self, people: Sequence[Mention]) -> tuple[Mention, ...]:
        """Of the mentioned ``people``, those who get a message of their own."""
        return tuple(people) if self.is_direct else ()

    def shared_recipients(self, people: Sequence[Mention]) -> tuple[Mention, ...]:
        """Of ``people``, those to whom the channel's own message is addressed."""
        return ()

    @property
    def writes_to_participants(self) -> bool:
        """Whether a reply is also sent to each participant of its thread."""
        return getattr(self, "direct", "") == "involved"

    @property
    def has_thumbnails(self) -> bool:
        """Whether messages show a thumbnail of the file or board."""
        return bool(getattr(self, "thumbnails", False))

    @property
    def shows_author(self) -> bool:
        """Whether a comment's author is shown as the sender of its message."""
        return bool(getattr(self, "author_as_sender", False))

    @classmethod
    def edits_in_place(cls, keys: Container[str]) -> bool:
        """Whether a channel with these keys may edit messages, if it is not direct."""
        return False

    @property
    def can_edit(self) -> bool:
        return not self.is_direct and self.edits_in_place(self.model_fields_set)

    @property
    def edit_mode(self) -> str:
        """How the channel shows that a comment was edited or deleted. By default it edits the
        comment's message; a channel that can't edit shows nothing, as most edits fix typos, but a
        direct channel sends a message, since an edit may add a mention."""
        default = "messages" if self.is_direct else "none"
        return self.edits or ("in-place" if self.can_edit else default)

    @property
    def holds(self) -> bool:
        """Whether messages are held back at some times."""
        return bool(self.quiet or self.schedule)

    @property
    def sends_lines(self) -> bool:
        """Whether activity is summed up in daily lines."""
        return self.activity == "daily" and not self.is_direct

    @property
    def edits_lines(self) -> bool:
        """Whether a daily line is sent with its first event, and edited with the others; otherwise
        it is sent at the end of the day."""
        return self.sends_lines and self.edit_mode == "in-place"

    @property
    def in_digests(self) -> bool:
        """Whether messages can go into a digest."""
        holds_lines = self.sends_lines and not self.edits_lines
        return self.holds or holds_lines or (not self.is_direct and self.digest_after > 0)

    @property
    def digest_threshold(self) -> int:
        """How many messages may wait before they are sent as a digest. Direct channels send no
        digests: each message has its own recipient."""
        return sys.maxsize if self.is_direct or not self.digest_after else self.digest_after


class ChatSettings(ChannelSettings):
    """The keys of chats with threads, direct messages and edits."""

    threads: bool = True
    """Replies go into the thread of their first comment."""
    direct: Literal["", "mentioned", "involved"] = ""
    """People get the messages instead: "mentioned", or "involved" in the thread."""

    @classmethod
    def edits_in_place(cls, keys: Container[str]) -> bool:
        return True


class ChannelClass(Protocol):
    """A channel's class: what the service needs of it before it opens a channel."""

    pace: float | None

    def __call__(self, settings: Any, kv: KeyValueStore, /) -> Channel: ...


@dataclass(frozen=True, slots=True)
class ChannelVariables:
    """The environment variables of a channel without a config file."""

    keys: Mapping[str, str]  # of each variable, such as ``smtp.host``; empty for a switch
    required: tuple[str, ...]  # what an error text suggests to a config without any channel


@dataclass(frozen=True, slots=True)
class PeopleKey:
    """A key of the entries of ``[people]``: a person's address in the channels of a type."""

    name: str
    check: Callable[[str], str]  # returns the address, or raises ``ValueError`` with the rule


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelType:
    """A kind of channel. Its functions import what they need when they are called: slack-sdk,
    aiohttp, httpx and aiosmtplib load with the first channel that needs them."""

    name: str  # ``type`` in the config
    label: str  # for people
    settings: type[ChannelSettings]
    load: Callable[[], ChannelClass]
    preview: "Callable[[Message, ReplyTo | None, Any], MessagePreview]"
    """The message, the thread that it replies to, and the channel's settings. Made from what
    ``Channel.send`` sends."""
    variables: ChannelVariables
    example: Mapping[str, Any] = field(default_factory=dict)
    """The required keys of a channel, for previews without one."""
    fits: Callable[[Message, Any], bool] = lambda message, settings: True
    """Whether a channel with these settings, or None, sends all of the message's text in one
    message. Slow: not for the event loop."""
    people: PeopleKey | None = None
    override: OverrideFormat | None = None
    starter: str = ""  # initial text of such a template
    editor: str = ""  # how error texts name the channels that can edit; empty: none can
    marks_edits: bool = False  # whether clients mark edited messages
    sends_payloads: bool = False  # whether it sends JSON documents, which programs read
    brief_replies: bool = True  # whether a reply leaves out what its thread's first message says
    secrets: str = ""  # a regular expression for its secrets in values that should hold none
    loggers: tuple[str, ...] = ()  # of libraries that log URLs or secrets
