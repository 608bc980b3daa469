"""The settings of the two listeners, of the inspector and of reverse proxies."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, ByteSize, StringConstraints

from relay.config.types import (
    AsTuple,
    HttpUrl,
    Password,
    Port,
    Rule,
    SettingsModel,
    Size,
    host_name,
    matching,
    secret_rule,
)


def _public_url(value: str) -> str:
    if "_" in (urlsplit(value).hostname or ""):
        raise ValueError("must have a host name without underscore: Penpot can't call such a host")
    return value


ListenHost = Annotated[str, AfterValidator(lambda value: value and host_name(value))]
"""Empty: all addresses."""


class ServerSettings(SettingsModel):
    host: ListenHost = "0.0.0.0"  # noqa: S104 - Penpot calls from another container
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on."""
    public_url: Annotated[HttpUrl, AfterValidator(_public_url)] = ""
    """Where Penpot reaches Relay; no underscore in the host name."""
    max_body: Size = ByteSize(16 * 1024 * 1024)
    """Largest body that the hook accepts."""

    @property
    def shown_url(self) -> str:
        return self.public_url or f"http://localhost:{self.port}"


class AdminSettings(SettingsModel):
    host: ListenHost = "127.0.0.1"
    """Address to listen on for inspector, metrics and readiness."""
    port: Port = 8081
    """Port of the second listener; never public."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches the listener."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


_LOCAL_ADDRESSES = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
"""By a host that means all addresses: where a client on this machine connects to."""


def local_url(listener: ServerSettings | AdminSettings) -> str:
    """Where a client on this machine reaches the listener."""
    host = _LOCAL_ADDRESSES.get(listener.host, listener.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.port}"


def port_rules(server: Mapping[str, Any], admin: Mapping[str, Any]) -> Iterator[Rule]:
    (hook_host, hook_port), (host, port) = (
        [table.get(key, model.model_fields[key].default) for key in ("host", "port")]
        for table, model in ((server, ServerSettings), (admin, AdminSettings))
    )
    all_addresses = tuple(_LOCAL_ADDRESSES)  # not the dict: a raw value may be a list
    if port == hook_port and (
        host == hook_host or host in all_addresses or hook_host in all_addresses
    ):
        yield ("admin", "port"), port, "must differ from server.port: each listener needs a port"


def _inspector_password(text: str) -> None:
    if text.startswith("$argon2"):
        from argon2 import extract_parameters
        from argon2.exceptions import InvalidHashError

        try:
            extract_parameters(text)
        except InvalidHashError as error:
            raise ValueError(
                "must be a valid argon2 hash: check that it was copied completely, and that no "
                "shell or Compose has removed a $ (Compose needs $$)"
            ) from error
    elif len(text) < 12:
        raise ValueError("must have at least 12 characters, or be an argon2 hash")


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError as error:
        raise ValueError(
            'must be an address or a network, such as "10.0.0.5" or "10.1.0.0/16"'
        ) from error


InspectorPassword = Annotated[Password, secret_rule(_inspector_password)]
ProxyHeader = Annotated[
    str,
    StringConstraints(to_lower=True),
    matching(
        r"(?!(cookie|host|origin|referer|user-agent|via|x-forwarded-for)$)[a-z0-9-]+",
        'must be the name of a header that only the reverse proxy sets, such as "Remote-User"',
    ),
]


class InspectorSettings(SettingsModel):
    password: InspectorPassword | None = None
    """12 characters or more, or an argon2 hash."""
    trusted_header: ProxyHeader = ""
    """Header in which a proxy with single sign-on names the user."""
    write_templates: bool = False
    """Whether the browser may save into templates.path."""


class ProxySettings(SettingsModel):
    trusted: Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], AsTuple] = (
        "127.0.0.0/8",
        "::1/128",
    )
    """Networks of reverse proxies whose headers count."""

    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(map(ip_network, self.trusted))
