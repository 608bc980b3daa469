"""The teams pages: channels with their queues, test messages, doctor and the webhook's URL."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.delivery.dead import describe
from relay.delivery.decisions import selection_of
from relay.delivery.health import resume, stopped_queues, suspended_queues
from relay.inspector.pages import PageNotFound, form, inspector_of, page, viewer_of
from relay.store.queries import MAX_COUNTED
from relay.sync.webhooks import load_status

MAX_TEAMS_PER_PAGE = 12  # beyond that the page lists links


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
    noun = "message" if len(ids) == 1 else "messages"
    return await _result(request, "dismiss", f"{len(ids)} {noun} dismissed", channel=name)


async def _resume(request: Request) -> Response:
    """Let the suspended queue of a channel try again."""
    key, inspector = _team_key(request), inspector_of(request)
    name = _channel_name(request, key)
    await resume(inspector.store, f"{key}/{name}")
    inspector.wake({f"{key}/{name}"})
    return await _result(request, "resume", "it tries again within seconds", channel=name)


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
    notice = {"team": key, "action": action, "text": text, "ok": ok, "channel": channel} | more
    if "hx-request" in request.headers:
        return page(request, "_team_notice.html", notice=notice)
    return await _page(request, [key], notice)


async def _page(
    request: Request, keys: Sequence[str], notice: Mapping[str, Any] | None = None
) -> Response:
    config, store = inspector_of(request).config, inspector_of(request).store
    is_synced = config.penpot.access_token is not None and config.sync.enabled
    teams = []
    for key in keys if len(keys) <= MAX_TEAMS_PER_PAGE else ():
        channels = {f"{key}/{channel.name}": channel for channel in config.teams[key].channels}
        stats = await store.queries.queues(channels)
        stopped = await stopped_queues(store, channels)
        suspended = await suspended_queues(store, stopped)
        dead = await store.problems.dead(channels)
        queues = [
            (
                channel,
                selection_of(channel).entries,
                stats[name],
                stopped.get(name),
                name in suspended,
                dead.get(name),
            )
            for name, channel in channels.items()
        ]
        teams.append((key, queues, await load_status(store, key) if is_synced else None))
    return page(
        request,
        "teams.html",
        teams=teams,
        notice=notice,
        now=time.time(),
        limit=MAX_COUNTED,
        describe=describe,
    )


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
    Route("/inspector/teams/{team}/resume", _resume, methods=["POST"]),
    Route("/inspector/teams/{team}/doctor", _doctor, methods=["POST"]),
]
