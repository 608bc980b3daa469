"""Teams: each channel with its state, a test message, what the doctor finds, the hook's URL."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from relay.channels import channel_class
from relay.channels.base import Finding
from relay.config import AnyChannel, Config
from relay.delivery.health import broken
from relay.inspector.context import InspectorContext, inspector_of, viewer_of
from relay.inspector.pages import form, missing, page, parts
from relay.store.reading import MOST_WAITING, QueueStats
from relay.sync.hooks import WebhookStatus, last

AT_ONCE = 12
"""Teams that are shown whole on one page; more of them are links to a page each."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """A channel as the page shows it."""

    name: str
    settings: AnyChannel
    facts: QueueStats
    stopped: tuple[float, str] | None
    """Since when, in seconds since 1970, and why; None while it works."""

    @property
    def state(self) -> str:
        """stopped, waiting (for its next try), sending or ready"""
        if self.stopped:
            return "stopped"
        if not self.facts.waiting:
            return "ready"
        return "waiting" if self.facts.next_at > time.time() else "sending"

    @property
    def backlog(self) -> str:
        """How many messages wait, in words that fit a large number."""
        count = self.facts.waiting
        return f"{MOST_WAITING:,} or more" if count >= MOST_WAITING else f"{count:,}"

    @property
    def pace(self) -> str:
        """How fast messages may go out."""
        a_minute = self.settings.pace or channel_class(self.settings.type).pace
        return f"{a_minute:g} a minute at most" if a_minute else "as fast as the server takes them"

    @property
    def takes(self) -> str:
        """Which events it takes, as its ``events`` list has it."""
        if not self.settings.events:
            return "everything but what is personal or noise"
        entries = self.settings.selection.entries
        return "everything" if entries == ("*",) else ", ".join(entries)

    @property
    def anchor(self) -> str:
        """Its name in the page's addresses."""
        return f"channel-{self.settings.name}"


@dataclass(frozen=True, slots=True)
class TeamView:
    """A team as the page shows it."""

    key: str
    name: str
    queues: Sequence[QueueView]
    hook: WebhookStatus | None
    """What the watch found about its hook in Penpot; None where it has not looked."""


@dataclass(frozen=True, slots=True)
class TeamNotice:
    """What came of a button."""

    team: str
    what: str
    """hook, test or doctor"""
    channel: str = ""
    ok: bool = True
    text: str = ""
    findings: Sequence[tuple[str, Finding]] = ()


async def _all(request: Request) -> Response:
    inspector = inspector_of(request)
    keys = viewer_of(request).teams(inspector.config)
    if len(keys) > AT_ONCE:
        return page(request, "teams.html", teams=[], others=keys, told=None)
    teams = [await _team(inspector, key) for key in keys]
    return page(request, "teams.html", teams=teams, others=[], told=None)


async def _one(request: Request) -> Response:
    return await _shown(request, None)


async def _hook(request: Request) -> Response:
    """The hook's URL, for who asks for it."""
    key, config = request.path_params["team"], inspector_of(request).config
    if not _may_see(request):
        return missing(request)
    base = config.server.public_url or f"http://localhost:{config.server.port}"
    return await _shown(request, TeamNotice(key, "hook", text=base + config.hook_path(key)))


async def _test(request: Request) -> Response:
    """Send a test message for real."""
    from relay.trial import send_test

    key, config = request.path_params["team"], inspector_of(request).config
    name = (await form(request)).get("channel", "")
    if not _may_see(request):
        return missing(request)
    found = [one for one in config.teams[key].channels if one.name == name]
    if not found:
        return missing(request)
    taken, words = await send_test(config, key, found[0])
    return await _shown(request, TeamNotice(key, "test", channel=name, ok=taken, text=words))


async def _doctor(request: Request) -> Response:
    """What `relay doctor` finds about a team; what concerns all teams only for who sees all."""
    from relay.doctor import GENERAL, examine

    key, config = request.path_params["team"], inspector_of(request).config
    if not _may_see(request):
        return missing(request)
    sees_all = viewer_of(request).team is None
    narrowed = config.model_copy(update={"teams": {key: config.teams[key]}})
    findings = [
        (place, finding)
        async for place, finding in examine(narrowed, known=config.teams)
        if sees_all or (place not in GENERAL and place.partition("/")[0] == key)
    ]
    wrong = sum(not finding.ok for _, finding in findings)
    text = f"{wrong} to mend" if wrong else "all is good"
    return await _shown(
        request, TeamNotice(key, "doctor", ok=not wrong, text=text, findings=findings)
    )


async def _shown(request: Request, told: TeamNotice | None) -> Response:
    """A team's page with what came of a button; for htmx that alone."""
    if not _may_see(request):
        return missing(request)
    if told is not None and "hx-request" in request.headers:
        return parts(request, "_team_told.html", told=told)
    team = await _team(inspector_of(request), request.path_params["team"])
    return page(request, "teams.html", teams=[team], others=[], told=told)


def _may_see(request: Request) -> bool:
    return request.path_params["team"] in viewer_of(request).teams(inspector_of(request).config)


async def _team(inspector: InspectorContext, key: str) -> TeamView:
    config: Config = inspector.config
    names = {f"{key}/{channel.name}": channel for channel in config.teams[key].channels}
    facts = await inspector.store.reading.queues(list(names))
    stopped = await broken(inspector.store, names)
    queues = [
        QueueView(name, channel, facts.get(name, QueueStats(name)), stopped.get(name))
        for name, channel in names.items()
    ]
    watched = config.penpot.access_token is not None and config.watch.enabled
    hook = await last(inspector.store, key) if watched else None
    return TeamView(key, config.team_name(key) or key, queues, hook)


ROUTES = [
    Route("/inspector/teams", _all, methods=["GET"]),
    Route("/inspector/teams/{team}", _one, methods=["GET"]),
    Route("/inspector/teams/{team}/hook", _hook, methods=["POST"]),
    Route("/inspector/teams/{team}/test", _test, methods=["POST"]),
    Route("/inspector/teams/{team}/doctor", _doctor, methods=["POST"]),
]
