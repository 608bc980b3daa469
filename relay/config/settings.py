"""The settings models: each table and key of ``relay.toml``.

``types.py`` has the types of the values; the settings of a kind of channel are in its folder.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ByteSize,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    StringConstraints,
    ValidationInfo,
    create_model,
    model_validator,
)

from relay.channels import CHANNEL_TYPES, people_keys
from relay.channels.base import ChannelSettings
from relay.config.secret import Secret
from relay.config.types import (
    AsTuple,
    Duration,
    FolderPath,
    HookSecret,
    HttpUrl,
    InspectorPassword,
    Name,
    Networks,
    PersonKey,
    Port,
    ProxyHeader,
    PublicUrl,
    Rule,
    SettingsModel,
    Size,
    StoreUrl,
    TeamId,
    Token,
    invalid,
)
from relay.penpot.catalogue import GROUPS
from relay.penpot.selection import matches_any_event

DEFAULT_TEAM = "default"
"""The key of the team when environment variables replace the config file."""


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

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        if "trusted_proxies" in raw and "trusted_header" not in raw:
            yield ("trusted_header",), None, "is required with trusted_proxies"


class LogSettings(SettingsModel):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


def _channel(value: object, info: ValidationInfo) -> ChannelSettings:
    """Read by the settings class of its ``type`` in the registry."""
    if isinstance(value, ChannelSettings) or not isinstance(value, dict):
        return ChannelSettings.model_validate(value)
    if "type" not in value:
        raise invalid(("type",), None, f"is required: one of {', '.join(CHANNEL_TYPES)}")
    kind = value["type"]
    if not isinstance(kind, str) or kind not in CHANNEL_TYPES:
        raise invalid(("type",), kind, f"must be one of {', '.join(CHANNEL_TYPES)}")
    return CHANNEL_TYPES[kind].settings.model_validate(value, context=info.context)


AnyChannel: TypeAlias = Annotated[ChannelSettings, PlainValidator(_channel)]


class SyncSettings(SettingsModel):
    """``[sync]``: what Relay polls Penpot for, with ``penpot.access_token``."""

    enabled: bool = True
    webhooks_every: Duration = timedelta(minutes=5)
    comments_every: Duration = timedelta(minutes=15)
    calls_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 300


class PersonSettings(SettingsModel):
    """One entry of ``[people]``: a Penpot user's addresses in the channels, by the keys that the
    channel types define."""

    addresses: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="wrap")
    @classmethod
    def _of_keys(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The addresses are the keys of the table itself."""
        if not isinstance(raw, dict):
            return handler(raw)
        addresses = people_model().model_validate(raw)
        return handler({"addresses": {key: value for key, value in addresses if value}})


def people_model() -> type[SettingsModel]:
    """The keys of an entry of ``[people]``, by the registered channel types."""
    return _people_model(tuple(people_keys().items()))


@cache
def _people_model(keys: tuple[tuple[str, Callable[[str], str]], ...]) -> type[SettingsModel]:
    fields: dict[str, Any] = {
        key: (Annotated[str, AfterValidator(check)], "") for key, check in keys
    }
    return create_model("PersonAddresses", __base__=SettingsModel, **fields)


class TeamSettings(SettingsModel):
    secret: HookSecret
    name: Annotated[str, StringConstraints(max_length=250)] = ""
    team_id: TeamId = ""
    channels: Annotated[tuple[AnyChannel, ...], AsTuple] = ()
    alerts_to: str = ""
    inspector_password: InspectorPassword | None = None

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        channels = _tables(raw.get("channels"))
        for number, channel in channels:
            for key, value, rule in _channel_rules(channel):
                yield ("channels", number, *key), value, rule
        alerts_to = raw.get("alerts_to")
        names = [str(channel.get("name")) for _, channel in channels if not channel.get("direct")]
        if isinstance(alerts_to, str) and alerts_to and alerts_to not in names:
            known = ", ".join(names) or "there is none"
            rule = f"must be one of the team's channels without direct: {known}"
            yield ("alerts_to",), alerts_to, rule


def _channel_rules(raw: Mapping[str, Any]) -> Iterator[Rule]:
    """The rules about one channel that need the registry or the catalogue of events."""
    events = raw.get("events")
    for number, entry in enumerate(events if isinstance(events, list | tuple) else ()):
        if isinstance(entry, str) and not matches_any_event(entry):
            rule = (
                f"matches no event: use a group ({', '.join(GROUPS)}), a name from `relay events` "
                'or a glob; "!" in front excludes'
            )
            yield ("events", number), entry, rule
    kind = CHANNEL_TYPES.get(str(raw.get("type")))
    if raw.get("edits") == "in-place" and kind is not None:
        if not kind.settings.edits_in_place(raw):
            editors = " and for ".join(
                kind.editor for kind in CHANNEL_TYPES.values() if kind.editor
            )
            yield ("edits",), "in-place", f'works only for {editors}: use "messages" or "none"'
        elif raw.get("direct"):
            rule = 'does not work with direct: use "messages" or "none"'
            yield ("edits",), "in-place", rule


def _tables(items: object) -> list[tuple[int, Mapping[str, Any]]]:
    """The tables of a raw list, with their positions."""
    listed = enumerate(items if isinstance(items, list | tuple) else ())
    tables = (
        (number, item.model_dump(exclude_unset=True) if isinstance(item, ChannelSettings) else item)
        for number, item in listed
    )
    return [(number, table) for number, table in tables if isinstance(table, dict)]


class Config(SettingsModel):
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    penpot: PenpotSettings = PenpotSettings()
    templates: TemplateSettings = TemplateSettings()
    inspector: InspectorSettings = InspectorSettings()
    log: LogSettings = LogSettings()
    sync: SyncSettings = SyncSettings()
    people: dict[PersonKey, PersonSettings] = Field(default_factory=dict)
    teams: Annotated[dict[Name, TeamSettings], Field(min_length=1)]

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        yield from _people_rules(_items(raw.get("people")))
        inspector, folder = _items(raw.get("inspector")), _items(raw.get("templates")).get("path")
        if inspector.get("write_templates") is True and folder is None:
            rule = "needs templates.path, the folder to write to"
            yield ("inspector", "write_templates"), True, rule
        has_token = "access_token" in _items(raw.get("penpot"))
        for team, settings in _items(raw.get("teams")).items():
            names: set[str] = set()
            for number, channel in _tables(_items(settings).get("channels")):
                name = channel.get("name")
                if isinstance(name, str) and name in names:
                    key = "teams", team, "channels", number, "name"
                    yield key, name, f"must be unique in teams.{team}"
                names.add(str(name))
                if channel.get("thumbnails") is True and not has_token:
                    rule = "needs penpot.access_token, to get the pictures from Penpot"
                    yield ("teams", team, "channels", number, "thumbnails"), True, rule

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


def _items(table: object) -> Mapping[str, Any]:
    """A raw table; empty for any other type."""
    return table if isinstance(table, dict) else {}


def _people_rules(people: Mapping[str, Any]) -> Iterator[Rule]:
    owners: dict[tuple[str, str], str] = {}
    for person, addresses in people.items():
        for key, address in _items(addresses).items():
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
