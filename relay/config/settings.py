"""The settings models: each table and key of ``relay.toml``.

The settings of a kind of channel are in its folder.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    create_model,
)

from relay.channels import CHANNEL_TYPES, people_keys
from relay.channels.base import ChannelSettings, Language
from relay.config.channel_rules import channel_rules
from relay.config.listeners import (
    AdminSettings,
    InspectorPassword,
    InspectorSettings,
    ProxySettings,
    ServerSettings,
    local_url,
    port_rules,
)
from relay.config.schedule import Hold, TimeZone, retention_rules
from relay.config.secret import Secret, broken
from relay.config.types import (
    AsTuple,
    Duration,
    FilePath,
    HttpUrl,
    Name,
    Rule,
    SettingsModel,
    Size,
    Token,
    did_you_mean,
    key_error,
    matching,
    one_or_two,
    valid_duration,
)
from relay.messages.locale import DEFAULT_LOCALE, ENGLISH, Locale
from relay.store.postgres_url import PostgresUrl

DEFAULT_TEAM = "default"
"""The key of the team when environment variables replace the config file."""
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


def _store_url(value: Secret) -> Secret:
    url = value.reveal()
    if re.match("postgres(ql)?://", url):
        if not re.fullmatch(r"\w+://([\w.~!$&'()*+,;=:%-]*@)?[^\s@]*", url, re.ASCII):
            rule = "must have special characters of the password percent-encoded, such as %2F for /"
            raise broken("secret", rule)
        try:
            PostgresUrl.parse(url)
        except ValueError as error:
            raise broken("secret", str(error)) from None
    elif not re.fullmatch("sqlite:///.+", url):
        raise ValueError(
            'must be "sqlite:///relative/path.db", "sqlite:////absolute/path.db", '
            'or "postgresql://user:password@host/database"'
        )
    return value


class StoreSettings(SettingsModel):
    url: Annotated[Secret, BeforeValidator(Secret.resolve), AfterValidator(_store_url)] = Secret(
        "sqlite:///data/relay.db"
    )
    """Three slashes: relative to the working directory; four: absolute."""
    retention: Duration = timedelta(days=30)
    """How long events are stored and sends are retried: s, m, h, d, w."""

    @property
    def display_url(self) -> str:
        """The URL without user, password and parameters, for texts."""
        return self.postgres.place if self.postgres else self.url.reveal()

    @property
    def postgres(self) -> PostgresUrl | None:
        """None for SQLite."""
        url = self.url.reveal()
        return None if url.startswith("sqlite:") else PostgresUrl.parse(url)


class PenpotSettings(SettingsModel):
    url: HttpUrl = "https://design.penpot.app"
    """Where people open Penpot, for links."""
    api_url: HttpUrl = ""
    """Where Relay reaches it."""
    access_token: Token | None = None
    """For names, thumbnails and the sync."""

    @property
    def call_url(self) -> str:
        """The address that Relay calls."""
        return self.api_url or self.url


class SyncSettings(SettingsModel):
    enabled: bool = True
    """Whether Penpot is polled for what its webhooks leave out."""
    webhooks_every: Duration = timedelta(minutes=5)
    """Interval to check each webhook and reactivate it."""
    comments_every: Duration = timedelta(minutes=15)
    """Interval to compare comments in files where nobody works."""
    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300
    """Maximum number of calls to Penpot, for all teams."""


def _folder(value: Path) -> Path:
    if not value.is_dir():
        rule = "must be an existing folder; a relative one begins at the working directory"
        raise ValueError(f"{rule}, {Path.cwd()}")
    return value


class TemplateSettings(SettingsModel):
    path: Annotated[FilePath, AfterValidator(_folder)] | None = None
    """Your templates, relative to the working directory."""


class LogSettings(SettingsModel):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Debug, info, warning or error."""
    format: Literal["text", "json"] = "text"
    """Text or json, on standard error."""


@cache
def people_model(**checks: Callable[[str], str]) -> type[SettingsModel]:
    """An entry of ``[people]``, with the check of each key."""
    fields: dict[str, Any] = {
        key: (Annotated[str, AfterValidator(check)], "") for key, check in checks.items()
    }
    return create_model("PersonAddresses", __base__=SettingsModel, mute=(bool, False), **fields)


class PersonSettings(NamedTuple):
    """``addresses`` are those in the channels, by the keys that the channel types define."""

    addresses: Mapping[str, str]
    mute: bool = False  # no pings, direct messages and mails of their own


def _person(raw: object) -> PersonSettings:
    if isinstance(raw, PersonSettings):
        return raw
    values = dict(people_model(**people_keys()).model_validate(raw))
    mute = values.pop("mute")
    return PersonSettings({key: value for key, value in values.items() if value}, mute)


AnyPerson: TypeAlias = Annotated[PersonSettings, PlainValidator(_person)]
PersonKey = Annotated[
    str,
    StringConstraints(to_lower=True),
    matching(
        rf"{_UUID}|[^@\s<>]+@[^@\s<>]+",
        "must be a person's mail address in Penpot, or the id of their Penpot profile",
    ),
]


def _channel(value: object, info: ValidationInfo) -> ChannelSettings:
    """Read by the settings class of its ``type`` in the registry."""
    if not isinstance(value, dict):
        return ChannelSettings.model_validate(value)
    kind = value.get("type")
    if str(kind) not in CHANNEL_TYPES:
        rule = "is required: one of" if kind is None else "must be one of"
        hint = did_you_mean(str(kind).lower(), CHANNEL_TYPES)
        error = key_error("value", ("type",), kind, f"{rule} {', '.join(CHANNEL_TYPES)}{hint}")
        raise ValidationError.from_exception_data("channel", [error])
    return CHANNEL_TYPES[str(kind)].settings.model_validate(value, context=info.context)


AnyChannel: TypeAlias = Annotated[ChannelSettings, PlainValidator(_channel)]


HookSecret = Annotated[
    Secret,
    matching(
        "[A-Za-z0-9._~-]{16,}",
        "must have at least 16 characters of A-Z a-z 0-9 . _ ~ - (create one with: "
        "python3 -c 'import secrets; print(secrets.token_urlsafe(24))')",
    ),
]


class TeamSettings(SettingsModel):
    secret: Annotated[tuple[Secret, ...], one_or_two(HookSecret)]
    """16 or more of A-Z a-z 0-9 . _ ~ -, or [new, old]"""
    name: Annotated[str, StringConstraints(max_length=250)] = ""
    """The team's name in messages."""
    team_id: Annotated[
        str,
        StringConstraints(to_lower=True),
        matching(_UUID, "must be the UUID of a Penpot team (the team-id in its address)"),
    ] = ""
    """The team's id in Penpot."""
    channels: Annotated[tuple[AnyChannel, ...], AsTuple] = ()
    language: Language = ENGLISH
    """Language of the messages."""
    timezone: TimeZone = ""
    """IANA zone of all times in messages, quiet and schedule."""
    alerts_to: str = ""
    """Channel that gets the alerts."""
    inspector_password: InspectorPassword | None = None
    """Opens the inspector for this team only."""
    max_disk: Size | None = None
    """Share of the disk, beyond which events are refused."""

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        channels = _tables(raw.get("channels"))
        for number, channel in enumerate(channels):
            for key, value, rule in channel_rules(channel):
                yield ("channels", number, *key), value, rule
        alerts_to = raw.get("alerts_to")
        names = [
            str(each["name"]) for each in channels if "name" in each and not each.get("direct")
        ]
        if isinstance(alerts_to, str) and alerts_to and alerts_to not in names:
            known = ", ".join(names) or "there is none"
            rule = f"must be one of the team's channels without direct: {known}"
            yield ("alerts_to",), alerts_to, rule


def _table(value: object) -> Mapping[str, Any]:
    """The keys that a table, or the settings made of one, contain; none for any other value."""
    if isinstance(value, SettingsModel):
        return {key: getattr(value, key) for key in value.model_fields_set}
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [_table(item) for item in value] if isinstance(value, list | tuple) else []


_WITH_TOKEN = {
    "thumbnails": "get the pictures from Penpot",
    "author_as_sender": "get the team's members from Penpot",
}
"""Keys of channels that need ``penpot.access_token``, and why."""


class Config(SettingsModel):
    server: ServerSettings = ServerSettings()
    admin: AdminSettings = AdminSettings()
    store: StoreSettings = StoreSettings()
    penpot: PenpotSettings = PenpotSettings()
    templates: TemplateSettings = TemplateSettings()
    inspector: InspectorSettings = InspectorSettings()
    proxies: ProxySettings = ProxySettings()
    log: LogSettings = LogSettings()
    sync: SyncSettings = SyncSettings()
    people: dict[PersonKey, AnyPerson] = Field(default_factory=dict)
    teams: Annotated[dict[Name, TeamSettings], Field(min_length=1)]

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        yield from _people_rules(_table(raw.get("people")))
        yield from port_rules(_table(raw.get("server")), _table(raw.get("admin")))
        is_writing = _table(raw.get("inspector")).get("write_templates") is True
        if is_writing and _table(raw.get("templates")).get("path") is None:
            rule = "needs templates.path, the folder to write to"
            yield ("inspector", "write_templates"), True, rule
        store = _table(raw.get("store"))
        retention = valid_duration(store.get("retention", StoreSettings().retention))
        has_token = "access_token" in _table(raw.get("penpot"))
        for team, settings in _table(raw.get("teams")).items():
            channels = _tables(_table(settings).get("channels"))
            names = [channel.get("name") for channel in channels]
            for number, channel in enumerate(channels):
                key, name = ("teams", team, "channels", number), names[number]
                if name is not None and name in names[:number]:
                    yield (*key, "name"), name, f"must be unique in teams.{team}"
                if "body" in channel and _table(raw.get("templates")).get("path") is None:
                    yield (*key, "body"), channel["body"], "needs templates.path, its folder"
                for hold, rule in retention_rules(channel, retention):
                    yield (*key, hold), channel[hold], rule
                for option, purpose in _WITH_TOKEN.items():
                    value = channel.get(option)
                    if (value is True or value == "image") and not has_token:
                        yield (*key, option), value, f"needs penpot.access_token, to {purpose}"

    _advice: tuple[str, ...] = PrivateAttr(())

    @property
    def advice(self) -> tuple[str, ...]:
        """About the source of these valid settings."""
        return self._advice

    def with_advice(self, advice: Iterable[str]) -> Self:
        self._advice = tuple(advice)
        return self

    def team_name(self, team: str) -> str:
        """The team's ``name``, else its key. ``DEFAULT_TEAM`` is no key that a person chose."""
        return self.teams[team].name or ("" if team == DEFAULT_TEAM else team)

    def hook_paths(self, team: str) -> list[str]:
        """The paths of a team's hook, the current one first. They contain the secrets: show them to
        the administrator only."""
        return [f"/hooks/{team}/{secret.reveal()}" for secret in self.teams[team].secret]

    @property
    def inspector_access(self) -> Literal["open", "login", "off"]:
        """``open``: to each browser on this machine."""
        passwords = [self.inspector.password]
        passwords += [team.inspector_password for team in self.teams.values()]
        if any(passwords) or self.inspector.trusted_header:
            return "login"
        return "open" if self.admin.is_loopback else "off"

    def describe_inspector(self) -> str:
        """Where the inspector is, or how to turn it on."""
        url = f"{local_url(self.admin)}/inspector"
        match self.inspector_access:
            case "open":
                return f"{url}, without a login, for browsers on this machine"
            case "login":
                return f"{url}, with a login"
        return (
            f'off: admin.host = "{self.admin.host}" needs a login: set inspector.password '
            "or inspector.trusted_header"
        )

    def hook_path(self, team: str) -> str:
        """The path with the current secret."""
        return self.hook_paths(team)[0]

    def alert_queues(self) -> dict[str, list[str]]:
        """By team the queues that may get alerts, the preferred one first: that of ``alerts_to``,
        then those of the channels that are not direct, and of these the ones that people read."""
        queues = {}
        for team, settings in self.teams.items():
            channels = [channel for channel in settings.channels if not channel.is_direct]
            channels.sort(key=lambda channel: CHANNEL_TYPES[channel.type].sends_payloads)
            channels.sort(key=lambda channel: channel.name != settings.alerts_to)
            queues[team] = [f"{team}/{channel.name}" for channel in channels]
        return queues

    @cached_property
    def holds(self) -> dict[str, Hold]:
        """When the queues hold their messages back; without those that never do."""
        return {
            queue: Hold(channel.quiet, channel.schedule, self.zones[queue], channel.urgent)
            for queue, channel in self.queues().items()
            if channel.holds
        }

    @cached_property
    def zones(self) -> dict[str, ZoneInfo]:
        """The time zones of the queues."""
        return {queue: ZoneInfo(locale.timezone) for queue, locale in self.locales.items()}

    @cached_property
    def locales(self) -> dict[str, Locale]:
        """By queue the language and the zone of its messages."""
        return {
            queue: self.locale(queue.partition("/")[0], channel)
            for queue, channel in self.queues().items()
        }

    def locale(self, team: str, channel: AnyChannel) -> Locale:
        """That of a channel, which may be one for previews, of a team that the config may lack."""
        default = DEFAULT_LOCALE
        if settings := self.teams.get(team):
            default = Locale(settings.language, settings.timezone)
        return Locale(channel.language or default.language, channel.timezone or default.zone)

    def shared_channels(self, team: str) -> frozenset[str]:
        """The names of the team's channels to whose places another team posts too."""
        return self._shared_channels.get(team, frozenset())

    @cached_property
    def _shared_channels(self) -> dict[str, frozenset[str]]:
        teams: dict[str, set[str]] = {}
        for queue, channel in self.queues().items():
            for place in channel.places:
                teams.setdefault(place, set()).add(queue.partition("/")[0])
        shared = {place for place, names in teams.items() if len(names) > 1}
        return {
            team: frozenset(one.name for one in settings.channels if one.places & shared)
            for team, settings in self.teams.items()
        }

    def queues(self) -> dict[str, AnyChannel]:
        """All channels of all teams, by the queue's name ``team/channel``."""
        return {
            f"{team}/{channel.name}": channel
            for team, settings in self.teams.items()
            for channel in settings.channels
        }


def _people_rules(people: Mapping[str, Any]) -> Iterator[Rule]:
    owners: dict[tuple[str, str], str] = {}
    for person, addresses in people.items():
        for key, address in _table(addresses).items():
            if isinstance(address, str):
                owner = owners.setdefault((key, address.lower()), person)
                if owner != person:
                    yield ("people", person, key), address, f'already belongs to "{owner}"'


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
