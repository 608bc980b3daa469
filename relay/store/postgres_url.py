"""The URL of a PostgreSQL database: libpq's parameters, and those of connection poolers.

libpq's: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS.
``pgbouncer`` and those beside it are Prisma's:
https://www.prisma.io/docs/orm/overview/databases/postgresql#arguments.
"""

import re
import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_DRIVER_PARAMETERS = frozenset(
    (
        *("host", "port", "dbname", "database", "user", "password", "passfile", "service"),
        *("application_name", "options", "target_session_attrs", "krbsrvname", "gsslib"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword"),
        *("sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version"),
    )
)
"""What asyncpg reads itself; it sends any other parameter to the server, as a setting of it."""
_UNUSED_PARAMETERS = {
    **dict.fromkeys(
        (
            "keepalives",
            "keepalives_idle",
            "keepalives_interval",
            "keepalives_count",
            "tcp_user_timeout",
        ),
        "each of Relay's statements has a time limit, which detects a dead connection",
    ),
    "client_encoding": "Relay always uses UTF-8",
    "connection_limit": "a replica uses up to 11 connections",
    "fallback_application_name": "use application_name",
    "pool_timeout": "Relay waits 2.5 s for a connection",
    "schema": "Relay uses the schema relay",
    "sslcompression": "Relay never compresses TLS",
    "sslsni": "Relay always sends the server's name",
}
"""Parameters without effect, each with the reason: leaving them out changes nothing that a user
relies on."""
_MISSING_FEATURES = {"channel_binding": "channel binding", "gssencmode": "GSSAPI encryption"}
"""Features that Relay's driver does not have: ``require`` is refused."""
_SECRET_PARAMETERS = ("password", "sslpassword")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A URL as the driver needs it."""

    dsn: str = field(repr=False)
    """With the parameters that the driver knows."""
    place: str
    """The address without user, password and parameters, for texts."""
    transaction_mode: bool = False
    """``pgbouncer=true``: a pooler gives each transaction another connection of the server."""
    connect_timeout: float | None = None
    """Seconds that the first connection may take; None if the URL does not say."""
    tls: ssl.SSLContext | None = None
    """For ``sslrootcert=system``, which the driver does not know."""
    advice: tuple[str, ...] = ()
    """About each parameter that has no effect."""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, url: str) -> "PostgresUrl":
        """Raises ``ValueError`` with the rules that parameters break; it contains no value of a
        secret parameter."""
        parts = urlsplit(url)
        given = _query(parts.query)
        problems: list[str] = []
        advice: list[str] = []
        kept: dict[str, str] = {}
        for name, value in given.items():
            if name in _DRIVER_PARAMETERS:
                kept[name] = value
            elif name in _UNUSED_PARAMETERS:
                advice.append(f"parameter {name} has no effect: {_UNUSED_PARAMETERS[name]}")
            elif (rule := _rule(name, value)) is not None:
                problems.append(rule)
        transaction_mode = given.get("pgbouncer") == "true"
        if transaction_mode and given.get("target_session_attrs", "any") != "any":
            problems.append("parameter target_session_attrs: the pooler decides it")
        tls = _tls(kept, problems)
        if problems:
            raise ValueError("; ".join(problems))
        seconds = int(given.get("connect_timeout") or 0)
        query = f"?{urlencode(kept, quote_via=quote)}" if kept else ""
        return cls(
            f"{parts.scheme}://{parts.netloc}{parts.path}{query}",
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}",
            transaction_mode,
            float(seconds) if seconds > 0 else None,
            tls,
            tuple(advice),
            _secrets(parts, given),
        )


def _query(text: str) -> dict[str, str]:
    """The parameters, decoded as libpq does: a plus sign is a plus sign."""
    fields = [part.partition("=") for part in text.split("&") if part]
    if not all(name and equals for name, equals, _ in fields):
        raise ValueError('must have parameters as "name=value", separated by "&", after the "?"')
    return {unquote(name): unquote(value) for name, _, value in fields}


def _rule(name: str, value: str) -> str | None:
    """The rule that a parameter breaks of which Relay, not the driver, knows the meaning."""
    if name == "pgbouncer":
        return None if value in ("true", "false") else "parameter pgbouncer: must be true or false"
    if name == "connect_timeout":
        is_number = re.fullmatch(r"-?\d{1,6}", value, re.ASCII)
        return None if is_number else "parameter connect_timeout: must be a number of seconds"
    if name in _MISSING_FEATURES:
        if value in ("disable", "prefer"):
            return None
        return (
            f"parameter {name}: must be disable or prefer, since Relay has no "
            f"{_MISSING_FEATURES[name]}; sslmode=verify-full protects the connection"
        )
    known = sorted(
        {"pgbouncer", "connect_timeout", *_DRIVER_PARAMETERS, *_MISSING_FEATURES}
        - {"database", "dbname", "host", "port"}
    )
    return f"parameter {name} is not supported; known: {', '.join(known)}"


def _tls(parameters: dict[str, str], problems: list[str]) -> ssl.SSLContext | None:
    """Check the parameters about TLS; takes ``sslmode`` and ``sslrootcert`` out where the result
    replaces them."""
    mode, root = parameters.get("sslmode"), parameters.get("sslrootcert")
    if mode is not None and mode not in SSL_MODES:
        problems.append(f"parameter sslmode: must be one of {', '.join(SSL_MODES)}")
    if root == "system":
        if mode != "verify-full":
            problems.append("parameter sslrootcert: system needs sslmode=verify-full")
        del parameters["sslrootcert"]
        parameters.pop("sslmode", None)
        return ssl.create_default_context()
    if root:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(root)
        except ssl.SSLError:
            problems.append("parameter sslrootcert: must hold certificates in PEM form")
        except OSError as error:
            problems.append(f"parameter sslrootcert: must be a readable file ({error.strerror})")
    return None


def _secrets(parts: SplitResult, given: dict[str, str]) -> tuple[str, ...]:
    """Every spelling of the passwords, the longest first."""
    raw = parts.netloc.rpartition("@")[0].partition(":")[2]
    spellings = {raw, unquote(raw)}
    for name in _SECRET_PARAMETERS:
        value = given.get(name, "")
        spellings |= {value, quote(value)}
    return tuple(sorted(filter(None, spellings), key=len, reverse=True))
