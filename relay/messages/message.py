"""Message: what a channel is handed."""

import json
from dataclasses import asdict, dataclass


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

    def dumps(self) -> str:
        """The message as JSON text, for the store."""
        return json.dumps(
            {key: value for key, value in asdict(self).items() if value}, ensure_ascii=False
        )

    @classmethod
    def loads(cls, text: str) -> "Message":
        """The message that ``dumps`` wrote."""
        fields = {"title": "", "body": ""} | json.loads(text)
        return cls(**fields)
