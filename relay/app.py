"""The Starlette applications of the two listeners: routes, lifespan, wiring."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import sys
import time
from collections.abc import AsyncIterator, Collection, Sized
from dataclasses import dataclass, replace
from functools import partial

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay import __version__
from relay.channels import CHANNEL_TYPES, override_formats
from relay.config.settings import Config, Role
from relay.delivery.alerts import Alerts
from relay.delivery.backoff import Clock
from relay.delivery.fact_cache import FactCache
from relay.delivery.fanout import FanOut
from relay.delivery.lookups import Lookups
from relay.delivery.notices import NoticeRenderer
from relay.delivery.pipeline import EventPreparer
from relay.delivery.queue_context import QueueContext, queue_settings
from relay.delivery.queues import QueueManager, StoredKeyValues
from relay.delivery.retention import GRACE_SECONDS, Retention
from relay.delivery.routing import Planner
from relay.delivery.thumbnails import Thumbnails
from relay.delivery.undecided import Judge
from relay.inspector import build_pages
from relay.inspector.auth import LoginGate
from relay.inspector.feed import ChangeFeed
from relay.inspector.pages import InspectorContext
from relay.intake import HookEndpoint, RequestLoad
from relay.messages.budget import SandboxBudget
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.penpot.catalogue import CATALOGUE
from relay.quota import Quota
from relay.store import store_at
from relay.store.records import StoreUnavailable
from relay.sync.state import forget_sync_state

log = logging.getLogger(__name__)

STOP_TIMEOUT = 10.0
"""Seconds for sends in progress at a stop. A send that is cancelled before its receipt is repeated
at the next start, and Slack then shows the message twice."""
MMAP_THRESHOLD_BYTES = 512 * 1024  # glibc maps larger buffers alone and unmaps them when freed
_M_MMAP_THRESHOLD = -3  # of mallopt(3)
THREAD_SWITCH_INTERVAL = 0.001
"""Seconds that a thread keeps Python's global lock while others wait for it: each step of the event
loop while a long message is converted. Shorter ones cost intake more processor time."""


@dataclass(frozen=True, slots=True)
class Applications:
    hook: Starlette
    """With the lifespan of both."""
    admin: Starlette
    metrics: Metrics
    feed: ChangeFeed


def build(config: Config, role: Role = Role.ALL) -> Applications:
    service = _Service(config, role)
    inspector = InspectorContext(
        config, service.store, service.templates, service.feed, service.wake
    )
    hook = Starlette(
        routes=[Route("/hooks/{team}/{secret}", service.hook), Route("/healthz", _health)],
        lifespan=service.lifespan,
    )
    hook.router.default = service.hook.other_path
    routes = [
        Route("/healthz", _health),
        Route("/readyz", service.ready),
        Route("/metrics", service.metrics_text),
    ]
    if config.inspector_access != "off":
        routes.append(Route("/inspector{path:path}", LoginGate(inspector, build_pages)))
        routes.append(Route("/", RedirectResponse("/inspector")))
    admin = Starlette(routes=routes, middleware=[Middleware(_refuse_foreign_methods)])
    for application in (hook, admin):
        application.router.redirect_slashes = False  # a redirect would repeat the secret
    return Applications(hook, admin, service.metrics, service.feed)


def _refuse_foreign_methods(app: ASGIApp) -> ASGIApp:
    """The inspector's pages send ``GET`` and ``POST``. Penpot's allow-list opens every port of a
    host: here it finds no place for a webhook, since it saves one only if ``HEAD`` gets 200 or 204,
    and none that accepts its ``POST``."""
    hint = "Not Found: the hooks are at server.port, this is admin.port"
    no_path = PlainTextResponse(hint, 404, {"connection": "close"})
    no_method = PlainTextResponse("Use GET", 405, {"allow": "GET", "connection": "close"})

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            target = app if scope["path"].startswith("/inspector/") else no_path
        else:
            target = app if scope["method"] == "GET" else no_method
        await target(scope, receive, send)

    return answer


class _Service:
    """The parts of a running Relay, each built from those above it."""

    def __init__(self, config: Config, role: Role) -> None:
        self._config, self._role = config, role
        self.store = store_at(config.store.url.reveal())
        self.metrics = Metrics(CATALOGUE)
        self.feed = ChangeFeed()
        self.templates = Templates(
            config.templates.path, override_formats(), budget=SandboxBudget()
        )
        facts, clock, load = FactCache(self.store), Clock(), RequestLoad()
        names = {team: config.team_name(team) for team in config.teams}
        notices = NoticeRenderer(self.templates, self.metrics, names)
        plain = {queue for queue, channel in config.queues().items() if not channel.emoji}
        alerts = Alerts(config.alert_queues(), self.store, notices, plain, config.locales)
        retention = config.store.retention.total_seconds()
        changed = self.feed.changed
        context = QueueContext(
            self.store, self.metrics, notices, alerts, retention, clock.is_trusted, changed=changed
        )
        penpot = directory = lookups = thumbnails = None
        if config.penpot.access_token is not None:  # otherwise httpx is not loaded
            from relay.delivery.directory import TeamDirectory
            from relay.penpot.api import PenpotClient

            penpot = PenpotClient(config.penpot.call_url, config.penpot.access_token.reveal())
            directory = TeamDirectory(config, self.store, alerts, time.time)
            lookups = Lookups(penpot, facts, self.store, self.metrics, directory)
            thumbnails = Thumbnails(penpot, self.metrics)
            context = replace(context, pictures=thumbnails.get)
        self._preparer = EventPreparer(config, facts, lookups, thumbnails)
        judge = Judge(config, facts, self.templates, self.metrics, self._preparer, self.store)
        values = StoredKeyValues(self.store)
        self._queues = QueueManager(queue_settings(config, values), replace(context, judge=judge))
        planner = Planner(config, facts, self.store.activity, self.templates, self.metrics)
        self._fan_out = FanOut(
            self._preparer, planner, self.store, self._queues, self.metrics, load.is_high, changed
        )
        self._quota = Quota(config, self.store, self.metrics, alerts, self._poll_comments)
        self.hook = HookEndpoint(
            config,
            self.store,
            self._stored,
            self.metrics,
            load,
            self._quota,
            is_open=role.accepts_events,
        )
        self._retention = Retention(self.store, retention, partial(clock.is_trusted, GRACE_SECONDS))
        self._sync = None
        if penpot and directory and config.sync.enabled and role.delivers:
            from relay.sync.sync import PenpotSync

            self._sync = PenpotSync(
                config, penpot, directory, self.store, self.metrics, alerts, self._stored
            )
        self._tasks: list[asyncio.Task[None]] = []

    def wake(self, names: Collection[str]) -> None:
        # without queues of its own a replica wakes those of the others through the store
        if self._role.delivers:
            self._queues.wake(names)

    def _poll_comments(self, team: str) -> None:
        if self._sync is not None:
            self._sync.poll_soon(team)

    def _stored(self) -> None:
        self._fan_out.wake()
        self.feed.changed()

    def _queues_changed(self, names: Collection[str]) -> None:
        self._queues.wake(names)
        self.feed.changed()

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        if self._role.delivers:
            self.store.listen(self._stored, self._queues_changed)
        await self.store.open()
        await self._start()
        tune_process()
        log.info(
            "Relay %s, role %s: %s, %s, store %s",
            __version__,
            self._role,
            _plural(self._config.teams, "team"),
            _plural(self._config.queues(), "channel"),
            self._config.store.display_url,
        )
        log.info("inspector: %s", self._config.describe_inspector())
        for advice in self._config.advice:
            log.warning("config: %s", advice)
        try:
            yield
        finally:
            await self._end()

    async def _start(self) -> None:
        running = {"quota": self._quota.run}
        if self._role.delivers:
            running |= {
                "queues": self._queues.run,
                "fan-out": self._fan_out.run,
                "retention": self._retention.run,
            }
        if self._sync is not None:
            running["sync"] = self._sync.run
        elif self._role.delivers:
            await forget_sync_state(self.store)
        self._tasks.extend(asyncio.create_task(run(), name=name) for name, run in running.items())
        for channel in self._config.queues().values() if self._role.delivers else ():
            CHANNEL_TYPES[channel.type].load()  # fails now if an import is missing
        for task in self._tasks:
            task.add_done_callback(_log_end)

    async def _end(self) -> None:
        log.info("stopping")
        self._quota.stop()
        if self._sync is not None:
            self._sync.stop()
        self._retention.stop()
        self._fan_out.stop()
        await self._queues.stop(STOP_TIMEOUT)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._preparer.close()
        self.templates.close()
        await self.store.close()
        log.info("stopped")

    async def ready(self, _: Request) -> Response:
        ended = [task.get_name() for task in self._tasks if task.done()]
        if ended or not self._tasks:
            return PlainTextResponse(f"not running: {', '.join(ended)}\n", 503)
        try:
            await self.store.probe()
        except StoreUnavailable as error:
            return PlainTextResponse(f"the store can't be written: {error}\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics_text(self, _: Request) -> Response:
        text = self.metrics.text()
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


async def _health(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _plural(items: Sized, name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("%s has ended: restart Relay", task.get_name(), exc_info=error)


def tune_process() -> None:
    """Return the memory of large bodies to the system, and keep collections and waits short.

    By default each freed large buffer raises glibc's mmap threshold, up to 32 MiB; after that the
    memory of a few 16 MiB bodies is never returned (mallopt(3)). Other C libraries have no
    ``mallopt``. All objects that exist now are excluded from garbage collection, which would
    otherwise walk all modules and templates and block the event loop for some 20 ms.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(THREAD_SWITCH_INTERVAL)
