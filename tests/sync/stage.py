"""A stage for tests of the sync: a stand-in Penpot, a store, a clock that is set by hand."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from relay.channels.stdout import StdoutSettings
from relay.config.secret import Secret
from relay.config.settings import (
    Config,
    PenpotSettings,
    ServerSettings,
    StoreSettings,
    SyncSettings,
    TeamSettings,
)
from relay.delivery.alerts import Alerts
from relay.delivery.directory import TeamDirectory
from relay.delivery.notices import NoticeRenderer
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.client import RpcResponse
from relay.penpot.text import deduplication_key
from relay.store.base import Store
from relay.store.records import NewEvent
from relay.store.sqlite import SqliteStore
from relay.sync.sync import PenpotSync
from tests.penpot.people import Body, People
from tests.penpot.standin import TOKEN, StandIn
from tests.penpot.world import Webhook

SECRET = "a-secret-of-24-characters"
PUBLIC = "https://relay.example.com"
NOON = 1_785_000_000.0
"""In July 2026, after all times in the stand-in's world."""
LOG = StdoutSettings(type="stdout", name="log")


class Direct(PenpotClient):
    """The real client, on the stand-in's functions instead of a server."""

    def __init__(self, penpot: StandIn, token: str) -> None:
        super().__init__(penpot.url, token)
        self._penpot = penpot
        self.is_down = False

    async def _fetch(
        self, verb: str, path: str, params: Mapping[str, Any] | None = None
    ) -> RpcResponse:
        if self.is_down:
            raise httpx.ConnectError("away")
        status, value = self._penpot.direct(path.rpartition("/")[2], dict(params or {}))
        body = b"" if status == 204 else json.dumps(value).encode()
        return RpcResponse(status, {"content-type": "application/json"}, body)


class Clock:
    """A clock set by the test."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def settings(url: str, folder: Path, /, **more: Any) -> Config:
    """A config of one team; ``more`` replaces its tables."""
    team = TeamSettings(secret=Secret(SECRET), channels=(LOG,))
    tables: dict[str, Any] = {
        "server": ServerSettings(public_url=PUBLIC),
        "store": StoreSettings(url=Secret(f"sqlite:///{folder}/relay.db")),
        "penpot": more.get("penpot") or PenpotSettings(url=url, access_token=Secret(TOKEN)),
        "sync": SyncSettings(),
        "teams": {"acme": team},
    }
    return Config(**(tables | more))


class Stage:
    """A sync that the test steps, on a store."""

    def __init__(self, config: Config, penpot: StandIn, store: Store, clock: Clock) -> None:
        self.config = config
        self.penpot = penpot
        self.world = penpot.world
        self.store = store
        self.clock = clock
        self.metrics = Metrics()
        self.acme = self.world.by_name("teams", "acme")
        self._clients: list[PenpotClient] = []
        self.start()

    def start(self, kind: Callable[..., PenpotClient] = PenpotClient) -> None:
        """A new sync, as after a start of the service."""
        token = self.config.penpot.access_token
        assert token is not None
        first = self.penpot if kind is Direct else self.penpot.url
        self._clients.append(kind(first, token.reveal()))
        notices = NoticeRenderer(Templates(), self.metrics)
        alerts = Alerts(self.config.alert_queues(), self.store, notices)
        self.directory = TeamDirectory(self.config, self.store, alerts, self.clock)
        self.sync = PenpotSync(
            self.config,
            self._clients[-1],
            self.directory,
            self.store,
            self.metrics,
            alerts,
            lambda: None,
            self.clock,
        )

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    @property
    def client(self) -> PenpotClient:
        """The sync's client."""
        return self._clients[-1]

    def fails(self, status: int, *, code: str = "", **params: str) -> Callable[[], None]:
        """Penpot fails calls with these parameters until the returned function is called."""
        client, fetch = self.client, self.client._fetch
        body = json.dumps({"code": code} if code else {}).encode()

        async def failing(
            verb: str, path: str, given: Mapping[str, Any] | None = None
        ) -> RpcResponse:
            if given is not None and params.items() <= given.items():
                return RpcResponse(status, {"content-type": "application/json"}, body)
            return await fetch(verb, path, given)

        def fix() -> None:
            client._fetch = fetch  # type: ignore[method-assign]

        client._fetch = failing  # type: ignore[method-assign]
        return fix

    async def pass_time(self, seconds: float, steps: int = 400) -> None:
        """Run the sync while that time passes, in at most ``steps`` steps."""
        end = self.clock.now + seconds
        while True:
            wait = await self.sync.turn()
            if self.clock.now >= end:
                return
            self.clock.now = min(self.clock.now + max(wait, seconds / steps, 0.05), end)

    def people(self, file: str = "landing") -> People:
        """People at work in a file, now."""
        now = datetime.fromtimestamp(self.clock.now, UTC)
        return People(self.world, self.world.by_name("files", file), now)

    async def receive(self, body: Body) -> None:
        """Penpot's webhook sends an event."""
        sent = json.dumps(body).encode()
        event = NewEvent(
            "acme", "application/json", sent, deduplication_key(body, sent), body["name"],
            received_at=self.clock.now,
        )  # fmt: skip
        await self.store.accept(event)

    async def events(self) -> list[tuple[str, str]]:
        """Name and text of the stored events, oldest first."""
        bodies = await self.bodies()
        return [(body["name"], body["props"].get("content", "")) for body in bodies]

    def hook(self, *, active: bool | None = True, error: str | None = None) -> Webhook:
        """Relay's webhook in Penpot, created by the token's user."""
        webhook = Webhook(
            "b0000000-0000-4000-8000-000000000001",
            self.acme,
            f"{PUBLIC}{self.config.hook_path('acme')}",
            is_active=active,
            profile=self.world.me,
            error_code=error,
            error_count=3 if error else 0,
        )
        self.world.webhooks[webhook.id] = webhook
        return webhook

    async def messages(self, queue: str = "acme/log") -> list[Message]:
        """The messages that wait in a queue."""
        return [
            Message.loads(delivery.message)
            for delivery in await self.store.waiting_deliveries(queue, 1000)
        ]

    async def bodies(self, limit: int = 10_000) -> list[dict[str, Any]]:
        """The bodies of the stored events, oldest first."""
        entries = await self.store.stored_events(limit)
        return [json.loads(entry.body) for entry in entries]

    def number(self, metric: str) -> float:
        """A value in the metrics; 0 if there is none."""
        for line in self.metrics.text().decode().splitlines():
            if line.startswith(f"{metric} "):
                return float(line.rpartition(" ")[2])
        return 0.0


@contextlib.asynccontextmanager
async def stage(server: StandIn, folder: Path, /, **more: Any) -> AsyncIterator[Stage]:
    store = SqliteStore(folder / "relay.db")
    await store.open()
    opened = Stage(settings(server.url, folder, **more), server, store, Clock())
    try:
        yield opened
    finally:
        await opened.close()
        await store.close()
