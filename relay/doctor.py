"""``relay doctor``: checks of config, store, templates, Penpot and channels."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Sequence

import httpx

from relay import bounded_http
from relay.bounded_http import UnusableAnswer
from relay.channels import body_template, open_channel, override_formats
from relay.channels.base import Finding, KeyValueStore, noted
from relay.channels.errors import error_from_exception
from relay.config.load import warnings
from relay.config.settings import AnyChannel, Config, PenpotSettings
from relay.delivery.dead import describe
from relay.delivery.decisions import selection_of
from relay.delivery.directory import TeamDirectory
from relay.delivery.health import stopped_queues
from relay.delivery.lookups import PENPOT_STATE_KEY
from relay.delivery.notices import notice_samples
from relay.delivery.pipeline import EventSource, examples
from relay.delivery.queues import StoredKeyValues
from relay.intake import use_key
from relay.messages.lint import Problem
from relay.messages.templates import Templates, check, notes
from relay.penpot.api import CALL_TIMEOUT, PenpotClient
from relay.penpot.client import PenpotBehindLogin, PenpotError, PenpotRefused, RpcResponse
from relay.penpot.filters import Candidate, closest, matches
from relay.penpot.records import ProjectRecord
from relay.penpot.samples import SAMPLE_NAMES
from relay.proxy_variables import through_proxy
from relay.store import store_at
from relay.store.base import Store
from relay.store.records import StoreMissing, StoreUnavailable, StoreUnusable
from relay.sync.silence import check_silence, utc
from relay.sync.webhooks import WebhookFix, check_listing, check_webhook, lists_old_secret

GENERAL_SUBJECTS = frozenset({"config", "store", "templates", "penpot"})
"""Subjects that belong to no team. Others are a team's key or a queue's name ``team/channel``."""
MAX_PAGE_BYTES = 8 * 1024 * 1024  # of Penpot's start page, which has some ten thousand
UNUSED_SECONDS = 24 * 3600.0  # without a call, after which an old secret counts as unused
_ADDRESSES = {
    "url": "the address that people open in the browser, since messages link there",
    "api_url": "an address at which Relay reaches Penpot's frontend",
}
CHECK_TIMEOUT = 20.0  # seconds, for each channel
_NOT_VERIFIED = "its team in Penpot is not known, so nothing is read there: `relay doctor` says why"


async def examine(
    config: Config,
    fixes: list[WebhookFix] | None = None,
    known: Collection[str] = (),
    *,
    templates: bool = True,
) -> AsyncIterator[tuple[str, Finding]]:
    """Check everything without sending a message; yields (subject, finding) and appends available
    fixes to ``fixes``. ``known``: the keys of all teams when ``config`` holds only some of them.
    ``templates``: also those of all teams, which may take minutes."""
    for warning in warnings(config):
        yield "config", noted(warning)
    async with contextlib.AsyncExitStack() as opened:
        store, finding = await _open_store(config, opened)
        yield "store", finding
        if store is not None:
            async for subject, finding in _check_store(config, store):
                yield subject, finding
        if templates:
            problems = await asyncio.to_thread(template_problems, config, known or config.teams)
            for problem in problems:
                yield "templates", Finding(False, str(problem))
            if not problems:
                yield "templates", Finding(True, "no problems")
        async for finding in check_addresses(config.penpot):
            yield "penpot", finding
        if config.penpot.access_token is None:
            for team in config.teams:
                async for finding in _check_old_secret(config, store, team, None):
                    yield team, finding
        else:
            penpot = PenpotClient(config.penpot.call_url, config.penpot.access_token.reveal())
            opened.push_async_callback(penpot.close)
            token = await check_token(penpot)
            yield "penpot", token
            if token.ok:
                checks = _check_webhooks(config, penpot, store, reads_all=not known)
                async for subject, webhook, fix in checks:
                    yield subject, webhook
                    if fix is not None and fixes is not None:
                        fixes.append(fix)
        queues = config.queues()
        # With what the queues know, such as the new room of one that was replaced.
        kv = None if store is None else StoredKeyValues(store)
        results = await asyncio.gather(*(check_channel(each, kv) for each in queues.values()))
    for name, findings in zip(queues, results, strict=True):
        for finding in findings:
            yield name, finding


async def apply_fix(config: Config, fix: WebhookFix) -> Finding:
    assert config.penpot.access_token is not None  # noqa: S101 - fixes exist only with a token
    penpot = PenpotClient(config.penpot.call_url, config.penpot.access_token.reveal())
    try:
        return await fix.apply(penpot)
    finally:
        await penpot.close()


def template_problems(config: Config, teams: Collection[str]) -> list[Problem]:
    """All problems in the templates that these teams use."""
    source = EventSource("acme", "acme", penpot_url=config.penpot.url)
    events = asyncio.run(examples(SAMPLE_NAMES, source))
    templates = Templates(config.templates.path, override_formats())
    samples = [*(event.variables() for event in events), *notice_samples()]
    bodies: dict[str, set[str]] = {}
    missing = []
    for queue, channel in config.queues().items():
        if name := body_template(channel):
            selection = selection_of(channel)
            taken = {event.name for event in events if selection.takes(event.name, event.group)}
            bodies.setdefault(name, set()).update(taken)
            if not templates.for_team(queue.partition("/")[0]).files.find(name):
                missing.append(Problem(name, 0, f"there is no such template, the body of {queue}"))
    return missing + check(templates, samples, teams, bodies)


def template_notes(config: Config) -> list[str]:
    """What these templates lack without being wrong."""
    return notes(Templates(config.templates.path))


async def _open_store(
    config: Config, opened: contextlib.AsyncExitStack
) -> tuple[Store | None, Finding]:
    try:
        store = store_at(config.store.url.reveal())
        await store.open(service=False)
    except StoreMissing as error:
        return None, noted(f"{error}; `relay serve` creates it")
    except StoreUnusable as error:
        return None, Finding(False, str(error))
    opened.push_async_callback(store.close)
    try:
        await store.probe()
        waiting = sum((await store.waiting_queues()).values())
        undecided = sum((await store.undecided_queues()).values())
        held = sum((await store.holds.counts()).values())
    except StoreUnavailable as error:
        return None, Finding(False, f"can't be written: {error}")
    return store, Finding(
        True,
        f"{config.store.display_url} is writable; deliveries that wait: {waiting}"
        + (f", of these for a name from Penpot: {undecided}" if undecided else "")
        + (f", that are held: {held}" if held else ""),
    )


async def _check_store(config: Config, store: Store) -> AsyncIterator[tuple[str, Finding]]:
    try:
        stopped = await stopped_queues(store, config.queues())
        dead = await store.problems.dead(config.queues())
        state = await store.get_value(PENPOT_STATE_KEY) if config.penpot.access_token else None
    except StoreUnavailable as error:
        yield "store", Finding(False, f"can't be read: {error}")
        return
    for queue, (_, why) in stopped.items():
        yield queue, Finding(False, f"the queue is stopped: {why}")
    for queue, letters in dead.items():
        text = "fix the cause, then `relay resend --dead`, or `relay dismiss --dead`"
        yield queue, Finding(False, f"{describe(letters)}: {text}")
    if state is not None and state.value:
        text = f"the service has paused its lookups since {utc(state.at)}: {state.value}"
        yield "penpot", Finding(False, f"{text}. Messages show only names that Relay knows.")


async def check_addresses(settings: PenpotSettings) -> AsyncIterator[Finding]:
    """With ``api_url`` people may reach ``url`` although Relay does not. Who has set nothing of
    Penpot yet has no problem: links lead to Penpot's public server."""
    finding = await check_address("url", settings.url)
    if settings.api_url and not finding.ok:
        text = "Relay can't reach penpot.url from here, which is no problem if people can"
        finding = noted(f"{text}: messages link to {settings.url}")
    elif not finding.ok and not settings.model_fields_set:
        finding = noted(finding.text)
    yield finding
    if settings.api_url:
        yield await check_address("api_url", settings.api_url)


async def check_address(key: str, url: str) -> Finding:
    """Whether a Penpot responds at ``url``, the value of ``penpot.`` and ``key``."""
    try:
        async with bounded_http.open_client(timeout=CALL_TIMEOUT) as client:
            answer = await bounded_http.request(
                client, "GET", url, max_bytes=MAX_PAGE_BYTES, seconds=CALL_TIMEOUT
            )
    except UnusableAnswer as error:
        return Finding(False, f"{url} responds with {error}: check penpot.{key}")
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        problem = error_from_exception(error, f"{url}{through_proxy(url)}", url=url).detail
        return Finding(False, f"{problem}: set penpot.{key} to {_ADDRESSES[key]}")
    login = RpcResponse(*answer).login
    if answer.status >= 400 and not login:
        return Finding(False, f"{url} responds with status {answer.status}: check penpot.{key}")
    if login:
        return Finding(True, f"{url} responds{through_proxy(url)}: {login}")
    return Finding(True, f"{url} responds{through_proxy(url)}")


async def check_token(penpot: PenpotClient) -> Finding:
    """Whether Penpot accepts the access token."""
    try:
        user = await penpot.profile()
    except PenpotBehindLogin as error:
        return Finding(False, f"can't check penpot.access_token: {error}")
    except PenpotRefused as error:
        return Finding(
            False,
            f"penpot.access_token: {error}. Create one under Your account → Access tokens "
            "(needs enable-access-tokens in PENPOT_FLAGS)",
        )
    except PenpotError as error:
        return Finding(False, f"Penpot's API failed: {error}")
    return Finding(True, f"the access token is valid and belongs to {user}")


async def _check_webhooks(
    config: Config, penpot: PenpotClient, store: Store | None, *, reads_all: bool
) -> AsyncIterator[tuple[str, Finding, WebhookFix | None]]:
    """``reads_all``: whether the webhooks of all Penpot teams are read. A viewer of one team may
    not cause that many calls."""
    directory = TeamDirectory(config, store, None, time.time)
    for team in config.teams:
        try:
            if reads_all:
                while not await directory.read(penpot):
                    pass
                id_ = await directory.search(team, penpot) or ""
            elif not (id_ := await directory.verified(team)):
                yield team, Finding(False, _NOT_VERIFIED), None
                continue
            listed = directory.listed_in(team)
            if (listing := check_listing(config, team, id_, listed)) is not None:
                yield "penpot", listing, None
            finding, fix = await check_webhook(config, penpot, team, id_, is_listed=bool(listed))
            if finding.ok and store is not None:
                finding = await check_silence(config, penpot, store, team, id_) or finding
            yield team, finding, fix
            async for queue, note in _check_filters(config, penpot, team, id_, files=reads_all):
                yield queue, note, None
            if len(config.teams[team].secret) > 1:
                is_listed = await lists_old_secret(config, penpot, team, id_)
                async for finding in _check_old_secret(config, store, team, is_listed):
                    yield team, finding, None
        except (PenpotError, StoreUnavailable) as error:
            yield team, Finding(False, f"can't check its webhook: {error}"), None


async def _check_filters(
    config: Config, penpot: PenpotClient, team: str, team_id: str, *, files: bool
) -> AsyncIterator[tuple[str, Finding]]:
    """The entries of the filters that match nothing in Penpot, which may be meant for later.
    ``files``: also those for files, which need a call for each project. Raises ``PenpotError``."""
    channels = config.teams[team].channels
    projects: Sequence[ProjectRecord] = ()
    if team_id and any(channel.projects or (files and channel.files) for channel in channels):
        projects = [each for each in await penpot.projects(team_id) or () if not each.is_deleted]
    known: dict[str, list[Candidate]] = {
        "projects": [Candidate(project.id, project.name) for project in projects]
    }
    if files and any(channel.files for channel in channels):
        listed = [await penpot.project_files(project.id) or () for project in projects]
        known["files"] = [Candidate(file.id, file.name) for part in listed for file in part]
    if team_id and any(channel.actors for channel in channels):
        people = await penpot.team_members(team_id) or ()
        known["actors"] = [Candidate(person.id, person.name, person.email) for person in people]
    for channel in channels:
        for key, candidates in known.items():
            for entry in getattr(channel, key) if candidates else ():
                if text := _no_match(key, entry, candidates):
                    yield f"{team}/{channel.name}", noted(text)


def _no_match(key: str, entry: str, candidates: Sequence[Candidate]) -> str:
    """Empty where the entry matches one of them."""
    pattern = entry.removeprefix("!")
    if any(matches(pattern, candidate) for candidate in candidates):
        return ""
    names = [name for _, *names in candidates for name in names if name]
    close = closest(pattern, names)
    hint = f'did you mean "{close}"?' if close else "check its spelling"
    return f'{key}: "{entry}" matches nothing that Penpot knows: {hint}'


async def _check_old_secret(
    config: Config, store: Store | None, team: str, is_listed: bool | None
) -> AsyncIterator[Finding]:
    """``is_listed``: whether Penpot lists a webhook with it; None if that is not known."""
    if store is None:
        return
    for secret in config.teams[team].secret[1:]:
        try:
            use = await store.get_value(use_key(team, secret))
        except StoreUnavailable as error:
            yield Finding(False, f"can't read when its old secret was used: {error}")
            continue
        last = f"last call: {utc(use.at)}" if use else "never called"
        if is_listed:
            advice = "delete it there as soon as the webhook with the current secret is on"
            yield noted(f"Penpot lists a webhook with the old secret ({last}): {advice}")
        elif use is not None and time.time() - use.at < UNUSED_SECONDS:
            yield noted(f"the old secret is in use ({last}): keep it for a day after that")
        else:
            check = "" if is_listed is False else ", if Penpot lists no webhook with it"
            advice = f"remove it from teams.{team}.secret{check}"
            yield noted(f"the old secret is unused ({last}): {advice}")


async def check_channel(settings: AnyChannel, kv: KeyValueStore | None) -> list[Finding]:
    """Any exception becomes a finding, so that the other channels are still reported. The finding
    names only its type: the text may contain a response or an address."""
    problem = "can't be opened ({}): check its settings"
    try:
        channel = open_channel(settings, kv)
        problem = "unexpected response ({}): check the address"
        async with asyncio.timeout(CHECK_TIMEOUT):
            try:
                return await channel.check()
            finally:
                await channel.close()
    except TimeoutError:
        server, keys = settings.server or "the server", settings.server_keys or "its address"
        text = f"no response from {server} within {CHECK_TIMEOUT:.0f} s: check {keys}"
        return [Finding(False, text)]
    except Exception as error:  # noqa: BLE001 - see above
        return [Finding(False, problem.format(type(error).__name__))]
