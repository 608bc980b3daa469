"""Builds the Starlette application: routes, lifespan, wiring; nothing else."""

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
from relay.channels import channel_class, open_channel
from relay.config import Config
from relay.delivery.clock import Clock
from relay.delivery.fanout import FanOut
from relay.delivery.feed import ChangeFeed
from relay.delivery.housekeeping import LATER, Retention
from relay.delivery.notes import StoredKeyValues
from relay.delivery.plan import Planner
from relay.delivery.queues import QueueManager
from relay.inspector.context import InspectorContext
from relay.inspector.door import LoginGate
from relay.inspector.sessions import Sessions
from relay.intake import HookEndpoint
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.process import leave_what_is_loaded_alone
from relay.role import Role
from relay.store import store_at
from relay.store.base import Store, StoreUnavailable
from relay.sync.state import forget as forget_watch

if TYPE_CHECKING:
    from relay.penpot.api import PenpotClient
    from relay.sync.sync import PenpotSync

log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that messages under way have to arrive when the service stops. Most servers answer in a
fraction of one; a message that is given up before its receipt is sent again at the next start, and
Slack then shows it twice."""


def build(config: Config, role: Role = Role.ALL) -> Starlette:
    """The service for a config, or the half of it that ``role`` names. The store is opened when the
    application starts."""
    store = store_at(config.store.url.reveal())
    metrics = Metrics()
    clock = Clock()
    feed = ChangeFeed()
    settings = config.queues()
    retention = config.store.retention.total_seconds()
    queues = QueueManager(
        store,
        settings,
        [name for name, channel in settings.items() if channel.in_threads],
        lambda name: open_channel(settings[name], StoredKeyValues(store)),
        lambda name: settings[name].pace,
        retention=retention,
        metrics=metrics,
        pictures=lambda media: planner.picture(media),
        digest_after=lambda name: settings[name].late_after,
        alerts_to=config.alerts_to,
        clock_is_sure=clock.is_sure,
        changed=feed.changed,
    )
    templates = Templates(config.templates.path)
    planner = Planner(config, store, templates, metrics, _penpot(config))
    fan_out = FanOut(planner, store, queues, metrics, lambda: hook.crowded, feed.changed)

    def stored() -> None:
        fan_out.wake()
        feed.changed()

    def elsewhere(names: Collection[str]) -> None:
        queues.wake(names)
        feed.changed()

    hook = HookEndpoint(config, store, stored, metrics, is_open=role.takes)
    housekeeping = Retention(store, retention, partial(clock.is_sure, LATER))
    watch = _watch(config, store, metrics, stored) if role.delivers else None
    wake = (
        queues.wake if role.delivers else lambda _: None
    )  # elsewhere they hear of it by the store
    inspector = InspectorContext(config, store, templates, metrics, feed, wake)
    tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if role.delivers:
            store.watch(stored, elsewhere)
        await store.open()
        running = {
            "queues": queues.run,
            "fan-out": fan_out.run,
            "housekeeping": housekeeping.run,
        }
        if watch is not None:
            running["watch"] = watch.run
        elif role.delivers:
            await forget_watch(store)
        if role.delivers:
            tasks.extend(asyncio.create_task(run(), name=name) for name, run in running.items())
            for channel in settings.values():
                channel_class(channel.type)  # now, not with the first message
        for task in tasks:
            task.add_done_callback(_tell_end)
        leave_what_is_loaded_alone()
        log.info(
            "Relay %s, role %s: %s, %s, store %s",
            __version__,
            role,
            _counted(config.teams, "team"),
            _counted(settings, "channel"),
            config.store.place,
        )
        try:
            yield
        finally:
            log.info("stopping")
            if watch is not None:
                watch.stop()
            housekeeping.stop()
            fan_out.stop()
            await queues.stop(GRACE)
            await asyncio.gather(*tasks, return_exceptions=True)
            await planner.close()
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

    async def numbers(request: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    application = Starlette(
        routes=[
            Route("/hooks/{team}/{secret}", hook),
            Route("/healthz", health),
            Route("/readyz", ready),
            Route("/metrics", numbers),
            Route("/inspector{path:path}", LoginGate(inspector, _pages)),
        ],
        lifespan=lifespan,
    )
    application.state.feed = feed
    application.router.redirect_slashes = False  # a redirect would tell the secret again
    return application


def _counted(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _penpot(config: Config) -> "PenpotClient | None":
    """The API, where there is a token for it; httpx is only loaded then."""
    if config.penpot.access_token is None:
        return None
    from relay.penpot.api import PenpotClient

    return PenpotClient(config.penpot.url, config.penpot.access_token.reveal())


def _watch(
    config: Config, store: Store, metrics: Metrics, stored: Callable[[], None]
) -> "PenpotSync | None":
    """The watch, where the config has it."""
    if config.penpot.access_token is None or not config.watch.enabled:
        return None
    from relay.sync.client import CountedPenpotClient
    from relay.sync.sync import PenpotSync

    penpot = CountedPenpotClient(config.penpot.url, config.penpot.access_token, metrics)
    return PenpotSync(config, penpot, store, metrics, stored)


def _pages(inspector: InspectorContext, sessions: Sessions) -> ASGIApp:
    """The inspector's pages, which take memory that is only spent where somebody opens one."""
    from relay.inspector.routes import pages

    return pages(inspector, sessions)


def _tell_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("%s has ended: restart Relay", task.get_name(), exc_info=error)
