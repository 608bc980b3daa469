"""The teams pages: channels with their queues, test messages, doctor and the webhook's URL.

A button of a channel gets its result and the channel's new state, which the page then asks for
until the queue has sent what it has.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.config.settings import AnyChannel
from relay.delivery.dead import describe
from relay.delivery.decisions import describe_undecided, selection_of
from relay.delivery.health import resume, stopped_queues, suspended_queues
from relay.inspector.pages import PageNotFound, form, inspector_of, page, row_id, viewer_of
from relay.store.problems import DeadLetters
from relay.store.queries import MAX_COUNTED, QueueStats
from relay.sync.webhooks import load_status

MAX_TEAMS_PER_PAGE = 12  # beyond that the page lists links
MAX_POLLS = 30  # of a channel's state, after a button


class ChannelCard(NamedTuple):
    """A channel with the state of its queue."""

    channel: AnyChannel
    stats: QueueStats
    stopped: tuple[float, str] | None  # since when, and why
    is_suspended: bool
    dead: DeadLetters | None

    @property
    def name(self) -> str:
        return self.channel.name

    @property
    def entries(self) -> Sequence[str]:
        return selection_of(self.channel).entries

    @property
    def is_sending(self) -> bool:
        """Whether its state changes by itself within seconds."""
        return bool(self.stats.waiting) and self.stats.next_at <= time.time()

    @property
    def mark(self) -> tuple[str, str]:
        """The state as the page calls it, and that of the delivery whose look it has."""
        if self.stopped:
            return "stopped", "dead"
        if self.dead:
            return "dead", "dead"
        if not self.stats.waiting:
            return ("held", "held") if self.stats.held else ("ready", "sent")
        if self.stats.undecided:
            return f"waiting: {describe_undecided(self.stats.undecided)}", "waiting"
        return ("sending" if self.is_sending else "waiting"), "waiting"


async def _list(request: Request) -> Response:
    return await _page(request, viewer_of(request).teams)


async def _team(request: Request) -> Response:
    return await _page(request, [_team_key(request)])


async def _hook(request: Request) -> Response:
    """The webhook's URL, which contains the secret: only on request."""
    key, config = _team_key(request), inspector_of(request).config
    return await _result(request, "hook", config.server.shown_url + config.hook_path(key))


async def _test(request: Request) -> Response:
    from relay.preview import send_test

    key, config = _team_key(request), inspector_of(request).config
    name = form(request).get("channel", "")
    channel = next((c for c in config.teams[key].channels if c.name == name), None)
    if channel is None:
        raise PageNotFound
    ok, text = await send_test(config, key, channel, inspector_of(request).templates)
    return await _result(request, "test", text, ok=ok, channel=name)


async def _dismiss(request: Request) -> Response:
    """Report the dead letters of a channel no longer."""
    key, inspector = _team_key(request), inspector_of(request)
    name = _channel_name(request, key)
    ids = await inspector.store.problems.dismiss_queue(f"{key}/{name}")
    return await _result(request, "dismiss", f"{_messages(len(ids))} dismissed", channel=name)


async def _resend(request: Request) -> Response:
    """Queue all dead messages of a channel again; first ask, with their number."""
    key, inspector = _team_key(request), inspector_of(request)
    name = _channel_name(request, key)
    queue = f"{key}/{name}"
    if not form(request).get("confirmed"):
        count = (await inspector.store.problems.dead_counts([queue])).get(queue, 0)
        if not count:
            return await _result(request, "resend", "no message is dead", channel=name)
        text = f"Send {_messages(count, 'dead ')} of {name} again?"
        return await _result(request, "resend", text, channel=name, asks=True)
    ids = await inspector.store.resend_dead([queue])
    inspector.wake({queue})
    return await _result(request, "resend", f"{_messages(len(ids))} queued again", channel=name)


async def _resume(request: Request) -> Response:
    """Let the suspended queue of a channel try again."""
    key, inspector = _team_key(request), inspector_of(request)
    name = _channel_name(request, key)
    await resume(inspector.store, f"{key}/{name}")
    inspector.wake({f"{key}/{name}"})
    return await _result(request, "resume", "it tries again within seconds", channel=name)


async def _state(request: Request) -> Response:
    """The state of a channel, for htmx."""
    key, query = _team_key(request), request.query_params
    polls = min(row_id(query.get("polls", "")) or 0, MAX_POLLS)
    if not (name := query.get("channel", "")):
        raise PageNotFound
    (card,) = await _cards(request, key, name)
    return _part(request, key, card, polls=polls)


def _messages(count: int, what: str = "") -> str:
    return f"{count:,} {what}message{'' if count == 1 else 's'}"


def _channel_name(request: Request, team: str) -> str:
    """Of a form. Raises ``PageNotFound``."""
    name = form(request).get("channel", "")
    if all(channel.name != name for channel in inspector_of(request).config.teams[team].channels):
        raise PageNotFound
    return name


async def _doctor(request: Request) -> Response:
    """`relay doctor` for one team; general findings only for viewers of all teams."""
    from relay.doctor import GENERAL_SUBJECTS, examine

    key, config = _team_key(request), inspector_of(request).config
    sees_all = viewer_of(request).team is None
    narrowed = config.model_copy(update={"teams": {key: config.teams[key]}})
    findings = [
        (subject, finding)
        async for subject, finding in examine(narrowed, known=config.teams, templates=sees_all)
        if sees_all or (subject not in GENERAL_SUBJECTS and subject.partition("/")[0] == key)
    ]
    problems = sum(not finding.ok for _, finding in findings)
    text = f"{problems} problem{'s' if problems > 1 else ''}" if problems else "no problems"
    return await _result(request, "doctor", text, ok=not problems, findings=findings)


async def _result(
    request: Request, action: str, text: str, *, ok: bool = True, channel: str = "", **more: Any
) -> Response:
    """Of a button: for htmx only it, else the team's page with it."""
    key = _team_key(request)
    notice = {"team": key, "action": action, "text": text, "ok": ok, "channel": channel}
    notice |= {"asks": False} | more
    if "hx-request" not in request.headers:
        return await _page(request, [key], notice)
    card = (await _cards(request, key, channel))[0] if channel else None
    return _part(request, key, card, notice, polls=MAX_POLLS)


def _part(
    request: Request,
    team: str,
    card: ChannelCard | None,
    notice: Mapping[str, Any] | None = None,
    *,
    polls: int,
) -> Response:
    return page(
        request,
        "_team_part.html",
        team=team,
        card=card,
        notice=notice,
        polls=polls,
        limit=MAX_COUNTED,
        describe=describe,
    )


async def _page(
    request: Request, keys: Sequence[str], notice: Mapping[str, Any] | None = None
) -> Response:
    config, store = inspector_of(request).config, inspector_of(request).store
    is_synced = config.penpot.access_token is not None and config.sync.enabled
    teams = [
        (key, await _cards(request, key), await load_status(store, key) if is_synced else None)
        for key in (keys if len(keys) <= MAX_TEAMS_PER_PAGE else ())
    ]
    return page(
        request, "teams.html", teams=teams, notice=notice, limit=MAX_COUNTED, describe=describe
    )


async def _cards(request: Request, team: str, only: str = "") -> list[ChannelCard]:
    """The team's channels, or only the one of this name. Raises ``PageNotFound``."""
    config, store = inspector_of(request).config, inspector_of(request).store
    channels = {
        f"{team}/{channel.name}": channel
        for channel in config.teams[team].channels
        if only in ("", channel.name)
    }
    if only and not channels:
        raise PageNotFound
    stats = await store.queries.queues(channels)
    stopped = await stopped_queues(store, channels)
    suspended = await suspended_queues(store, stopped)
    dead = await store.problems.dead(channels)
    return [
        ChannelCard(channel, stats[name], stopped.get(name), name in suspended, dead.get(name))
        for name, channel in channels.items()
    ]


def _team_key(request: Request) -> str:
    key = str(request.path_params["team"])
    if key not in viewer_of(request).teams:
        raise PageNotFound
    return key


ROUTES = [
    Route("/inspector/teams", _list, methods=["GET"]),
    Route("/inspector/teams/{team}", _team, methods=["GET"]),
    Route("/inspector/teams/{team}/hook", _hook, methods=["POST"]),
    Route("/inspector/teams/{team}/test", _test, methods=["POST"]),
    Route("/inspector/teams/{team}/dismiss", _dismiss, methods=["POST"]),
    Route("/inspector/teams/{team}/resend", _resend, methods=["POST"]),
    Route("/inspector/teams/{team}/resume", _resume, methods=["POST"]),
    Route("/inspector/teams/{team}/state", _state, methods=["GET"]),
    Route("/inspector/teams/{team}/doctor", _doctor, methods=["POST"]),
]
