"""The config's records: what ``relay.toml`` may say, key by key.

Reading a file or the environment into these records is ``relay/configfile.py``.
"""

import re
import ssl
import sys
from datetime import timedelta
from email.policy import default as policy
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    StringConstraints,
)

from relay.penpot.events import GROUPS
from relay.penpot.selection import Selection, is_known
from relay.secret import Secret

DEFAULT_TEAM = "default"
"""The key of the one team that the environment alone describes."""
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _duration(value: object) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhdw])", value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError('must be a number with a unit, such as "45s", "10m", "12h", "30d" or "4w"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _web_address(value: str) -> SplitResult | None:
    """The parts of a web address; None where it is none. Raises nothing: the texts of
    ``urlsplit``'s errors repeat what may be a password."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if good and not re.search(r"[\s\x00-\x1f\x7f-\x9f]", value) else None


def _http_url(value: str) -> str:
    parts = _web_address(value)
    if parts is None:
        raise ValueError('must be a web address such as "https://design.example.com"')
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be a plain web address, without user, query or #fragment")
    return value.rstrip("/")


def _public_url(value: str) -> str:
    value = _http_url(value)
    if "_" in (urlsplit(value).hostname or ""):
        raise ValueError("must have a host name without an underscore: Penpot can't call such one")
    return value


def _store_url(value: Secret) -> Secret:
    url = value.reveal()
    if re.fullmatch(r"postgres(ql)?://[^\s]+", url):
        return value
    if not url.startswith("sqlite:///") or url == "sqlite:///":
        raise ValueError(
            'must be "sqlite:///relative/path.db", "sqlite:////absolute/path.db", '
            'or "postgresql://user:password@host/database"'
        )
    return value


def _hook_secret(value: Secret) -> Secret:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{16,}", value.reveal()):
        raise ValueError(
            "must have at least 16 characters out of A-Z a-z 0-9 . _ ~ - "
            "(make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"
        )
    return value


def _token(value: Secret) -> Secret:
    if not re.fullmatch(r"[!-~]+", value.reveal()):  # it goes into an HTTP header
        raise ValueError(
            "must be printable ASCII without spaces: was all of it copied, and only it?"
        )
    return value


def _password(value: Secret) -> Secret:
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value.reveal()):
        raise ValueError("must be text in UTF-8, on one line and without control characters")
    return value


def _inspector_password(value: Secret) -> Secret:
    text = value.reveal()
    if text.startswith("$argon2"):
        from argon2 import extract_parameters
        from argon2.exceptions import InvalidHashError

        try:
            extract_parameters(text)
        except InvalidHashError as error:
            raise ValueError(
                "begins as an argon2 hash does but is none: was all of it copied, and was no $ "
                "taken away by a shell or by Compose (which wants $$)?"
            ) from error
    elif len(text) < 12:
        raise ValueError("must have at least 12 characters, or be an argon2 hash")
    return value


def _proxy_header(value: str) -> str:
    usual = "cookie", "host", "origin", "referer", "user-agent", "via", "x-forwarded-for"
    if not re.fullmatch(r"[A-Za-z0-9-]+", value) or value.lower() in usual:
        raise ValueError(
            'must be the name of a header that only the reverse proxy sets, such as "Remote-User"'
        )
    return value.lower()


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(
            'must be an address or a network, such as "10.0.0.5" or "10.1.0.0/16"'
        ) from error


def _webhook_url(value: Secret) -> Secret:
    address = value.reveal()
    if not re.fullmatch(r"[!-~]+", address) or _web_address(address) is None:
        raise ValueError(
            'must be the address of an incoming webhook: "https://hooks.slack.com/services/…", '
            "in ASCII without spaces"
        )
    return value


def _event(entry: str) -> str:
    if not is_known(entry):
        raise ValueError(
            f"fits no event: use a group ({', '.join(GROUPS)}), a name that `relay events` lists, "
            'or a glob; with "!" in front it takes away'
        )
    return entry


def _address(value: str) -> str:
    header: Any = None if re.search(r"[\r\n]", value) else policy.header_factory("to", value)
    addresses: Any = () if header is None else header.addresses
    for address in addresses:
        if not (address.username + address.domain).isascii():  # it would need SMTPUTF8 (RFC 6531)
            raise ValueError(
                'must be an address in ASCII: write a domain such as "exämple.com" as xn--…; '
                "before the @ there is no other way to write it"
            )
    if (
        len(addresses) != 1
        or header.defects
        or not addresses[0].username
        or not addresses[0].domain
    ):
        raise ValueError(
            'must be one mail address such as "design@example.com" or "Penpot <penpot@example.com>"'
        )
    return value


def _person_address(value: str) -> str:
    if value != _address(value) or "<" in value:
        raise ValueError('must be one bare mail address such as "ada@example.com"')
    return value


def _person_key(value: str) -> str:
    if not re.fullmatch(rf"{_UUID}|[^@\s<>]+@[^@\s<>]+", value):
        raise ValueError(
            "must be a person's mail address in Penpot, or the id of their Penpot profile"
        )
    return value.lower()


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a path")
    return Path(value)


def _folder(value: Path) -> Path:
    if not value.is_dir():
        raise ValueError("must be a folder that exists")
    return value


def _authority(value: Path) -> Path:
    try:
        value.open("rb").close()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError as error:
        raise ValueError("must hold certificates in PEM form") from error
    except OSError as error:
        raise ValueError(f"must be a file that can be read ({error.strerror})") from error
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[^\s/@\x00-\x1f\x7f-\x9f]+", value):
        raise ValueError('must be a host\'s name or IP address alone, such as "smtp.example.com"')
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
FolderPath = Annotated[Path, AfterValidator(_folder), BeforeValidator(_path)]
CaFile = Annotated[Path, AfterValidator(_authority), BeforeValidator(_path)]
Token = Annotated[Secret, AfterValidator(_token)]
Password = Annotated[Secret, AfterValidator(_password)]
InspectorPassword = Annotated[Password, AfterValidator(_inspector_password)]
WebhookUrl = Annotated[Secret, AfterValidator(_webhook_url)]
Host = Annotated[str, AfterValidator(_host)]
MailAddress = Annotated[str, AfterValidator(_address)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=60)]
Size = Annotated[ByteSize, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
Events = Annotated[tuple[Annotated[str, AfterValidator(_event)], ...], BeforeValidator(_tuple)]


class Record(BaseModel):
    """A table of the config: frozen, and an unknown key is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)


class Server(Record):
    """``[server]``: where Relay listens."""

    host: str = "0.0.0.0"  # noqa: S104 - Penpot calls from another container
    port: Port = 8080
    public_url: Annotated[str, AfterValidator(_public_url)] = ""
    max_body: Size = ByteSize(16 * 1024 * 1024)


class StoreSettings(Record):
    """``[store]``: where events and deliveries are kept, and how long."""

    url: Annotated[Secret, AfterValidator(_store_url)] = Secret("sqlite:///data/relay.db")
    retention: Duration = timedelta(days=30)

    @property
    def place(self) -> str:
        """The address without what may be a secret: fit for a log."""
        parts = urlsplit(self.url.reveal())
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Penpot(Record):
    """``[penpot]``: the Penpot that calls."""

    url: HttpUrl = "https://design.penpot.app"
    access_token: Token | None = None


class Templates(Record):
    """``[templates]``: the user's own."""

    path: FolderPath | None = None


class Inspector(Record):
    """``[inspector]``: the pages in the browser."""

    password: InspectorPassword | None = None
    trusted_header: Annotated[str, AfterValidator(_proxy_header)] = ""
    trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_tuple)
    ] = ()
    write_templates: bool = False


class Log(Record):
    """``[log]``: how Relay tells what it does."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class ChannelSettings(Record):
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


class Smtp(Record):
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
    to: Annotated[tuple[MailAddress, ...], BeforeValidator(_tuple), Field(min_length=1)]
    sender: MailAddress
    smtp: Smtp
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


class Watch(Record):
    """``[watch]``: what Relay finds out with ``penpot.access_token``."""

    enabled: bool = True
    hooks_every: Duration = timedelta(minutes=5)
    catch_up_every: Duration = timedelta(minutes=15)
    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300


class Person(Record):
    """``[people]``: where somebody of Penpot is found elsewhere."""

    slack: Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{2,}$")] = ""
    matrix: Annotated[str, StringConstraints(pattern=r"^@[^\s:]+:[^\s]+$")] = ""
    email: Annotated[str, AfterValidator(_person_address)] = ""


class Team(Record):
    """``[teams.<key>]``: one Penpot team, its hook's secret and its channels."""

    secret: Annotated[Secret, AfterValidator(_hook_secret)]
    name: Annotated[str, StringConstraints(max_length=250)] = ""
    team_id: Annotated[str, StringConstraints(pattern=rf"^{_UUID}$")] = ""
    channels: Annotated[tuple[AnyChannel, ...], BeforeValidator(_tuple)] = ()
    alerts_to: str = ""
    inspector_password: InspectorPassword | None = None


class Config(Record):
    """All of ``relay.toml``."""

    server: Server = Server()
    store: StoreSettings = StoreSettings()
    penpot: Penpot = Penpot()
    templates: Templates = Templates()
    inspector: Inspector = Inspector()
    log: Log = Log()
    watch: Watch = Watch()
    people: dict[Annotated[str, AfterValidator(_person_key)], Person] = {}
    teams: Annotated[dict[Name, Team], Field(min_length=1)]

    def team_name(self, team: str) -> str:
        """What people call a team: its ``name``, else its key. The team of the environment alone
        has no key that a person chose."""
        return self.teams[team].name or ("" if team == DEFAULT_TEAM else team)

    def hook_path(self, team: str) -> str:
        """The path of a team's hook, with its secret: only for the administrator's eyes."""
        return f"/hooks/{team}/{self.teams[team].secret.reveal()}"

    def alerts_to(self, lane: str) -> str | None:
        """The lane that is told when ``lane`` has stopped; None for none."""
        team = lane.partition("/")[0]
        channel = self.teams[team].alerts_to
        return f"{team}/{channel}" if channel else None

    def told(self, team: str) -> str | None:
        """The lane that is told what concerns a whole team: that of ``alerts_to``, else the first
        that is a place and not people; None where there is none."""
        settings = self.teams[team]
        places = [channel.name for channel in settings.channels if not channel.is_direct]
        name = settings.alerts_to or (places[0] if places else "")
        return f"{team}/{name}" if name else None

    def lanes(self) -> dict[str, AnyChannel]:
        """Every channel of every team by its lane's name, ``team/channel``."""
        return {
            f"{team}/{channel.name}": channel
            for team, settings in self.teams.items()
            for channel in settings.channels
        }
