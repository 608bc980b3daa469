"""An apprise channel at the stand-in for ntfy, and plugins whose requests are recorded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from relay.channels.apprise import process
from relay.channels.apprise.process import AppriseService
from relay.channels.apprise.settings import AppriseSettings
from relay.config.secret import Secret
from tests.servers.loopback import in_thread
from tests.servers.ntfy import TOKEN, TOPIC, Ntfy

NTFY = AppriseService("ntfy", 7800, 200)
PHONE = AppriseService("Phone", 160, 0)  # of text messages


def address(url: str, schema: str = "ntfy") -> str:
    """apprise's URL for a server at ``url``."""
    host = url.partition("://")[2]
    return f"{schema}{'s' * url.startswith('https')}://{TOKEN}@{host}/{TOPIC}"


def ntfy(url: str, **more: Any) -> AppriseSettings:
    """apprise is not asked what the URL means."""
    process._services.setdefault(address(url), NTFY)
    return AppriseSettings(type="apprise", name="phones", url=Secret(address(url)), **more)


@dataclass
class Place:
    server: Ntfy
    url: str


@contextmanager
def place() -> Iterator[Place]:
    ntfy_server = Ntfy()
    with in_thread(ntfy_server.handle) as server:
        yield Place(ntfy_server, server.url)
