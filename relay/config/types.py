"""The base class of the settings, and the types of values that several of them share. A
``ValueError``'s text is the rule that the user reads."""

import difflib
import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
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
    PlainValidator,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails

from relay.config.secret import UNREAD, Secret, broken, copying_error

MAX_SECRETS = 2  # of one key: the current one, and the old one while it is changed
_BYTES = TypeAdapter[ByteSize](Annotated[ByteSize, Field(gt=0)])
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

Rule: TypeAlias = tuple[tuple[int | str, ...], object, str]
"""A broken rule: path of the key, value (None: not shown), and the rule's text."""


class SettingsModel(BaseModel):
    """A table of the config.

    Unknown keys and rules about several keys are reported together with the errors of single keys:
    pydantic skips an after-validator when a field fails, so ``rules`` gets the values before their
    validation. A key's docstring is its comment in ``deploy/relay.toml``.
    """

    model_config = ConfigDict(frozen=True, strict=True, use_attribute_docstrings=True)

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        """The broken rules of this class; ``raw`` may have values of any type."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _with_rules(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        errors: list[InitErrorDetails] = []
        try:
            settings = handler(raw)
        except ValidationError as error:
            errors += map(_repeated, error.errors(include_url=False))
        if isinstance(raw, dict):
            known = cls.model_fields
            errors += [_unknown_key(key, known) for key in raw if key not in known]
            errors += [key_error("rule", *rule) for rule in cls.rules(raw)]
        if errors:
            raise ValidationError.from_exception_data(cls.__name__, errors)
        return settings


def excluded_keys(raw: Mapping[str, Any], excluded: Mapping[str, str]) -> Iterator[Rule]:
    """``excluded`` has the rule of each key that may not be set beside another one."""
    for key, rule in excluded.items():
        if raw.get(key):
            yield (key,), raw[key], rule


@dataclass(frozen=True, slots=True)
class Ask:
    """In a key's annotation: how ``relay init`` asks for it. It asks for a required key without
    one, too, by its docstring."""

    text: str
    """What is asked for: "Access token"."""
    hint: str = ""
    """Its form, or where a person finds it."""
    way: str = ""
    """Which one of several ways to reach a service needs the key, in words; empty: each of them."""
    is_optional: bool = False
    after: str = ""
    """A key of the same table without which this one is not asked for."""
    create: Callable[[], str] | None = None
    """Makes a value for a person who has none."""


def key_error(kind: str, path: tuple[int | str, ...], value: object, rule: str) -> InitErrorDetails:
    return InitErrorDetails(type=broken(kind, rule), loc=path, input=value)


def _unknown_key(key: str, known: Iterable[str]) -> InitErrorDetails:
    """Without the value: the key may be the misspelled one of a secret."""
    hint = did_you_mean(key, known) or f"; known: {', '.join(sorted(known))}"
    return key_error("unknown", (key,), None, f"unknown key{hint}")


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """To be appended to an error's text; empty where nothing is similar."""
    close = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _repeated(details: ErrorDetails) -> InitErrorDetails:
    """The same error, to be raised again with others."""
    kind, context = details["type"], details.get("ctx", {})
    error = broken(kind, context["rule"]) if "rule" in context else kind
    return InitErrorDetails(type=error, loc=details["loc"], input=details["input"], ctx=context)


def secret_rule(check: Callable[[str], None]) -> AfterValidator:
    """``check`` raises ``ValueError`` for an invalid secret."""

    def validate(secret: Secret) -> Secret:
        if secret is not UNREAD:
            try:
                check(secret.reveal())
            except ValueError as error:
                raise broken("secret", str(error)) from error
        return secret

    return AfterValidator(validate)


def matching(pattern: str, rule: str) -> AfterValidator:
    """A text, or a secret, that matches the whole pattern."""

    def validate(value: str | Secret) -> str | Secret:
        is_secret = isinstance(value, Secret)
        text = value.reveal() if isinstance(value, Secret) else value
        if value is not UNREAD and not re.fullmatch(pattern, text):
            raise broken("secret" if is_secret else "value", rule)
        if not is_secret and (copied := copying_error(text)):
            raise broken("value", copied)
        return value

    return AfterValidator(validate)


def one_or_two(secret: Any) -> PlainValidator:
    """Of a key that takes one secret, or two while it is changed; ``secret`` is the type of each.
    The value is a tuple, the new one first."""
    one = TypeAdapter[Secret](secret)
    several = TypeAdapter[tuple[Secret, ...]](Annotated[tuple[secret, ...], AsTuple])

    def validate(value: object, info: ValidationInfo) -> tuple[Secret, ...]:
        if not isinstance(value, list | tuple):
            return (one.validate_python(value, context=info.context),)
        if not 1 <= len(value) <= MAX_SECRETS:
            rule = (
                'must be one secret, or two while it is changed: [{ env = "NEW" }, { env = "OLD" }]'
            )
            raise broken("secret", rule)
        secrets = several.validate_python(value, context=info.context)
        if UNREAD not in secrets and len(set(secrets)) < len(secrets):
            raise broken("secret", "must be two different secrets: the new one, and the old one")
        return secrets

    return PlainValidator(validate)


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):  # a default
        return value
    match = re.fullmatch(r"(\d{1,6})([smhdw])", value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError('must be a number with a unit, such as "45s", "10m", "12h", "30d" or "4w"')
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def valid_duration(value: object) -> timedelta | None:
    """None for what is no duration, which is reported with its key."""
    try:
        return _duration(value)
    except ValueError:
        return None


def web_address(value: str) -> SplitResult | None:
    """None unless this is an http(s) URL. Never raises: the texts of ``urlsplit``'s errors may
    contain a password."""
    try:
        parts = urlsplit(value)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_valid and not re.search(r"[\s\x00-\x1f\x7f-\x9f]", value) else None


def ascii_address(value: str) -> SplitResult | None:
    """As ``web_address``, and also None for what is not printable ASCII without spaces."""
    return web_address(value) if re.fullmatch("[!-~]+", value) else None


def host_and_port(url: str) -> str:
    """Of a valid web address, for a text: ``example.com:443``."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is None:
        host = f"{host.rstrip(':')}:{80 if parts.scheme == 'http' else 443}"
    return host


def http_url(value: str) -> str:
    parts = web_address(value)
    if parts is None:
        raise ValueError('must be a web address such as "https://design.example.com"')
    if copied := copying_error(value):
        raise ValueError(copied)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be a plain web address, without user, query or #fragment")
    return re.sub("(?<!:)//+", "/", value).rstrip("/")


def _size(value: object) -> int:
    try:
        return _BYTES.validate_python(None if isinstance(value, bool) else value)
    except ValidationError:  # pydantic-core can't raise it again with others
        rule = 'must be a number of bytes, or a size such as "500KB", "16MiB" or "20GB"'
        raise ValueError(rule) from None


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be a path")
    return Path(value)


def _authority(value: Path) -> Path:
    try:
        value.open("rb").close()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value)
    except ssl.SSLError as error:
        raise ValueError("must hold certificates in PEM form") from error
    except OSError as error:
        raise ValueError(f"must be a readable file ({error.strerror})") from error
    return value


def host_name(value: str) -> str:
    """Raises ``ValueError`` for anything but a host's name or IP address alone."""
    try:
        ip_address(value)  # IPv6 has colons
    except ValueError:
        if not re.fullmatch(r"[\w.-]*\w[\w.-]*", value):
            raise ValueError(
                'must be a host\'s name or IP address alone, such as "relay.example.com" or "::1"; '
                "a port has a key of its own"
            ) from None
    return value


AsTuple = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)
"""TOML has lists."""
Texts = Annotated[tuple[str, ...], AsTuple]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[ByteSize, BeforeValidator(_size)]
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, AfterValidator(host_name)]
HttpUrl = Annotated[str, AfterValidator(http_url)]
FilePath = Annotated[Path, BeforeValidator(_path)]
CaFile = Annotated[FilePath, AfterValidator(_authority)]
Token = Annotated[
    Secret,
    matching(  # it goes into an HTTP header
        "[!-~]+", "must be printable ASCII without spaces: check that it was copied completely"
    ),
]
Password = Annotated[
    Secret,
    matching(
        r"[^\x00-\x1f\x7f\ud800-\udfff]*",
        "must be UTF-8 text on one line, without control characters",
    ),
]
Name = Annotated[
    str,
    StringConstraints(max_length=60),
    matching(
        "[A-Za-z0-9][A-Za-z0-9._-]*",
        "must be letters, digits, dot, dash and underscore, beginning with a letter or digit",
    ),
]
