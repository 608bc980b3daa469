"""The teams pages: channels with their queues, test messages, doctor and the webhook's URL."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.channels import CHANNEL_TYPES
from relay.channels.base import Finding
from relay.config.settings import AnyChannel, Config
from relay.delivery.health import stopped_queues
from relay.inspector.pages import (
    InspectorContext,
    PageNotFound,
    form,
    fragment,
    inspector_of,
    page,
    viewer_of,
)
from relay.penpot.selection import Selection
from relay.store.queries import MAX_COUNTED, QueueStats
from relay.sync.webhooks import WebhookStatus, load_status

MAX_TEAMS_PER_PAGE = 12  # beyond that the page lists links


@dataclass(frozen=True, slots=True)
class QueueView:
    name: str
    settings: AnyChannel
    stats: QueueStats
    stopped: tuple[float, str] | None  # time (seconds since 1970) and reason

    @property
    def state(self) -> str:
        """stopped, waiting (for its next retry), sending or ready"""
        if self.stopped:
            return "stopped"
        if not self.stats.waiting:
            return "ready"
        return "waiting" if self.stats.next_at > time.time() else "sending"

    @property
    def backlog(self) -> str:
        count = self.stats.waiting
        return f"{MAX_COUNTED:,} or more" if count >= MAX_COUNTED else f"{count:,}"

    @property
    def pace(self) -> str:
        a_minute = self.settings.pace or CHANNEL_TYPES[self.settings.type].load().pace
        return (
            f"{a_minute:g} a minute at most" if a_minute else "as fast as the server accepts them"
        )

    @property
    def takes(self) -> str:
        if not self.settings.events:
            return "everything except personal and noisy events"
        entries = Selection.of(self.settings.events).entries
        return "everything" if entries == ("*",) else ", ".join(entries)


@dataclass(frozen=True, slots=True)
class TeamView:
    key: str
    name: str
    queues: Sequence[QueueView]
    hook: WebhookStatus | None  # None: not checked by the sync


@dataclass(frozen=True, slots=True)
class TeamNotice:
    """The result of a button."""

    team: str
    action: str  # hook, test or doctor
    channel: str = ""
    ok: bool = True
    text: str = ""
    findings: Sequence[tuple[str, Finding]] = ()


async def _list(request: Request) -> Response:
    inspector = inspector_of(request)
    keys = viewer_of(request).teams(inspector.config)
    if len(keys) > MAX_TEAMS_PER_PAGE:
        return page(request, "teams.html", teams=[], others=keys, notice=None)
    teams = [await _team_view(inspector, key) for key in keys]
    return page(request, "teams.html", teams=teams, others=[], notice=None)


async def _hook(request: Request) -> Response:
    """The webhook's URL, which contains the secret: only on request."""
    key, config = _team_key(request), inspector_of(request).config
    base = config.server.public_url or f"http://localhost:{config.server.port}"
    return await _team_page(request, TeamNotice(key, "hook", text=base + config.hook_path(key)))


async def _test(request: Request) -> Response:
    from relay.preview import send_test

    key, config = _team_key(request), inspector_of(request).config
    name = (await form(request)).get("channel", "")
    channel = next((c for c in config.teams[key].channels if c.name == name), None)
    if channel is None:
        raise PageNotFound
    ok, text = await send_test(config, key, channel)
    return await _team_page(request, TeamNotice(key, "test", channel=name, ok=ok, text=text))


async def _doctor(request: Request) -> Response:
    """`relay doctor` for one team; general findings only for viewers of all teams."""
    from relay.doctor import GENERAL_SUBJECTS, examine

    key, config = _team_key(request), inspector_of(request).config
    sees_all = viewer_of(request).team is None
    narrowed = config.model_copy(update={"teams": {key: config.teams[key]}})
    findings = [
        (subject, finding)
        async for subject, finding in examine(narrowed, known=config.teams)
        if sees_all or (subject not in GENERAL_SUBJECTS and subject.partition("/")[0] == key)
    ]
    problems = sum(not finding.ok for _, finding in findings)
    text = f"{problems} problem{'s' if problems > 1 else ''}" if problems else "no problems"
    notice = TeamNotice(key, "doctor", ok=not problems, text=text, findings=findings)
    return await _team_page(request, notice)


async def _team_page(request: Request, notice: TeamNotice | None = None) -> Response:
    """A team's page with the result of a button; for htmx only the result."""
    key = _team_key(request)
    if notice is not None and "hx-request" in request.headers:
        return fragment(request, "_team_notice.html", notice=notice)
    team = await _team_view(inspector_of(request), key)
    return page(request, "teams.html", teams=[team], others=[], notice=notice)


def _team_key(request: Request) -> str:
    key = str(request.path_params["team"])
    if key not in viewer_of(request).teams(inspector_of(request).config):
        raise PageNotFound
    return key


async def _team_view(inspector: InspectorContext, key: str) -> TeamView:
    config: Config = inspector.config
    names = {f"{key}/{channel.name}": channel for channel in config.teams[key].channels}
    stats = await inspector.store.queries.queues(list(names))
    stopped = await stopped_queues(inspector.store, names)
    queues = [
        QueueView(name, channel, stats.get(name, QueueStats(name)), stopped.get(name))
        for name, channel in names.items()
    ]
    is_synced = config.penpot.access_token is not None and config.sync.enabled
    hook = await load_status(inspector.store, key) if is_synced else None
    return TeamView(key, config.team_name(key) or key, queues, hook)


ROUTES = [
    Route("/inspector/teams", _list, methods=["GET"]),
    Route("/inspector/teams/{team}", _team_page, methods=["GET"]),
    Route("/inspector/teams/{team}/hook", _hook, methods=["POST"]),
    Route("/inspector/teams/{team}/test", _test, methods=["POST"]),
    Route("/inspector/teams/{team}/doctor", _doctor, methods=["POST"]),
]
