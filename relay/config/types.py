"""The base class of the settings, and the types of their values. A ``ValueError``'s text is the
rule that the user reads."""

import difflib
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from relay.config.secret import Secret

_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


Rule: TypeAlias = tuple[tuple[int | str, ...], object, str]
"""A broken rule: path of the key, value (None: not shown), and the rule's text."""


class SettingsModel(BaseModel):
    """A table of the config.

    Rules about several keys are reported together with the errors of single keys: pydantic skips
    an after-validator when a field fails, so ``rules`` gets the values before their validation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        """The broken rules of this class; ``raw`` may have values of any type."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _with_rules(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        errors: list[InitErrorDetails] = []
        settings = None
        try:
            settings = handler(raw)
        except ValidationError as error:
            errors += [cls._own_error(details) for details in error.errors(include_url=False)]
        if isinstance(raw, dict):
            errors += [_custom_error("rule", *rule) for rule in cls.rules(raw)]
        if settings is None or errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return settings

    @classmethod
    def _own_error(cls, details: ErrorDetails) -> InitErrorDetails:
        kind, path, context = details["type"], details["loc"], details.get("ctx", {})
        if kind == "extra_forbidden" and len(path) == 1:
            return _custom_error("unknown", path, None, unknown_key(path[0], cls.model_fields))
        if kind in CUSTOM_ERRORS:
            value = None if kind == "unread" else details["input"]
            value = Secret("") if kind == "secret" else value
            return _custom_error(kind, path, value, context["rule"])
        return InitErrorDetails(type=kind, loc=path, input=details["input"], ctx=dict(context))


CUSTOM_ERRORS = frozenset({"rule", "secret", "unknown", "unread", "value"})
"""Our own types of errors: a rule about several keys, an invalid secret (whose value is not shown),
an unknown key, a secret that can't be read, and an invalid value."""


def _custom_error(
    kind: str, path: tuple[int | str, ...], value: object, rule: str
) -> InitErrorDetails:
    error = PydanticCustomError(kind, "{rule}", {"rule": rule})
    return InitErrorDetails(type=error, loc=path, input=value)


def invalid(path: tuple[int | str, ...], value: object, rule: str) -> ValidationError:
    """The error of a validator that reads a table itself."""
    return ValidationError.from_exception_data("", [_custom_error("value", path, value, rule)])


def unknown_key(key: object, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(str(key), names, n=1)
    return (
        f"unknown key; did you mean {close[0]}?"
        if close
        else (f"unknown key; known: {', '.join(names)}")
    )


def secret_rule(check: Callable[[str], None]) -> AfterValidator:
    """``check`` raises ``ValueError`` for an invalid secret."""

    def validate(secret: Secret) -> Secret:
        if secret.is_read:
            try:
                check(secret.reveal())
            except ValueError as error:
                raise PydanticCustomError("secret", "{rule}", {"rule": str(error)}) from error
        return secret

    return AfterValidator(validate)


def matching(pattern: str, rule: str) -> AfterValidator:
    """Text that matches the whole pattern."""

    def validate(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(rule)
        return value

    return AfterValidator(validate)


def _duration(value: object) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhdw])", value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError('must be a number with a unit, such as "45s", "10m", "12h", "30d" or "4w"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def web_address(value: str) -> SplitResult | None:
    """None unless this is an http(s) URL. Never raises: the texts of ``urlsplit``'s errors may
    contain a password."""
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_valid and not re.search(r"[\s\x00-\x1f\x7f-\x9f]", value) else None


def _http_url(value: str) -> str:
    parts = web_address(value)
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
    elif not url.startswith("sqlite:///") or url == "sqlite:///":
        raise ValueError(
            'must be "sqlite:///relative/path.db", "sqlite:////absolute/path.db", '
            'or "postgresql://user:password@host/database"'
        )
    return value


def _hook_secret(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{16,}", text):
        raise ValueError(
            "must have at least 16 characters of A-Z a-z 0-9 . _ ~ - "
            "(create one with: python3 -c 'import secrets; print(secrets.token_urlsafe(24))')"
        )


def _token(text: str) -> None:
    if not re.fullmatch(r"[!-~]+", text):  # it goes into an HTTP header
        raise ValueError(
            "must be printable ASCII without spaces: check that it was copied completely"
        )


def _password(text: str) -> None:
    if re.search(r"[\x00-\x1f\x7f\ud800-\udfff]", text):
        raise ValueError("must be UTF-8 text on one line, without control characters")


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


Duration = Annotated[timedelta, BeforeValidator(_duration)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
FolderPath = Annotated[Path, AfterValidator(_folder), BeforeValidator(_path)]
CaFile = Annotated[Path, AfterValidator(_authority), BeforeValidator(_path)]
Token = Annotated[Secret, secret_rule(_token)]
Password = Annotated[Secret, secret_rule(_password)]
InspectorPassword = Annotated[Password, secret_rule(_inspector_password)]
Name = Annotated[
    str,
    StringConstraints(max_length=60),
    matching(
        "[A-Za-z0-9][A-Za-z0-9._-]*",
        "must be letters, digits, dot, dash and underscore, beginning with a letter or digit",
    ),
]
Texts = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
Size = Annotated[ByteSize, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
StoreUrl = Annotated[Secret, BeforeValidator(Secret.resolve), AfterValidator(_store_url)]
HookSecret = Annotated[Secret, secret_rule(_hook_secret)]
ProxyHeader = Annotated[str, AfterValidator(_proxy_header)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_tuple)]
PersonKey = Annotated[str, AfterValidator(_person_key)]
TeamId = Annotated[
    str,
    StringConstraints(to_lower=True),
    matching(_UUID, "must be the UUID of a Penpot team (the team-id in its address)"),
]
AsTuple = BeforeValidator(_tuple)  # TOML has lists
