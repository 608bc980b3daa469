"""The value types of the settings. A ``ValueError``'s text is the rule that the user reads."""

import re
import ssl
from datetime import timedelta
from email.policy import default as policy
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, StringConstraints

from relay.config.secret import Secret
from relay.penpot.catalogue import GROUPS
from relay.penpot.selection import matches_any_event

_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _duration(value: object) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhdw])", value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError('must be a number with a unit, such as "45s", "10m", "12h", "30d" or "4w"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _web_address(value: str) -> SplitResult | None:
    """None unless this is an http(s) URL. Never raises: the texts of ``urlsplit``'s errors may
    contain a password."""
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_valid and not re.search(r"[\s\x00-\x1f\x7f-\x9f]", value) else None


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
        raise ValueError("must have a host name without underscore: Penpot can't call such a host")
    return value


def _store_url(value: Secret) -> Secret:
    url = value.reveal()
    if re.fullmatch(r"postgres(ql)?://[^\s]+", url):
        try:
            parts = urlsplit(url)
            is_valid = parts.port != 0 and "@" not in parts.path + parts.query + parts.fragment
        except ValueError:
            is_valid = False
        if not is_valid:
            raise ValueError(
                "must have special characters of the password percent-encoded, such as %2F for /"
            )
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
            "must have at least 16 characters of A-Z a-z 0-9 . _ ~ - "
            "(create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"
        )
    return value


def _token(value: Secret) -> Secret:
    if not re.fullmatch(r"[!-~]+", value.reveal()):  # it goes into an HTTP header
        raise ValueError(
            "must be printable ASCII without spaces: check that it was copied completely"
        )
    return value


def _password(value: Secret) -> Secret:
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", value.reveal()):
        raise ValueError("must be UTF-8 text on one line, without control characters")
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
                "must be a valid argon2 hash: check that it was copied completely, and that no "
                "shell or Compose has removed a $ (Compose needs $$)"
            ) from error
    elif len(text) < 12:
        raise ValueError("must have at least 12 characters, or be an argon2 hash")
    return value


def _proxy_header(value: str) -> str:
    client_headers = "cookie", "host", "origin", "referer", "user-agent", "via", "x-forwarded-for"
    if not re.fullmatch(r"[A-Za-z0-9-]+", value) or value.lower() in client_headers:
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
            'must be the URL of an incoming webhook, "https://hooks.slack.com/services/…", in '
            "ASCII without spaces"
        )
    return value


def _event(entry: str) -> str:
    if not matches_any_event(entry):
        raise ValueError(
            f"matches no event: use a group ({', '.join(GROUPS)}), a name from `relay events` or a "
            'glob; "!" in front excludes'
        )
    return entry


def _address(value: str) -> str:
    header: Any = None if re.search(r"[\r\n]", value) else policy.header_factory("to", value)
    addresses: Any = () if header is None else header.addresses
    for address in addresses:
        if not (address.username + address.domain).isascii():  # needs SMTPUTF8 (RFC 6531)
            raise ValueError(
                'must be in ASCII: write a domain such as "exämple.com" as xn--…; the part before '
                "the @ has no such form"
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
        raise ValueError("must be an existing folder")
    return value


def _authority(value: Path) -> Path:
    try:
        value.open("rb").close()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError as error:
        raise ValueError("must hold certificates in PEM form") from error
    except OSError as error:
        raise ValueError(f"must be a readable file ({error.strerror})") from error
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
PublicUrl = Annotated[str, AfterValidator(_public_url)]
StoreUrl = Annotated[Secret, AfterValidator(_store_url)]
HookSecret = Annotated[Secret, AfterValidator(_hook_secret)]
ProxyHeader = Annotated[str, AfterValidator(_proxy_header)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_tuple)]
MailAddresses = Annotated[tuple[MailAddress, ...], BeforeValidator(_tuple), Field(min_length=1)]
PersonAddress = Annotated[str, AfterValidator(_person_address)]
PersonKey = Annotated[str, AfterValidator(_person_key)]
TeamId = Annotated[str, StringConstraints(pattern=rf"^{_UUID}$", to_lower=True)]
AsTuple = BeforeValidator(_tuple)  # TOML has lists
