"""Servers as pytest fixtures."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from relay.channels.slack import settings as slack_settings
from tests.penpot.standin import StandIn
from tests.servers.loopback import in_thread
from tests.servers.pgbouncer import pgbouncer
from tests.servers.postgres import Postgres
from tests.servers.slack import WEBHOOK_PATH, Slack
from tests.servers.smtp import MailServer
from tests.servers.synapse import Synapse


@dataclass
class RunningSlack:
    """The Slack stand-in and its URL."""

    slack: Slack
    url: str

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"

    @property
    def webhook_url(self) -> str:
        return f"{self.url}{WEBHOOK_PATH}"


@pytest.fixture
def slack_server() -> Iterator[RunningSlack]:
    slack = Slack()
    with in_thread(slack.handle) as server:
        yield RunningSlack(slack, server.url)


@pytest.fixture
def loopback_is_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host of the stand-in counts as Slack's own, whose webhooks answer with error codes."""
    monkeypatch.setattr(slack_settings, "WEBHOOK_HOSTS", {"127.0.0.1"})


@pytest.fixture
def penpot() -> Iterator[StandIn]:
    with StandIn() as penpot:
        yield penpot


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """One database server per test session."""
    with Postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="session")
def transaction_pooler(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], str]]:
    """The URL of a database through one PgBouncer in transaction mode, as Relay's config has it."""
    folder = tmp_path_factory.mktemp("pgbouncer")
    with pgbouncer(postgres, folder, "transaction") as pooled:
        yield lambda url: f"{pooled(url)}?pgbouncer=true&connect_timeout=30"


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """One homeserver per test session, with high rate limits."""
    with Synapse(tmp_path_factory.mktemp("synapse")) as running:
        yield running


@dataclass
class Authority:
    ca: trustme.CA
    ca_file: Path

    def certificate(self, not_after: datetime | None = None) -> ssl.SSLContext:
        """A server's TLS context for 127.0.0.1 and localhost."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issued = self.ca.issue_cert("127.0.0.1", "localhost", not_after=not_after)
        issued.configure_cert(context)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that the system does not trust."""
    ca = trustme.CA()
    ca_file = tmp_path_factory.mktemp("authority") / "ca.pem"
    ca.cert_pem.write_to_path(ca_file)
    return Authority(ca, ca_file)


@pytest.fixture
def mail_server(authority: Authority) -> Iterator[Callable[..., MailServer]]:
    """Starts mail servers: ``mail_server(tls="starttls", auth=True)``."""
    with ExitStack() as running:

        def start(**options: Any) -> MailServer:
            if options.get("tls", "none") != "none":
                options["certificate"] = authority.certificate()
            return running.enter_context(MailServer(**options))

        yield start
