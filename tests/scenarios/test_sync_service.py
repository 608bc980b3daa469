"""The sync in the running service: a resolve is sent in time, and a kill loses nothing."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.penpot.people import People
from tests.penpot.standin import TOKEN, StandIn
from tests.penpot.world import Webhook
from tests.service import Service, wait_until

CHANNEL = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\n'


class Relay(Service):
    """A service whose webhook Penpot has disabled."""

    def __init__(self, folder: Path, penpot: StandIn) -> None:
        asked = f'url = "{penpot.url}"\naccess_token = "{TOKEN}"'
        super().__init__(folder, CHANNEL, penpot=asked)
        self.world = penpot.world
        acme = self.world.by_name("teams", "acme")
        self.webhook = Webhook(
            "b0000000-0000-4000-8000-000000000001", acme, self.hook, is_active=False
        )
        self.webhook.profile, self.webhook.error_code = self.world.me, "connection-error"
        self.world.webhooks[self.webhook.id] = self.webhook

    def people(self) -> People:
        return People(self.world, self.world.by_name("files", "nl"), datetime.now(UTC))

    def has_sent(self, text: str, seconds: float) -> None:
        """Wait until a message with this text is printed and recorded as sent."""
        wait_until(lambda: text in self.output.read_text(), seconds)
        wait_until(lambda: "waiting" not in self.run("log").stdout, 30)


@pytest.fixture
def relay(penpot: StandIn, tmp_path: Path) -> Iterator[Relay]:
    relay = Relay(tmp_path, penpot)
    relay.start()
    yield relay
    relay.kill()


def test_the_running_service_syncs(penpot: StandIn, relay: Relay) -> None:
    wait_until(lambda: "first scan done: " in relay.log.read_text(), 30)
    relay.has_sent("because it could not connect to Relay", 10)
    assert relay.webhook.is_active

    thread, begun = relay.people().begin("The first comment.")
    penpot.sender.deliver(relay.hook, json.dumps(begun).encode())
    relay.has_sent("The first comment.", 10)
    relay.people().resolve(thread)
    resolved = time.monotonic()
    relay.has_sent("✅ Resolved", 30)
    assert time.monotonic() - resolved < 30

    relay.kill()
    relay.people().reply(thread, "Said while Relay was away.")
    relay.start()
    relay.has_sent("Said while Relay was away.", 20)
    relay.kill()
    calls_before = penpot.count("get-unread-comment-threads")
    relay.start()
    wait_until(lambda: penpot.count("get-unread-comment-threads") > calls_before, 20)
    assert relay.output.read_text().count("Said while Relay was away.") == 1
    secret = relay.hook.rpartition("/")[2]
    assert secret not in relay.log.read_text() + relay.output.read_text()
