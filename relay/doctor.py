"""``relay doctor``: what is wrong, in words, and what to do about it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime

import httpx

from relay.channels import open_channel
from relay.channels.base import Finding
from relay.config import AnyChannel, Config
from relay.configfile import warnings
from relay.delivery.health import broken
from relay.delivery.lookups import STATE
from relay.examples import variables
from relay.messages.check import check
from relay.messages.rendering import Problem
from relay.messages.templates import Templates
from relay.penpot.api import TIMEOUT, PenpotClient, PenpotError, PenpotRefused
from relay.store import store_at
from relay.store.base import Store, StoreMisfit, StoreMissing, StoreUnavailable
from relay.sync import mending
from relay.sync.mending import WebhookFix
from relay.sync.teams import TeamDirectory

GENERAL = frozenset({"config", "store", "templates", "penpot"})
"""The places that are no team's; the others are a team's key, or begin with it and a slash."""
PATIENCE = 20.0
"""Seconds that one channel has to answer."""


async def examine(
    config: Config, mends: list[WebhookFix] | None = None, known: Collection[str] = ()
) -> AsyncIterator[tuple[str, Finding]]:
    """Look at everything without posting; yields (what was looked at, finding). What can be done
    about it at once is put into ``mends``. ``known`` are all teams where the config has not all."""
    for warning in warnings(config):
        yield "config", Finding(True, warning)
    async for place, finding in _store(config):
        yield place, finding
    problems = await asyncio.to_thread(template_problems, config, known or config.teams)
    for problem in problems:
        yield "templates", Finding(False, str(problem))
    if not problems:
        yield "templates", Finding(True, "all templates are good")
    yield "penpot", await _penpot_answers(config.penpot.url)
    if config.penpot.access_token is not None:
        good = await _token(config.penpot.url, config.penpot.access_token.reveal())
        yield "penpot", good
        if good.ok:
            async for team, found, mend in _hooks(config, config.penpot.access_token.reveal()):
                yield team, found
                if mend is not None and mends is not None:
                    mends.append(mend)
    queues = config.queues()
    results = await asyncio.gather(*(_channel(settings) for settings in queues.values()))
    for name, findings in zip(queues, results, strict=True):
        for finding in findings:
            yield name, finding


async def mended(config: Config, mend: WebhookFix) -> Finding:
    """Do what can be done; what came of it."""
    assert config.penpot.access_token is not None  # noqa: S101 - else there is nothing to mend
    penpot = PenpotClient(config.penpot.url, config.penpot.access_token.reveal())
    try:
        return await mend.work(penpot)
    finally:
        await penpot.close()


def template_problems(config: Config, teams: Collection[str]) -> list[Problem]:
    """Every fault in the templates that these teams get."""
    templates = Templates(config.templates.path)
    return check(templates, variables(config.penpot.url), teams)


async def _store(config: Config) -> AsyncIterator[tuple[str, Finding]]:
    """The store, and what the service notes there."""
    store = store_at(config.store.url.reveal())
    try:
        await store.open(service=False)
    except StoreMissing as error:
        yield "store", Finding(True, f"{error}; `relay serve` makes it")
        return
    except StoreMisfit as error:
        text = f"{error} (user {os.getuid()} must be able to write there)"
        yield "store", Finding(False, text)
        return
    try:
        await store.probe()
        waiting = sum((await store.waiting_queues()).values())
        yield "store", Finding(True, f"{config.store.place} is writable; {waiting} messages wait")
        for queue, (_, why) in (await broken(store, config.queues())).items():
            yield queue, Finding(False, f"has stopped, its messages wait: {why}")
        note = await store.note(STATE) if config.penpot.access_token is not None else None
        if note is not None and note.value:
            since = datetime.fromtimestamp(note.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
            text = f"the service has paused its lookups since {since}: {note.value}"
            yield "penpot", Finding(False, f"{text}. Messages have the names that are known.")
    except StoreUnavailable as error:
        yield "store", Finding(False, f"can't be written: {error}")
    finally:
        await store.close()


async def _penpot_answers(url: str) -> Finding:
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=True) as client:
            answer = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Finding(
            False,
            f"{url} does not answer ({type(error).__name__}): links in messages go there, so "
            "penpot.url should be the address that people open in the browser",
        )
    if answer.status_code >= 400:
        return Finding(False, f"{url} answers {answer.status_code}: is penpot.url right?")
    return Finding(True, f"{url} answers")


async def _token(url: str, token: str) -> Finding:
    penpot = PenpotClient(url, token)
    try:
        name = await penpot.profile()
    except PenpotRefused as error:
        return Finding(
            False,
            f"penpot.access_token: {error}. Make one under Your account → Access tokens "
            "(needs enable-access-tokens in PENPOT_FLAGS)",
        )
    except PenpotError as error:
        return Finding(False, f"Penpot's API can't be asked: {error}")
    finally:
        await penpot.close()
    return Finding(True, f"the access token is good; it belongs to {name}")


async def _hooks(
    config: Config, token: str
) -> AsyncIterator[tuple[str, Finding, WebhookFix | None]]:
    """Each team's webhook in Penpot."""
    penpot = PenpotClient(config.penpot.url, token)
    async with contextlib.AsyncExitStack() as opened:
        opened.push_async_callback(penpot.close)
        store: Store | None = None
        with contextlib.suppress(StoreMisfit):  # which was told already
            beside = store_at(config.store.url.reveal())
            await beside.open(service=False)
            opened.push_async_callback(beside.close)
            store = beside
        directory = TeamDirectory(config, penpot, time.time)
        for team in config.teams:
            try:
                yield team, *await mending.look(config, penpot, directory, store, team)
            except (PenpotError, StoreUnavailable) as error:
                yield team, Finding(False, f"its webhook can't be looked at: {error}"), None


async def _channel(settings: AnyChannel) -> list[Finding]:
    """What a channel finds. Whatever goes wrong in one channel, the others are told of: so it
    becomes a finding, by its type alone, for its text may repeat an answer or an address."""
    try:
        channel = open_channel(settings)
    except Exception as error:  # noqa: BLE001 - see above
        return [Finding(False, f"can't be set up ({type(error).__name__}): check its settings")]
    try:
        async with asyncio.timeout(PATIENCE):
            try:
                return await channel.check()
            finally:
                await channel.close()
    except TimeoutError:
        return [Finding(False, f"no answer within {PATIENCE:.0f} s: is the address right?")]
    except Exception as error:  # noqa: BLE001 - see above
        what = "gave an answer that Relay can't read"
        return [Finding(False, f"{what} ({type(error).__name__}): is the address right?")]
