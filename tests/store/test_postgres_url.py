"""Parameters of a database's URL: those of libpq, and of poolers."""

from pathlib import Path

import asyncpg
import pytest

from relay.store.postgres_url import SSL_MODES, PostgresUrl
from tests.servers.fixtures import Authority

URL = "postgresql://relay:hunter%2F2@db.example.org:5432/relay"


def test_parameters_of_the_driver_are_kept() -> None:
    url = PostgresUrl.parse(f"{URL}?sslmode=require&options=-c%20jit%3Doff&application_name=a")
    assert url.dsn == f"{URL}?sslmode=require&options=-c%20jit%3Doff&application_name=a"
    assert url.place == "postgresql://db.example.org:5432/relay"
    assert (url.transaction_mode, url.connect_timeout, url.advice) == (False, None, ())
    socket = PostgresUrl.parse("postgresql:///relay?host=/run/pg")
    assert socket.dsn == "postgresql:///relay?host=%2Frun%2Fpg"
    assert PostgresUrl.parse(URL).dsn == URL


@pytest.mark.parametrize(
    "parameter",
    [
        "keepalives=1",
        "keepalives_idle=30",
        "keepalives_interval=5",
        "keepalives_count=3",
        "tcp_user_timeout=9000",
        "client_encoding=utf8",
        "fallback_application_name=x",
        "connection_limit=1",
        "pool_timeout=10",
        "schema=public",
        "sslcompression=0",
        "sslsni=1",
    ],
)
def test_a_parameter_without_effect_is_named(parameter: str) -> None:
    url = PostgresUrl.parse(f"{URL}?{parameter}")
    assert url.dsn == URL
    (advice,) = url.advice
    assert advice.startswith(f"parameter {parameter.partition('=')[0]} has no effect: ")


@pytest.mark.parametrize("name", ["channel_binding", "gssencmode"])
def test_a_feature_that_the_driver_lacks_can_not_be_required(name: str) -> None:
    for value in ("disable", "prefer"):
        assert PostgresUrl.parse(f"{URL}?{name}={value}") == PostgresUrl.parse(URL)
    with pytest.raises(ValueError, match=f"parameter {name}: must be disable or prefer"):
        PostgresUrl.parse(f"{URL}?{name}=require")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("hostaddr=10.0.0.1", "parameter hostaddr is not supported; known: application_name, "),
        ("synchronous_commit=off", "parameter synchronous_commit is not supported"),
        ("require_auth=scram-sha-256", "parameter require_auth is not supported"),
        ("sslmode=on", "parameter sslmode: must be one of disable, allow, prefer, require, ver"),
        ("sslmode=verify-full&sslrootcert=/no/ca.pem", "must be a readable file .No such file"),
        ("sslmode=require&sslrootcert=system", "system needs sslmode=verify-full"),
        ("pgbouncer=yes", "parameter pgbouncer: must be true or false"),
        ("connect_timeout=10s", "parameter connect_timeout: must be a number of seconds"),
        ("pgbouncer=true&target_session_attrs=read-write", "target_session_attrs: the pooler"),
        ("sslmode", 'must have parameters as "name=value"'),
    ],
)
def test_what_can_not_work_is_refused_by_name(query: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        PostgresUrl.parse(f"{URL}?password=hunter3&{query}")
    assert "hunter" not in str(caught.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"hostaddr.*; parameter gssencmode.*; .*sslmode"):
        PostgresUrl.parse(f"{URL}?hostaddr=1&gssencmode=require&sslmode=x")


def test_a_pooler_and_the_first_timeout() -> None:
    assert PostgresUrl.parse(f"{URL}?pgbouncer=true").transaction_mode
    assert not PostgresUrl.parse(f"{URL}?pgbouncer=false").transaction_mode
    for value, seconds in (("10", 10.0), ("0", None), ("-1", None)):
        assert PostgresUrl.parse(f"{URL}?connect_timeout={value}").connect_timeout == seconds


def test_a_plus_sign_is_one_as_in_libpq() -> None:
    assert PostgresUrl.parse("postgresql:///x?password=a+b").dsn.endswith("?password=a%2Bb")


def test_every_spelling_of_a_password_is_known_and_not_shown() -> None:
    url = PostgresUrl.parse(f"{URL}?password=hunter%203&sslpassword=hunter4")
    assert {"hunter%2F2", "hunter/2", "hunter 3", "hunter%203", "hunter4"} == set(url.secrets)
    assert "hunter" not in repr(url)


def test_certificates(authority: Authority, tmp_path: Path) -> None:
    url = PostgresUrl.parse(f"{URL}?sslmode=verify-full&sslrootcert={authority.ca_file}")
    assert url.tls is None
    system = PostgresUrl.parse(f"{URL}?sslmode=verify-full&sslrootcert=system")
    assert system.dsn == URL
    assert system.tls is not None
    assert system.tls.check_hostname
    other = tmp_path / "other.pem"
    other.write_text("x")
    with pytest.raises(ValueError, match="must hold certificates in PEM form"):
        PostgresUrl.parse(f"{URL}?sslmode=verify-ca&sslrootcert={other}")


def test_the_modes_of_tls_are_the_drivers() -> None:
    modes = [mode.name.replace("_", "-") for mode in asyncpg.connect_utils.SSLMode]
    assert list(SSL_MODES) == modes
