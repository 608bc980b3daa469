"""The Starlette application: routes, lifespan, wiring."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Sized
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from relay import __version__
from relay.channels import CHANNEL_TYPES, open_channel
from relay.config.settings import AnyChannel, Config, Role
from relay.delivery.backoff import Clock
from relay.delivery.facts import FactCache
from relay.delivery.fanout import FanOut
from relay.delivery.feed import ChangeFeed
from relay.delivery.lookups import Lookups
from relay.delivery.pipeline import EventPreparer
from relay.delivery.queue import QueueSettings
from relay.delivery.queues import QueueManager, StoredKeyValues, no_picture
from relay.delivery.retention import GRACE_SECONDS, Retention
from relay.delivery.routing import Planner
from relay.delivery.thumbnails import Thumbnails
from relay.inspector.auth import Sessions
from relay.inspector.context import InspectorContext
from relay.inspector.login import LoginGate
from relay.intake import HookEndpoint
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.process import freeze_loaded_objects
from relay.store import store_at
from relay.store.base import Store, StoreUnavailable
from relay.sync.state import forget_sync_state

if TYPE_CHECKING:
    from relay.sync.sync import PenpotSync

log = logging.getLogger(__name__)

STOP_TIMEOUT = 10.0
"""Seconds for sends in progress at a stop. A send that is cancelled before its receipt is repeated
at the next start, and Slack then shows the message twice."""


def build(config: Config, role: Role = Role.ALL) -> Starlette:
    store = store_at(config.store.url.reveal())
    metrics = Metrics()
    clock = Clock()
    feed = ChangeFeed()
    settings = config.queues()
    retention = config.store.retention.total_seconds()
    facts = FactCache(store)
    lookups, thumbnails = _lookups(config, store, metrics, facts)
    queues = QueueManager(
        store,
        {name: _queue_settings(config, store, name, channel) for name, channel in settings.items()},
        metrics,
        retention=retention,
        pictures=thumbnails.get if thumbnails else no_picture,
        clock_is_trusted=clock.is_trusted,
        changed=feed.changed,
    )
    templates = Templates(config.templates.path)
    preparer = EventPreparer(config, facts, lookups, thumbnails)
    planner = Planner(config, facts, templates, metrics)
    fan_out = FanOut(
        preparer, planner, store, queues, metrics, lambda: hook.is_under_load, feed.changed
    )

    def event_stored() -> None:
        fan_out.wake()
        feed.changed()

    def queues_changed(names: Collection[str]) -> None:
        queues.wake(names)
        feed.changed()

    hook = HookEndpoint(config, store, event_stored, metrics, is_open=role.accepts_events)
    cleanup = Retention(store, retention, partial(clock.is_trusted, GRACE_SECONDS))
    sync = _sync(config, store, metrics, event_stored) if role.delivers else None
    # without queues of its own a replica wakes those of the others through the store
    wake = queues.wake if role.delivers else lambda _: None
    inspector = InspectorContext(config, store, templates, metrics, feed, wake)
    tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if role.delivers:
            store.listen(event_stored, queues_changed)
        await store.open()
        running = {
            "queues": queues.run,
            "fan-out": fan_out.run,
            "retention": cleanup.run,
        }
        if sync is not None:
            running["sync"] = sync.run
        elif role.delivers:
            await forget_sync_state(store)
        if role.delivers:
            tasks.extend(asyncio.create_task(run(), name=name) for name, run in running.items())
            for channel in settings.values():
                CHANNEL_TYPES[channel.type].load()  # fails now if an import is missing
        for task in tasks:
            task.add_done_callback(_log_end)
        freeze_loaded_objects()
        log.info(
            "Relay %s, role %s: %s, %s, store %s",
            __version__,
            role,
            _plural(config.teams, "team"),
            _plural(settings, "channel"),
            config.store.display_url,
        )
        try:
            yield
        finally:
            log.info("stopping")
            if sync is not None:
                sync.stop()
            cleanup.stop()
            fan_out.stop()
            await queues.stop(STOP_TIMEOUT)
            await asyncio.gather(*tasks, return_exceptions=True)
            await preparer.close()
            templates.close()
            await store.close()
            log.info("stopped")

    async def health(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def ready(request: Request) -> Response:
        ended = [task.get_name() for task in tasks if task.done()]
        if ended or (role.delivers and not tasks):
            return PlainTextResponse(f"not running: {', '.join(ended)}\n", 503)
        try:
            await store.probe()
        except StoreUnavailable as error:
            return PlainTextResponse(f"the store can't be written: {error}\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics_text(request: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    application = Starlette(
        routes=[
            Route("/hooks/{team}/{secret}", hook),
            Route("/healthz", health),
            Route("/readyz", ready),
            Route("/metrics", metrics_text),
            Route("/inspector{path:path}", LoginGate(inspector, _pages)),
        ],
        lifespan=lifespan,
    )
    application.state.feed = feed
    application.router.redirect_slashes = False  # a redirect would repeat the secret
    return application


def _queue_settings(config: Config, store: Store, name: str, channel: AnyChannel) -> QueueSettings:
    return QueueSettings(
        partial(open_channel, channel, StoredKeyValues(store)),
        channel.pace,
        channel.in_threads,
        channel.digest_threshold,
        config.alerts_to(name),
    )


def _plural(items: Sized, name: str) -> str:
    return f"{len(items)} {name}{'' if len(items) == 1 else 's'}"


def _lookups(
    config: Config, store: Store, metrics: Metrics, facts: FactCache
) -> tuple[Lookups | None, Thumbnails | None]:
    if config.penpot.access_token is None:  # do not load httpx
        return None, None
    from relay.penpot.api import PenpotClient

    penpot = PenpotClient(config.penpot.url, config.penpot.access_token.reveal())
    return Lookups(penpot, facts, store, metrics), Thumbnails(penpot, metrics)


def _sync(
    config: Config, store: Store, metrics: Metrics, event_stored: Callable[[], None]
) -> "PenpotSync | None":
    if config.penpot.access_token is None or not config.sync.enabled:
        return None
    from relay.sync.budget import CountedPenpotClient
    from relay.sync.sync import PenpotSync

    penpot = CountedPenpotClient(config.penpot.url, config.penpot.access_token, metrics)
    return PenpotSync(config, penpot, store, metrics, event_stored)


def _pages(inspector: InspectorContext, sessions: Sessions) -> ASGIApp:
    # imported at the first visit, since the pages need much memory
    from relay.inspector.routes import pages

    return pages(inspector, sessions)


def _log_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("%s has ended: restart Relay", task.get_name(), exc_info=error)
