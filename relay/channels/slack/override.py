"""The templates for Slack alone: Block Kit JSON. The sandbox runs these functions."""

from typing import Any

from relay.messages.environments import OverrideFormat

STARTER = """\
{"text": "{{ actor or "Someone" }}: {{ event.name }}",
 "blocks": [
   {"type": "section",
    "text": {"type": "mrkdwn", "text": "*{{ actor or "Someone" }}*: {{ event.name }}"}},
   {"type": "context",
    "elements": [{"type": "mrkdwn", "text": "{{ file or project or team }}"}]}
 ]}
"""


def escape(text: str) -> str:
    """So that no name can ping or link in ``mrkdwn`` and ``plain_text``.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def parse_block_kit(value: object) -> tuple[list[Any], str]:
    """The blocks and the notification text (may be empty) of a template's JSON.

    Raises ``ValueError`` for any other form.
    """
    match {"blocks": value} if isinstance(value, list) else value:
        case {"blocks": list(blocks), **others} if not others.keys() - {"text"}:
            text = others.get("text") or ""
            if isinstance(text, str):
                return blocks, text
    raise ValueError('must be a list of blocks or {"blocks": […], "text": "…"}')


FORMAT = OverrideFormat(".slack.json.j2", escape, parse_block_kit)
