"""Channels: where messages go."""

from relay.channels.base import Channel
from relay.config import AnyChannel


def open_channel(settings: AnyChannel) -> Channel:
    """The channel that the settings describe. Nothing is connected yet.

    Only the module of that kind is imported: aiohttp with slack-sdk alone takes 15 MB.
    Raises ``ValueError`` where ``ca_file`` holds no certificate.
    """
    match settings.type:
        case "slack":
            from relay.channels.slack import SlackChannel

            return SlackChannel(settings)
        case "matrix":
            from relay.channels.matrix import MatrixChannel

            return MatrixChannel(settings)
        case "email":
            from relay.channels.email import EmailChannel

            return EmailChannel(settings)
        case "stdout":
            from relay.channels.stdout import StdoutChannel

            return StdoutChannel(settings)
