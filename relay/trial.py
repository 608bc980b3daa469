"""``relay send``: sends a test message."""

from datetime import UTC, datetime
from uuid import uuid4

from relay.channels import open_channel
from relay.channels.base import DeliveryError
from relay.config import AnyChannel, Config
from relay.messages.escape import escape
from relay.messages.message import Message


async def send_test(config: Config, team: str, settings: AnyChannel) -> tuple[bool, str]:
    """Whether the channel accepted a test message, and a text about it for the user."""
    name = escape(config.team_name(team))
    message = Message(
        title="A test from Relay",
        body=(
            f"This is a test from **Relay**: messages about the Penpot team **{name}** "
            "will look like this one.\n\n> A comment would be quoted here."
        ),
        footer=f"[Open Penpot]({config.penpot.url})",
        url=config.penpot.url,
        team=team,
        at=datetime.now(UTC).isoformat(),
    )
    channel = open_channel(settings)
    try:
        receipt = await channel.send(message, uuid4().hex)
    except DeliveryError as error:
        return False, f"not sent: {error}"
    finally:
        await channel.close()
    return True, f"sent ({receipt.id})" if receipt.id else "sent"
