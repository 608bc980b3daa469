"""Message: the rendered content that a channel sends."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from relay.messages.escape import TIME_SCHEME
from relay.messages.locale import ENGLISH, Locale, using
from relay.messages.times import rewritten


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
class Author:
    """A comment's author as Penpot's list of the team's members has them, for a channel that shows
    them as the sender of the comment's message."""

    name: str
    email: str = ""  # the address in Penpot; empty if unknown
    full: Content | None = None
    """The message without its author's name; None where the same as ``Message.full``."""
    reply: Content | None = None  # as ``Message.reply``, without the name


@dataclass(frozen=True, slots=True)
class Change:
    """Marks a message as a new version of one that was sent before."""

    comment: str = ""  # id of the changed message's comment; empty for the thread's first message
    removes: bool = False  # the comment was deleted; the message is a placeholder
    whole_thread: bool = False  # applies to every message of the thread
    new_mentions: tuple[str, ...] = ()  # profile ids not mentioned before; only these are pinged
    fallback: "Message | None" = None  # what to send if the earlier message can't be edited
    only_held: bool = False  # changes messages that are held, and edits none that were sent
    direct: "tuple[Message, ...]" = ()
    """The latest text for held direct messages: for who is mentioned, and for others."""


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message, stored with its delivery."""

    title: str  # one line of plain text: what happened
    full: Content = Content()
    reply: Content | None = None
    """Under the first message of its thread in a channel, which shows the file, the page and the
    first comment; None where the same as ``full``."""
    is_reply: bool = False  # whether the channel shows ``reply``
    notice: str = ""
    """One line of plain text with the words themselves: what a phone's notification, a screen
    reader and the list of mails show. By default the title."""
    subject: str = ""
    """One line of plain text: the subject of the mail that starts the message's thread. By default
    the title."""
    url: str = ""  # the message's subject in Penpot; empty if unknown
    opens: str = ""
    """What ``url`` leads to: ``comment``, ``thread``, ``file``, ``project``, ``library``, ``fonts``
    or ``team``; empty if it leads to Penpot itself, or nowhere."""
    event: str = ""  # Penpot's name of the event, such as ``create-comment``
    team: str = ""  # the team's key in the config
    at: str = ""  # the event's time, ISO 8601 in UTC; empty if unknown
    thread: str = ""  # id of the Penpot comment thread; empty for other events
    comment: str | None = None
    """Id of the comment of which it shows the words, empty for the first one of its thread; None
    where unknown, and for other messages."""
    mentions: tuple[Mention, ...] = ()
    """The people to ping: those whom the event mentions, without its author. In the body their
    names are links to ``penpot-profile:<id>``."""
    to: Mention | None = None  # recipient of a direct message; None: the channel's destination
    mentioned: bool = False  # of a direct message: whether the event mentions its recipient
    picture: str = ""  # id of the picture in Penpot to attach; may be empty
    team_name: str = ""  # the Penpot team's; empty if unknown, as the names that follow
    project: str = ""
    file: str = ""
    page: str = ""
    number: str = ""  # of the thread, such as ``#15``
    file_id: str = ""  # the file's id in Penpot, by which digests are grouped
    file_url: str = ""
    actor: str = ""  # name; empty if unknown
    entry: str = ""  # Markdown: the message in a digest; empty if no digest can contain it
    change: Change | None = None  # None for a message that replaces no other
    activity: bool = False
    """Whether it reports work, such as in files: no comment's words, and nothing to act on."""
    line: str = ""
    """Id of the activity line that it shows; empty for other messages. With ``change`` the message
    is the line's latest text, and also what to send where no message of the line can be edited."""
    author: Author | None = None  # None where the channel itself is shown as the sender
    language: str = ENGLISH  # of its words, and of those that a channel adds
    zone: str = ""  # of its times; see ``Locale``
    payload: Mapping[str, Any] | None = None
    """The JSON document for a channel that sends these; None for other channels."""
    event_number: int = 0  # in the store; set by the queue, and 0 for a test message

    def __post_init__(self) -> None:
        for name in ("notice", "subject"):
            if not getattr(self, name):
                object.__setattr__(self, name, self.title)

    @property
    def locale(self) -> Locale:
        return Locale(self.language, self.zone)

    @property
    def place(self) -> tuple[str, ...]:
        """The known names from the project to the thread's number."""
        return tuple(filter(None, (self.project, self.file, self.page, self.number)))

    @property
    def content(self) -> Content:
        """The content that fits the message's place."""
        return self.reply if self.is_reply and self.reply is not None else self.full

    def in_thread(self) -> "Message":
        """The message as a reply to the first one of its thread, which has the picture."""
        return replace(self, is_reply=True, picture="")

    def by_author(self) -> "Message":
        """The message as its author's: without their name, which the channel shows as sender."""
        if self.author is None or self.author.full is None:
            return self
        return replace(self, full=self.author.full, reply=self.author.reply)

    def with_current_times(self) -> "Message":
        """With the words for its times that fit now: it may have waited."""
        if not any(TIME_SCHEME in text for text in self._texts()):
            return self

        def current(content: Content | None) -> Content | None:
            if content is None:
                return None
            return replace(content, body=rewritten(content.body), footer=rewritten(content.footer))

        with using(self.locale):
            author, change = self.author, self.change
            if author is not None:
                author = replace(author, full=current(author.full), reply=current(author.reply))
            if change is not None and change.fallback is not None:
                change = replace(change, fallback=change.fallback.with_current_times())
            return replace(
                self,
                full=current(self.full) or self.full,
                reply=current(self.reply),
                entry=rewritten(self.entry),
                author=author,
                change=change,
            )

    def _texts(self) -> Iterator[str]:
        """All Markdown that may have times."""
        contents = [self.full, self.reply]
        if self.author:
            contents += [self.author.full, self.author.reply]
        for content in filter(None, contents):
            yield content.body
            yield content.footer
        yield self.entry
        if self.change and self.change.fallback:
            yield from self.change.fallback._texts()

    def dumps(self) -> str:
        """JSON for the store."""
        return _JSON.dump_json(self, exclude_defaults=True).decode()

    @classmethod
    def loads(cls, text: str) -> "Message":
        """Inverse of ``dumps``; ignores fields that a newer Relay wrote."""
        return _JSON.validate_json(text)


_JSON = TypeAdapter(Message)
