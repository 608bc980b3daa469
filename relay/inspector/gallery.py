"""Every kind of message as its reader sees it."""

from dataclasses import dataclass
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relay.inspector.context import inspector_of, viewer_of
from relay.inspector.drafts import DraftPreview, Drafts, EventNotFound
from relay.inspector.frames import framed
from relay.inspector.look.mail import SANDBOX
from relay.inspector.pages import missing, page
from relay.inspector.template_files import TemplatePath, counting
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.events import Event
from relay.penpot.samples import ORDER
from relay.preview import KINDS

KIND_NAMES = {"slack": "Slack", "matrix": "Matrix", "email": "Mail", "stdout": "Output"}


@dataclass(frozen=True, slots=True)
class Card:
    """One kind of event, told with its sample."""

    event: Event
    shown: DraftPreview
    own: TemplatePath | None
    """The user's own template that it is told with; None for the built-in one."""

    @property
    def when(self) -> str:
        """When Penpot sends it."""
        return CATALOGUE[self.event.name].when


class Gallery:
    """One page for each kind of channel."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    def routes(self) -> list[BaseRoute]:
        """Its path."""
        return [
            Route("/inspector/templates", self.show, methods=["GET"]),
            Route("/inspector/templates/{event}/mail", self.mail, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """The samples of all events as the messages of one team in one kind of channel."""
        inspector, viewer = inspector_of(request), viewer_of(request)
        teams = viewer.teams(inspector.config)
        team = request.query_params.get("team", teams[0])
        kind = request.query_params.get("kind", KINDS[0])
        if team not in teams or kind not in KINDS:
            return missing(request)
        names = sorted(ORDER, key=lambda name: GROUPS.index(CATALOGUE[name].group))
        events = [self._drafts.sample(name, team) for name in names]
        shown = await self._drafts.show_all(events, team, kind)
        folder = inspector.config.templates.path
        cards = [
            Card(event, one, counting(folder, event.name, team, kind))
            for event, one in zip(events, shown, strict=True)
        ]
        grouped = groupby(cards, lambda card: card.event.group)
        return page(
            request,
            "gallery.html",
            groups=[(group, list(cards)) for group, cards in grouped],
            kinds=KINDS,
            kind_names=KIND_NAMES,
            sandbox=SANDBOX,
            kind=kind,
            teams=teams,
            team=team,
        )

    async def mail(self, request: Request) -> Response:
        """One sample as a team's mail, for a frame in the page."""
        team = request.query_params.get("team", "")
        if team not in viewer_of(request).teams(inspector_of(request).config):
            return missing(request)
        try:
            event = self._drafts.sample(request.path_params["event"], team)
        except EventNotFound:
            return missing(request)
        shown = await self._drafts.show(event, team, "email")
        return framed(shown.look.frame) if shown.look.frame else missing(request)
