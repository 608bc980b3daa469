"""The settings models: each table and key of ``relay.toml``.

``configvalues.py`` has the types of the values; ``configfile.py`` loads a file or the environment.
"""

import sys
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, StringConstraints

from relay.config.secret import Secret
from relay.config.types import (
    AsTuple,
    CaFile,
    Duration,
    Events,
    FolderPath,
    HookSecret,
    Host,
    HttpUrl,
    InspectorPassword,
    MailAddress,
    MailAddresses,
    Name,
    Networks,
    Password,
    PersonAddress,
    PersonKey,
    Port,
    ProxyHeader,
    PublicUrl,
    Size,
    StoreUrl,
    TeamId,
    Token,
    WebhookUrl,
)
from relay.penpot.selection import Selection

DEFAULT_TEAM = "default"
"""The key of the team when environment variables replace the config file."""


class SettingsModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)


class ServerSettings(SettingsModel):
    host: str = "0.0.0.0"  # noqa: S104 - Penpot calls from another container
    port: Port = 8080
    public_url: PublicUrl = ""
    max_body: Size = ByteSize(16 * 1024 * 1024)


class StoreSettings(SettingsModel):
    url: StoreUrl = Secret("sqlite:///data/relay.db")
    retention: Duration = timedelta(days=30)

    @property
    def display_url(self) -> str:
        """The URL without user, password and query, for logs."""
        parts = urlsplit(self.url.reveal())
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class PenpotSettings(SettingsModel):
    url: HttpUrl = "https://design.penpot.app"
    access_token: Token | None = None


class TemplateSettings(SettingsModel):
    path: FolderPath | None = None


class InspectorSettings(SettingsModel):
    password: InspectorPassword | None = None
    trusted_header: ProxyHeader = ""
    trusted_proxies: Networks = ()
    write_templates: bool = False


class LogSettings(SettingsModel):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class ChannelSettings(SettingsModel):
    """The keys and capabilities that all channel types share."""

    name: Name
    events: Events = ()
    pace: Annotated[float, Field(gt=0)] | None = None
    digest_after: Annotated[int, Field(ge=0, le=1000)] = 20
    share_emails: bool = False
    edits: Literal["", "in-place", "messages", "none"] = ""
    ca_file: CaFile | None = None

    @property
    def selection(self) -> Selection:
        return Selection.of(self.events)

    @property
    def in_threads(self) -> bool:
        """Whether the messages of a Penpot comment thread form a thread in the channel."""
        return False

    @property
    def is_direct(self) -> bool:
        """Whether each mentioned person gets a message of their own, instead of a shared place."""
        return False

    @property
    def can_edit(self) -> bool:
        """Whether the channel can edit a message after sending it."""
        return False

    @property
    def edit_mode(self) -> str:
        """How the channel shows that a comment was edited or deleted. By default it edits the
        comment's message; a channel that can't edit shows nothing, as most edits fix typos, but a
        direct channel sends a message, since an edit may add a mention."""
        default = "messages" if self.is_direct else "none"
        return self.edits or ("in-place" if self.can_edit else default)

    @property
    def digest_threshold(self) -> int:
        """How many messages may wait before they are sent as a digest. Direct channels send no
        digests: each message has its own recipient."""
        return sys.maxsize if self.is_direct or not self.digest_after else self.digest_after

    @property
    def has_thumbnails(self) -> bool:
        """Whether messages show a thumbnail of the file or board."""
        return False


class ChatSettings(ChannelSettings):
    """The keys that Slack and Matrix share."""

    threads: bool = True
    direct: Literal["", "mentioned"] = ""
    thumbnails: bool = False

    @property
    def in_threads(self) -> bool:
        return self.threads and not self.direct

    @property
    def is_direct(self) -> bool:
        return self.direct != ""

    @property
    def can_edit(self) -> bool:
        return not self.direct

    @property
    def has_thumbnails(self) -> bool:
        return self.thumbnails


class SlackSettings(ChatSettings):
    """A Slack channel, by bot token or by incoming webhook. A webhook can neither reply nor edit,
    since Slack does not return the message's ``ts``."""

    type: Literal["slack"]
    token: Token | None = None
    channel: Annotated[str, StringConstraints(pattern=r"^(#[^\s#]+|[CDGU][A-Z0-9]{2,})$")] = ""
    webhook_url: WebhookUrl | None = None
    api_url: HttpUrl = "https://slack.com/api"
    broadcast: bool = False

    @property
    def in_threads(self) -> bool:
        return self.token is not None and super().in_threads

    @property
    def can_edit(self) -> bool:
        return self.token is not None and super().can_edit


class MatrixSettings(ChatSettings):
    type: Literal["matrix"]
    homeserver: HttpUrl
    access_token: Token
    room: Annotated[str, StringConstraints(pattern=r"^([!#][^\s:]+:[^\s]+|![^\s:]+)$")] = ""


class SmtpSettings(SettingsModel):
    host: Host
    port: Port | None = None
    username: str = ""
    password: Password | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"

    @property
    def server_port(self) -> int:
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.tls]


class EmailSettings(ChannelSettings):
    type: Literal["email"]
    to: MailAddresses
    sender: MailAddress
    smtp: SmtpSettings
    threads: bool = True
    mention_by_mail: bool = False
    thumbnails: bool = False

    @property
    def in_threads(self) -> bool:
        return self.threads

    @property
    def has_thumbnails(self) -> bool:
        return self.thumbnails


class StdoutSettings(ChannelSettings):
    type: Literal["stdout"]

    @property
    def edit_mode(self) -> str:
        return self.edits or "messages"


AnyChannel: TypeAlias = Annotated[
    SlackSettings | MatrixSettings | EmailSettings | StdoutSettings, Field(discriminator="type")
]


class SyncSettings(SettingsModel):
    """``[sync]``: what Relay polls Penpot for, with ``penpot.access_token``."""

    enabled: bool = True
    webhooks_every: Duration = timedelta(minutes=5)
    comments_every: Duration = timedelta(minutes=15)
    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300


class PersonSettings(SettingsModel):
    """One entry of ``[people]``: a Penpot user's accounts in the channels."""

    slack: Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{2,}$")] = ""
    matrix: Annotated[str, StringConstraints(pattern=r"^@[^\s:]+:[^\s]+$")] = ""
    email: PersonAddress = ""


class TeamSettings(SettingsModel):
    secret: HookSecret
    name: Annotated[str, StringConstraints(max_length=250)] = ""
    team_id: TeamId = ""
    channels: Annotated[tuple[AnyChannel, ...], AsTuple] = ()
    alerts_to: str = ""
    inspector_password: InspectorPassword | None = None


class Config(SettingsModel):
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    penpot: PenpotSettings = PenpotSettings()
    templates: TemplateSettings = TemplateSettings()
    inspector: InspectorSettings = InspectorSettings()
    log: LogSettings = LogSettings()
    sync: SyncSettings = SyncSettings()
    people: dict[PersonKey, PersonSettings] = {}
    teams: Annotated[dict[Name, TeamSettings], Field(min_length=1)]

    def team_name(self, team: str) -> str:
        """The team's ``name``, else its key. ``DEFAULT_TEAM`` is no key that a person chose."""
        return self.teams[team].name or ("" if team == DEFAULT_TEAM else team)

    def hook_path(self, team: str) -> str:
        """The path of a team's hook. It contains the secret: show it to the administrator only."""
        return f"/hooks/{team}/{self.teams[team].secret.reveal()}"

    def alerts_to(self, queue: str) -> str | None:
        """The queue that gets an alert when ``queue`` stops."""
        team = queue.partition("/")[0]
        channel = self.teams[team].alerts_to
        return f"{team}/{channel}" if channel else None

    def notice_queue(self, team: str) -> str | None:
        """The queue that gets notices about the whole team: that of ``alerts_to``, else the first
        of a channel that is not direct."""
        settings = self.teams[team]
        shared = [channel.name for channel in settings.channels if not channel.is_direct]
        name = settings.alerts_to or (shared[0] if shared else "")
        return f"{team}/{name}" if name else None

    def queues(self) -> dict[str, AnyChannel]:
        """All channels of all teams, by the queue's name ``team/channel``."""
        return {
            f"{team}/{channel.name}": channel
            for team, settings in self.teams.items()
            for channel in settings.channels
        }


class Role(StrEnum):
    ALL = "all"
    INTAKE = "intake"
    DELIVER = "deliver"

    @property
    def accepts_events(self) -> bool:
        """Whether the hook accepts events."""
        return self is not Role.DELIVER

    @property
    def delivers(self) -> bool:
        """Whether fan-out, queues, sync and retention run."""
        return self is not Role.INTAKE
