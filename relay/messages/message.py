"""Message: what a channel is handed."""

import json
from dataclasses import asdict, dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Mention:
    """Somebody whom a comment mentions, with what the config and Penpot know of them."""

    id: str
    """The Penpot profile's id."""
    name: str = ""
    email: str = ""
    """The address in Penpot; empty where it is not known."""
    slack: str = ""
    """The Slack user's id that the config names."""
    matrix: str = ""
    """The Matrix id that the config names."""
    mail: str = ""
    """Where mail goes to: the address that the config names, else the one in Penpot."""


@dataclass(frozen=True, slots=True)
class Change:
    """That a message is no new one, but the state by now of what stands in the channel."""

    comment: str = ""
    """Id of the comment whose message it is; empty for the first of its thread."""
    removes: bool = False
    """Whether the comment is deleted, and this is what may stand in its place."""
    whole_thread: bool = False
    """Whether that is so for every message of the thread."""
    news: tuple[str, ...] = ()
    """The profiles among the mentioned that were not mentioned before: they alone are pinged."""
    otherwise: str = ""
    """What is told, as ``Message.dumps`` writes it, where that message can't be changed; empty for
    nothing."""


@dataclass(frozen=True, slots=True)
class Message:
    """One rendered message, the same for every kind of channel.

    It is stored with its delivery, so it holds plain values only.
    """

    title: str
    """One line of plain text: the notification, the subject of a mail."""
    body: str
    """Markdown, as the template rendered it; every text from Penpot in it is escaped."""
    footer: str = ""
    """Markdown, shown small; may be empty."""
    url: str = ""
    """The place in Penpot that the message is about; empty where none is known."""
    event: str = ""
    """Penpot's name of the event, such as ``create-comment``."""
    team: str = ""
    """The team's key in the config."""
    at: str = ""
    """When it happened in Penpot, ISO 8601 in UTC; empty where the event does not tell."""
    thread: str = ""
    """Id of the Penpot comment thread that it belongs to; empty for everything else."""
    override: str = ""
    """What a template for one kind of channel rendered, in that channel's own form
    (Block Kit JSON for Slack, HTML for Matrix and mail); empty without such a template."""
    brief: tuple[str, str] | None = None
    """Body and footer for where it stands under the first message of its thread, so that file, page
    and first comment need not be told again; None where they are the same."""
    brief_override: str = ""
    """What takes the place of ``override`` there; empty where it is the same."""
    mentions: tuple[Mention, ...] = ()
    """Who is to be pinged: those whom the event names as mentioned, without its author. In the
    body their names are links to ``penpot-profile:<id>``."""
    to: Mention | None = None
    """Whom it goes to directly; None for the channel's own place."""
    picture: str = ""
    """Id of the picture in Penpot that goes with it; empty for none."""
    file: str = ""
    """Name of the file that it is about; empty where it is about none, or that is not known."""
    file_id: str = ""
    """The file's id in Penpot; digests are grouped by it."""
    actor: str = ""
    """Name of who did it; empty where it is not known. Digests name a person once in a row."""
    change: Change | None = None
    """What it changes; None for a message of its own."""

    def in_thread(self) -> "Message":
        """The message as it stands under the first one of its thread, which has the picture."""
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
        """The message as JSON text, for the store."""
        return json.dumps(
            {key: value for key, value in asdict(self).items() if value}, ensure_ascii=False
        )

    @classmethod
    def loads(cls, text: str) -> "Message":
        """The message that ``dumps`` wrote, here or in a Relay that knows more of messages."""
        known = {field.name for field in fields(cls)}
        found = {key: value for key, value in json.loads(text).items() if key in known}
        found = {"title": "", "body": ""} | found
        if "brief" in found:
            found["brief"] = tuple(found["brief"])
        found["mentions"] = tuple(Mention(**one) for one in found.get("mentions", ()))
        if "to" in found:
            found["to"] = Mention(**found["to"])
        if "change" in found:
            parts = {field.name for field in fields(Change)}
            told = {key: value for key, value in found["change"].items() if key in parts}
            found["change"] = Change(**told | {"news": tuple(told.get("news", ()))})
        return cls(**found)
