"""The config's records: what ``relay.toml`` may say, key by key.

What a value may be is in ``configvalues.py``; ``configfile.py`` reads a file or the environment
into these records.
"""

import sys
from datetime import timedelta
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, StringConstraints

from relay.configvalues import (
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
from relay.secret import Secret

DEFAULT_TEAM = "default"
"""The key of the one team that the environment alone describes."""


class SettingsModel(BaseModel):
    """A table of the config: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)


class ServerSettings(SettingsModel):
    """``[server]``: where Relay listens."""

    host: str = "0.0.0.0"  # noqa: S104 - Penpot calls from another container
    port: Port = 8080
    public_url: PublicUrl = ""
    max_body: Size = ByteSize(16 * 1024 * 1024)


class StoreSettings(SettingsModel):
    """``[store]``: where events and deliveries are kept, and how long."""

    url: StoreUrl = Secret("sqlite:///data/relay.db")
    retention: Duration = timedelta(days=30)

    @property
    def place(self) -> str:
        """The address without what may be a secret: fit for a log."""
        parts = urlsplit(self.url.reveal())
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class PenpotSettings(SettingsModel):
    """``[penpot]``: the Penpot that calls."""

    url: HttpUrl = "https://design.penpot.app"
    access_token: Token | None = None


class TemplateSettings(SettingsModel):
    """``[templates]``: the user's own."""

    path: FolderPath | None = None


class InspectorSettings(SettingsModel):
    """``[inspector]``: the pages in the browser."""

    password: InspectorPassword | None = None
    trusted_header: ProxyHeader = ""
    trusted_proxies: Networks = ()
    write_templates: bool = False


class LogSettings(SettingsModel):
    """``[log]``: how Relay tells what it does."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class ChannelSettings(SettingsModel):
    """What every channel has."""

    name: Name
    events: Events = ()
    pace: Annotated[float, Field(gt=0)] | None = None
    digest_after: Annotated[int, Field(ge=0, le=1000)] = 20
    share_emails: bool = False
    edits: Literal["", "in-place", "messages", "none"] = ""
    ca_file: CaFile | None = None

    @property
    def selection(self) -> Selection:
        """Which events the channel takes."""
        return Selection.of(self.events)

    @property
    def in_threads(self) -> bool:
        """Whether the messages of a Penpot comment thread form a thread in the channel."""
        return False

    @property
    def is_direct(self) -> bool:
        """Whether messages go to those whom a comment mentions, each by themselves."""
        return False

    @property
    def can_edit(self) -> bool:
        """Whether a message that was sent can be changed."""
        return False

    @property
    def edits_told(self) -> str:
        """How the channel tells that a comment was edited or deleted: as the config says, else in
        the comment's own message where that can be done. Elsewhere it does not, as most edits are
        slips of the pen; but those who are mentioned are told directly."""
        default = "messages" if self.is_direct else "none"
        return self.edits or ("in-place" if self.can_edit else default)

    @property
    def late_after(self) -> int:
        """So many messages may wait before they are put together; never where each has a reader of
        its own."""
        return sys.maxsize if self.is_direct or not self.digest_after else self.digest_after

    @property
    def has_pictures(self) -> bool:
        """Whether messages carry the thumbnail of the file or board that they are about."""
        return False


class SlackSettings(ChannelSettings):
    """A Slack channel: by bot token, or by incoming webhook."""

    type: Literal["slack"]
    token: Token | None = None
    channel: Annotated[str, StringConstraints(pattern=r"^(#[^\s#]+|[CDGU][A-Z0-9]{2,})$")] = ""
    webhook_url: WebhookUrl | None = None
    api_url: HttpUrl = "https://slack.com/api"
    threads: bool = True
    broadcast: bool = False
    direct: Literal["", "mentioned"] = ""
    thumbnails: bool = False

    @property
    def in_threads(self) -> bool:
        """With a bot token only: an incoming webhook does not learn what its message is called."""
        return self.threads and self.token is not None and not self.direct

    @property
    def is_direct(self) -> bool:
        """As the config says."""
        return self.direct != ""

    @property
    def can_edit(self) -> bool:
        """With a bot token only, as for threads."""
        return self.token is not None and not self.direct

    @property
    def has_pictures(self) -> bool:
        """As the config says."""
        return self.thumbnails


class MatrixSettings(ChannelSettings):
    """A Matrix room."""

    type: Literal["matrix"]
    homeserver: HttpUrl
    access_token: Token
    room: Annotated[str, StringConstraints(pattern=r"^([!#][^\s:]+:[^\s]+|![^\s:]+)$")] = ""
    threads: bool = True
    direct: Literal["", "mentioned"] = ""
    thumbnails: bool = False

    @property
    def in_threads(self) -> bool:
        """As the config says."""
        return self.threads and not self.direct

    @property
    def is_direct(self) -> bool:
        """As the config says."""
        return self.direct != ""

    @property
    def can_edit(self) -> bool:
        """In the room; what somebody was told directly stays."""
        return not self.direct

    @property
    def has_pictures(self) -> bool:
        """As the config says."""
        return self.thumbnails


class SmtpSettings(SettingsModel):
    """``smtp``: the server that takes the mail."""

    host: Host
    port: Port | None = None
    username: str = ""
    password: Password | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"

    @property
    def server_port(self) -> int:
        """The port, or the usual one for the kind of TLS."""
        return self.port or {"starttls": 587, "tls": 465, "none": 25}[self.tls]


class EmailSettings(ChannelSettings):
    """One or more mailboxes."""

    type: Literal["email"]
    to: MailAddresses
    sender: MailAddress
    smtp: SmtpSettings
    threads: bool = True
    mention_by_mail: bool = False
    thumbnails: bool = False

    @property
    def in_threads(self) -> bool:
        """As the config says."""
        return self.threads

    @property
    def has_pictures(self) -> bool:
        """As the config says."""
        return self.thumbnails


class StdoutSettings(ChannelSettings):
    """The process's own output."""

    type: Literal["stdout"]

    @property
    def edits_told(self) -> str:
        """A log tells all."""
        return self.edits or "messages"


AnyChannel: TypeAlias = Annotated[
    SlackSettings | MatrixSettings | EmailSettings | StdoutSettings, Field(discriminator="type")
]


class SyncSettings(SettingsModel):
    """``[watch]``: what Relay finds out with ``penpot.access_token``."""

    enabled: bool = True
    hooks_every: Duration = timedelta(minutes=5)
    catch_up_every: Duration = timedelta(minutes=15)
    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300


class PersonSettings(SettingsModel):
    """``[people]``: where somebody of Penpot is found elsewhere."""

    slack: Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{2,}$")] = ""
    matrix: Annotated[str, StringConstraints(pattern=r"^@[^\s:]+:[^\s]+$")] = ""
    email: PersonAddress = ""


class TeamSettings(SettingsModel):
    """``[teams.<key>]``: one Penpot team, its hook's secret and its channels."""

    secret: HookSecret
    name: Annotated[str, StringConstraints(max_length=250)] = ""
    team_id: TeamId = ""
    channels: Annotated[tuple[AnyChannel, ...], AsTuple] = ()
    alerts_to: str = ""
    inspector_password: InspectorPassword | None = None


class Config(SettingsModel):
    """All of ``relay.toml``."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    penpot: PenpotSettings = PenpotSettings()
    templates: TemplateSettings = TemplateSettings()
    inspector: InspectorSettings = InspectorSettings()
    log: LogSettings = LogSettings()
    watch: SyncSettings = SyncSettings()
    people: dict[PersonKey, PersonSettings] = {}
    teams: Annotated[dict[Name, TeamSettings], Field(min_length=1)]

    def team_name(self, team: str) -> str:
        """What people call a team: its ``name``, else its key. The team of the environment alone
        has no key that a person chose."""
        return self.teams[team].name or ("" if team == DEFAULT_TEAM else team)

    def hook_path(self, team: str) -> str:
        """The path of a team's hook, with its secret: only for the administrator's eyes."""
        return f"/hooks/{team}/{self.teams[team].secret.reveal()}"

    def alerts_to(self, queue: str) -> str | None:
        """The queue that is told when ``queue`` has stopped; None for none."""
        team = queue.partition("/")[0]
        channel = self.teams[team].alerts_to
        return f"{team}/{channel}" if channel else None

    def told(self, team: str) -> str | None:
        """The queue that is told what concerns a whole team: that of ``alerts_to``, else the first
        that is a place and not people; None where there is none."""
        settings = self.teams[team]
        places = [channel.name for channel in settings.channels if not channel.is_direct]
        name = settings.alerts_to or (places[0] if places else "")
        return f"{team}/{name}" if name else None

    def queues(self) -> dict[str, AnyChannel]:
        """Every channel of every team by its queue's name, ``team/channel``."""
        return {
            f"{team}/{channel.name}": channel
            for team, settings in self.teams.items()
            for channel in settings.channels
        }
