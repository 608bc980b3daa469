"""Message: the rendered content that a channel sends."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any


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
class Change:
    """Marks a message as a new version of one that was sent before."""

    comment: str = ""  # id of the changed message's comment; empty for the thread's first message
    removes: bool = False  # the comment was deleted; the message is a placeholder
    whole_thread: bool = False  # applies to every message of the thread
    new_mentions: tuple[str, ...] = ()  # profile ids not mentioned before; only these are pinged
    fallback: str = ""  # ``Message.dumps`` of what to send if the earlier message can't be edited


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message, the same for every kind of channel, stored with its delivery."""

    title: str  # one line of plain text: a notification's text, a mail's subject
    body: str  # Markdown; every text from Penpot in it is escaped
    footer: str = ""  # Markdown, shown in small type
    url: str = ""  # the message's subject in Penpot; empty if unknown
    event: str = ""  # Penpot's name of the event, such as ``create-comment``
    team: str = ""  # the team's key in the config
    at: str = ""  # the event's time, ISO 8601 in UTC; empty if unknown
    thread: str = ""  # id of the Penpot comment thread; empty for other events
    override: str = ""
    """The output of a template for one kind of channel, in that channel's own form (JSON or HTML);
    empty without such a template."""
    brief: tuple[str, str] | None = None
    """Body and footer for a reply in a channel's thread, without the file, page and first comment,
    which the thread's first message shows; None if they do not differ."""
    brief_override: str = ""  # replaces ``override`` in a reply; empty if it does not differ
    mentions: tuple[Mention, ...] = ()
    """The people to ping: those whom the event mentions, without its author. In the body their
    names are links to ``penpot-profile:<id>``."""
    to: Mention | None = None  # recipient of a direct message; None: the channel's destination
    picture: str = ""  # id of the picture in Penpot to attach; may be empty
    file: str = ""  # name of the event's file; empty if it has none or the name is unknown
    file_id: str = ""  # the file's id in Penpot, by which digests are grouped
    actor: str = ""  # name; empty if unknown. Digests name it once for consecutive entries
    change: Change | None = None  # None for a message that replaces no other

    def in_thread(self) -> "Message":
        """The message as a reply to the first one of its thread, which has the picture."""
        body, footer = self.brief or (self.body, self.footer)
        return replace(
            self,
            body=body,
            footer=footer,
            brief=None,
            override=self.brief_override or self.override,
            brief_override="",
            picture="",
        )

    def dumps(self) -> str:
        """JSON for the store."""
        return json.dumps(
            {key: value for key, value in asdict(self).items() if value}, ensure_ascii=False
        )

    @classmethod
    def loads(cls, text: str) -> "Message":
        """Inverse of ``dumps``; ignores fields that a newer Relay wrote."""
        values = {"title": "", "body": ""} | _known_fields(cls, json.loads(text))
        if "brief" in values:
            values["brief"] = tuple(values["brief"])
        values["mentions"] = tuple(Mention(**mention) for mention in values.get("mentions", ()))
        if "to" in values:
            values["to"] = Mention(**values["to"])
        if "change" in values:
            change = _known_fields(Change, values["change"])
            change["new_mentions"] = tuple(change.get("new_mentions", ()))
            values["change"] = Change(**change)
        return cls(**values)


def _known_fields(record: type[Message] | type[Change], values: dict[str, Any]) -> dict[str, Any]:
    known = {field.name for field in fields(record)}
    return {key: value for key, value in values.items() if key in known}
