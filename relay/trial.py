"""``relay send``: one test message, for real."""

from datetime import UTC, datetime
from uuid import uuid4

from relay.channels import open_channel
from relay.channels.base import Failure
from relay.config import AnyChannel, Config
from relay.messages.escape import escape
from relay.messages.message import Message


async def send_test(config: Config, team: str, settings: AnyChannel) -> tuple[bool, str]:
    """Send a test message to one channel; whether it was taken, and the server's words."""
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
    except Failure as failure:
        return False, f"not sent: {failure}"
    finally:
        await channel.close()
    return True, f"sent ({receipt.id})" if receipt.id else "sent"
