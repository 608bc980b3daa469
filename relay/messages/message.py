"""Message: the rendered content that a channel sends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from os.path import commonprefix

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Mention:
    """A person whom a comment mentions, with their addresses from the config and Penpot."""

    id: str  # the Penpot profile's id
    name: str = ""
    email: str = ""  # the address in Penpot; empty if unknown
    addresses: Mapping[str, str] = field(default_factory=dict)
    """The addresses in the config, by the keys of ``[people]``."""

    def address(self, key: str) -> str:
        """The address in the config; empty if there is none."""
        return self.addresses.get(key, "")


@dataclass(frozen=True, slots=True)
class Picture:
    """The thumbnail of a file or a board."""

    content: bytes
    type: str  # "image/png", "image/jpeg", "image/gif" or "image/webp"
    width: int  # pixels
    height: int  # pixels

    @property
    def extension(self) -> str:
        """Of a file name, such as ``png``."""
        return self.type.removeprefix("image/")


@dataclass(frozen=True, slots=True)
class Content:
    body: str = ""  # Markdown; every text from Penpot in it is escaped
    footer: str = ""  # Markdown, shown in small type
    override: str = ""
    """The output of a template for one kind of channel, in that channel's own form (Block Kit
    JSON for Slack, HTML for Matrix and mail); empty without such a template."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as an entry of a digest: Markdown that has several forms, depending on the entry
    before."""

    starts: tuple[str, ...]
    """The first form; the form after an entry of the same person; for a comment also both forms
    after an entry of the same thread."""
    end: str = ""  # of all forms

    @classmethod
    def of(cls, forms: Sequence[str]) -> "Entry":
        length = len(commonprefix([form[::-1] for form in forms]))  # noqa: RUF071 - of texts
        return cls(
            tuple(form[: len(form) - length] for form in forms),
            forms[0][len(forms[0]) - length :],
        )

    def text(self, *, same_actor: bool = False, same_thread: bool = False) -> str:
        index = same_actor + 2 * same_thread
        return self.starts[index if index < len(self.starts) else 0] + self.end

    @property
    def longest(self) -> str:
        return max(self.starts, key=len) + self.end


@dataclass(frozen=True, slots=True)
class Change:
    """Marks a message as a new version of one that was sent before."""

    comment: str = ""  # id of the changed message's comment; empty for the thread's first message
    removes: bool = False  # the comment was deleted; the message is a placeholder
    whole_thread: bool = False  # applies to every message of the thread
    new_mentions: tuple[str, ...] = ()  # profile ids not mentioned before; only these are pinged
    fallback: "Message | None" = None  # what to send if the earlier message can't be edited


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message, stored with its delivery."""

    title: str  # one line of plain text: a notification's text, a mail's subject
    full: Content = Content()
    reply: Content | None = None
    """Under the first message of its thread in a channel, which shows the file, the page and the
    first comment; None where the same as ``full``."""
    is_reply: bool = False  # whether the channel shows ``reply``
    url: str = ""  # the message's subject in Penpot; empty if unknown
    event: str = ""  # Penpot's name of the event, such as ``create-comment``
    team: str = ""  # the team's key in the config
    at: str = ""  # the event's time, ISO 8601 in UTC; empty if unknown
    thread: str = ""  # id of the Penpot comment thread; empty for other events
    mentions: tuple[Mention, ...] = ()
    """The people to ping: those whom the event mentions, without its author. In the body their
    names are links to ``penpot-profile:<id>``."""
    to: Mention | None = None  # recipient of a direct message; None: the channel's destination
    picture: str = ""  # id of the picture in Penpot to attach; may be empty
    file: str = ""  # name of the event's file; empty if it has none or the name is unknown
    file_id: str = ""  # the file's id in Penpot, by which digests are grouped
    file_url: str = ""
    actor: str = ""  # name; empty if unknown. Digests name it once for consecutive entries
    entry: Entry | None = None  # None for a message that no digest can contain, or without a form
    change: Change | None = None  # None for a message that replaces no other

    @property
    def content(self) -> Content:
        """The content that fits the message's place."""
        return self.reply if self.is_reply and self.reply is not None else self.full

    def in_thread(self) -> "Message":
        """The message as a reply to the first one of its thread, which has the picture."""
        return replace(self, is_reply=True, picture="")

    def dumps(self) -> str:
        """JSON for the store."""
        return _JSON.dump_json(self, exclude_defaults=True).decode()

    @classmethod
    def loads(cls, text: str) -> "Message":
        """Inverse of ``dumps``; ignores fields that a newer Relay wrote."""
        return _JSON.validate_json(text)


_JSON = TypeAdapter(Message)
