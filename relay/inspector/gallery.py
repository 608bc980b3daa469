"""The gallery: a preview of every event's message, per kind of channel."""

from dataclasses import dataclass
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from relay.channels import CHANNEL_TYPES
from relay.channels.preview import SANDBOX
from relay.inspector.context import inspector_of, viewer_of
from relay.inspector.drafts import DraftPreview, Drafts, EventNotFound
from relay.inspector.files import TemplatePath, own_template
from relay.inspector.pages import PageNotFound, frame_response, page
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.events import Event
from relay.penpot.samples import SAMPLE_NAMES


@dataclass(frozen=True, slots=True)
class Card:
    event: Event
    draft: DraftPreview
    own: TemplatePath | None  # the user's template in use; None for the built-in one

    @property
    def when(self) -> str:
        return CATALOGUE[self.event.name].when


class Gallery:
    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/inspector/templates", self.show, methods=["GET"]),
            Route("/inspector/templates/{event}/mail", self.mail, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """All sample events, as one team's messages in one kind of channel."""
        inspector, viewer = inspector_of(request), viewer_of(request)
        teams = viewer.teams(inspector.config)
        team = request.query_params.get("team", teams[0])
        kind = request.query_params.get("kind", next(iter(CHANNEL_TYPES)))
        if team not in teams or kind not in CHANNEL_TYPES:
            raise PageNotFound
        names = sorted(SAMPLE_NAMES, key=lambda name: GROUPS.index(CATALOGUE[name].group))
        events = await self._drafts.samples(names, team)
        drafts = await self._drafts.render_all(events, team, kind)
        folder = inspector.config.templates.path
        cards = [
            Card(event, draft, own_template(folder, event.name, team, kind))
            for event, draft in zip(events, drafts, strict=True)
        ]
        grouped = groupby(cards, lambda card: card.event.group)
        return page(
            request,
            "gallery.html",
            groups=[(group, list(cards)) for group, cards in grouped],
            kinds=CHANNEL_TYPES,
            kind_names={name: kind.label for name, kind in CHANNEL_TYPES.items()},
            sandbox=SANDBOX,
            kind=kind,
            teams=teams,
            team=team,
        )

    async def mail(self, request: Request) -> Response:
        """One sample as a team's message, for an ``<iframe>``."""
        team, kind = (request.query_params.get(name, "") for name in ("team", "kind"))
        teams = viewer_of(request).teams(inspector_of(request).config)
        if team not in teams or kind not in CHANNEL_TYPES:
            raise PageNotFound
        try:
            event = await self._drafts.sample(request.path_params["event"], team)
        except EventNotFound as error:
            raise PageNotFound from error
        return frame_response((await self._drafts.render(event, team, kind)).preview.frame)
