"""Channels and messages for the tests."""

import base64
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.channels import open_channel
from relay.channels.apprise.settings import AppriseSettings
from relay.channels.base import Channel, DeliveryError
from relay.channels.discord.settings import DiscordSettings
from relay.channels.email.settings import EmailSettings, SmtpSettings
from relay.channels.matrix.settings import MatrixSettings
from relay.channels.mattermost.settings import MattermostSettings
from relay.channels.rocketchat.settings import RocketChatSettings
from relay.channels.slack.settings import SlackSettings
from relay.channels.teams.settings import TeamsSettings
from relay.channels.webhook.settings import WebhookSettings
from relay.config.secret import Secret
from relay.config.settings import AnyChannel
from relay.messages.message import Content, Message
from tests.servers.discord import WEBHOOK_PATH as DISCORD_PATH
from tests.servers.mattermost import DESIGN as MATTERMOST_CHANNEL
from tests.servers.mattermost import TOKEN as MATTERMOST_TOKEN
from tests.servers.mattermost import WEBHOOK_PATH as MATTERMOST_PATH
from tests.servers.rocketchat import WEBHOOK_PATH as ROCKETCHAT_PATH
from tests.servers.slack import TOKEN
from tests.servers.smtp import PASSWORD, USERNAME
from tests.servers.teams import WEBHOOK_PATH as TEAMS_PATH

SIGNING_SECRET = "whsec_" + base64.b64encode(b"a secret of the tests, 32 bytes!").decode()
MATRIX_TOKEN = "syt_SecretTokenOfTheTests"

MESSAGE = Message(
    title="Ada commented on Landing page",
    full=Content(
        "**Ada Lovelace** commented on [Landing page](https://penpot.example/#/view?a=1&b=2)\n\n"
        "> The button is *too* small\\.\\\n> \\<\\!channel\\> please",
        footer="Website · Acme · [Open in Penpot](https://penpot.example/#/view?a=1&b=2)",
    ),
    url="https://penpot.example/#/view?a=1&b=2",
    event="create-comment-thread",
    team="acme",
    at="2026-07-25T08:17:02.555Z",
)


def slack_bot(api_url: str, channel: str = "C0DESIGN0", token: str = TOKEN) -> SlackSettings:
    return SlackSettings(
        type="slack", name="design", token=Secret(token), channel=channel, api_url=api_url
    )


def slack_hook(url: str) -> SlackSettings:
    return SlackSettings(type="slack", name="design", webhook_url=Secret(url))


def matrix(homeserver: str, room: str = "!room:relay.test", token: str = "") -> MatrixSettings:
    return MatrixSettings(
        type="matrix",
        name="room",
        homeserver=homeserver,
        access_token=Secret(token or MATRIX_TOKEN),
        room=room,
    )


def mattermost(url: str) -> MattermostSettings:
    place = {"url": url, "token": Secret(MATTERMOST_TOKEN), "channel": MATTERMOST_CHANNEL}
    return MattermostSettings.model_validate({"type": "mattermost", "name": "design", **place})


def mattermost_hook(url: str) -> MattermostSettings:
    address = Secret(url + MATTERMOST_PATH)
    return MattermostSettings(type="mattermost", name="hook", webhook_url=address)


def rocketchat(url: str) -> RocketChatSettings:
    address = Secret(url + ROCKETCHAT_PATH)
    return RocketChatSettings(type="rocketchat", name="team", webhook_url=address)


def discord(url: str) -> DiscordSettings:
    return DiscordSettings(type="discord", name="team", webhook_url=Secret(url + DISCORD_PATH))


def teams(url: str) -> TeamsSettings:
    return TeamsSettings(type="teams", name="team", webhook_url=Secret(url + TEAMS_PATH))


def webhook(url: str, *secrets: str) -> WebhookSettings:
    signing = tuple(map(Secret, secrets or (SIGNING_SECRET,)))
    return WebhookSettings(type="webhook", name="pipeline", url=Secret(url), secret=signing)


def email(
    port: int,
    tls: str = "none",
    *,
    to: tuple[str, ...] = ("design@example.com",),
    sender: str = "Penpot <penpot@example.com>",
    login: bool = False,
    password: str = PASSWORD,
    ca_file: Path | None = None,
    hello: str | None = None,
) -> EmailSettings:
    options: dict[str, Any] = {"ca_file": str(ca_file)} if ca_file else {}
    credentials: dict[str, Any] = {}
    if login:
        credentials = {"username": USERNAME, "password": Secret(password)}
    smtp = SmtpSettings(host="127.0.0.1", port=port, tls=tls, hello=hello, **credentials)
    return EmailSettings(type="email", name="mail", to=to, sender=sender, smtp=smtp, **options)


@asynccontextmanager
async def opened(settings: AnyChannel) -> AsyncIterator[Channel]:
    """The channel, closed at the end."""
    channel = open_channel(settings)
    try:
        yield channel
    finally:
        await channel.close()


async def delivery_error(settings: AnyChannel, message: Message = MESSAGE) -> DeliveryError:
    """The error of sending one message, which must not show a secret."""
    async with opened(settings) as channel:
        try:
            receipt = await channel.send(message, "delivery-1")
        except DeliveryError as error:
            assert_leaks_no_secret(error, settings)
            return error
        raise AssertionError(f"the message was accepted: {receipt}")


async def findings(settings: AnyChannel) -> str:
    """The results of ``check``, one per line, each with ``ok`` or ``no`` in front."""
    async with opened(settings) as channel:
        results = await channel.check()
    text = "\n".join(f"{'ok' if finding.ok else 'no'} {finding.text}" for finding in results)
    assert not any(secret in text for secret in secrets_of(settings))
    return text


def secrets_of(settings: AnyChannel) -> list[str]:
    """Every secret of the settings, also the secret part of a webhook's URL."""
    match settings:
        case SlackSettings(token=Secret() as token):
            return [token.reveal()]
        case SlackSettings(webhook_url=Secret() as url):
            return [url.reveal(), url.reveal().rpartition("/")[2]]
        case DiscordSettings(webhook_url=Secret() as url):
            return [url.reveal(), settings.api_url.rpartition("/")[2]]
        case TeamsSettings(webhook_url=Secret() as url):
            return [url.reveal(), settings.signature]
        case MattermostSettings(token=Secret() as token):
            return [token.reveal()]
        case MattermostSettings(webhook_url=Secret() as url) | RocketChatSettings(webhook_url=url):
            return [url.reveal(), url.reveal().rpartition("/")[2]]
        case WebhookSettings():
            texts = [secret.reveal() for secret in settings.secret]
            url = urlsplit(settings.url.reveal())
            return [*texts, *filter(None, (url.path.strip("/"), url.query, url.password))]
        case AppriseSettings():
            url = urlsplit(settings.url.reveal())
            return list(filter(None, (settings.url.reveal(), url.username, url.path.strip("/"))))
        case MatrixSettings():
            return [settings.access_token.reveal()]
        case EmailSettings(smtp=SmtpSettings(password=Secret() as password)):
            return [password.reveal()]
    return []


def assert_leaks_no_secret(error: DeliveryError, settings: AnyChannel) -> None:
    """Neither the error's texts nor its traceback contain a secret."""
    shown = [str(error), repr(error), error.reason, error.detail]
    shown += traceback.format_exception(error)
    for secret in secrets_of(settings):
        assert not any(secret in text for text in shown)
