"""Channels of team acme at the servers, as TOML for the config."""

import json

from tests.servers.discord import WEBHOOK_PATH as DISCORD_PATH
from tests.servers.mattermost import TOKEN as MATTERMOST_TOKEN
from tests.servers.mattermost import WEBHOOK_PATH as MATTERMOST_PATH
from tests.servers.ntfy import TOKEN as NTFY_TOKEN
from tests.servers.ntfy import TOPIC as NTFY_TOPIC
from tests.servers.rocketchat import WEBHOOK_PATH as ROCKETCHAT_PATH
from tests.servers.slack import TOKEN
from tests.servers.smtp import MailServer
from tests.servers.synapse import Person, Synapse
from tests.servers.teams import WEBHOOK_PATH as TEAMS_PATH


def _channel(kind: str, name: str, **settings: object) -> str:
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
    return f'[[teams.acme.channels]]\ntype = "{kind}"\nname = "{name}"\n{"".join(lines)}'


def slack_channel(api_url: str, name: str = "slack", **settings: object) -> str:
    place = {} if "direct" in settings else {"channel": "#design"}
    return _channel("slack", name, token=TOKEN, api_url=api_url, **place | settings)


def matrix_channel(synapse: Synapse, bot: Person, room: str, **settings: object) -> str:
    server = {"homeserver": synapse.url, "access_token": bot.token, "room": room}
    return _channel("matrix", "room", **server | settings)


def mattermost_channel(url: str, **settings: object) -> str:
    place = {"url": url, "token": MATTERMOST_TOKEN, "channel": "acme/design", "pace": 6000}
    return _channel("mattermost", "mattermost", **place | settings)


def mattermost_webhook(url: str, **settings: object) -> str:
    address = {"webhook_url": url + MATTERMOST_PATH, "pace": 6000}
    return _channel("mattermost", "mattermost", **address | settings)


def rocketchat_channel(url: str, **settings: object) -> str:
    address = {"webhook_url": url + ROCKETCHAT_PATH, "pace": 6000}
    return _channel("rocketchat", "rocketchat", **address | settings)


def discord_channel(url: str, **settings: object) -> str:
    address = {"webhook_url": url + DISCORD_PATH}
    return _channel("discord", "discord", **address | settings)


def teams_channel(url: str, **settings: object) -> str:
    address = {"webhook_url": url + TEAMS_PATH, "pace": 6000}
    return _channel("teams", "teams", **address | settings)


def ntfy_channel(url: str, **settings: object) -> str:
    """By apprise."""
    address = url.replace("http://", f"ntfy://{NTFY_TOKEN}@")
    return _channel("apprise", "apprise", url=f"{address}/{NTFY_TOPIC}", **settings)


def mail_channel(server: MailServer, **settings: object) -> str:
    smtp = {"smtp.host": "127.0.0.1", "smtp.port": server.port, "smtp.tls": "none"}
    addresses = {"to": ["design@example.com"], "sender": "penpot@example.com"}
    return _channel("email", "mail", **addresses | smtp | settings)
