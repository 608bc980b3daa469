"""What a page works on, and for whom."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.requests import Request

from relay.config import Config
from relay.delivery.feed import ChangeFeed
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.store.base import Store


@dataclass(frozen=True, slots=True)
class InspectorContext:
    """The parts of the running service that pages show."""

    config: Config
    store: Store
    templates: Templates
    metrics: Metrics
    feed: ChangeFeed
    """Tells which events changed."""
    wake: Callable[[Collection[str]], None]
    """To be called with the queues that deliveries were put back into."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who may look."""

    team: str | None
    """The one team that is shown to them, by its key; None for all."""
    token: str
    """What each of their forms has to bring along (``token``), so that no other site's can."""
    name: str = ""
    """What the reverse proxy calls them; empty for everybody else."""
    has_session: bool = False
    """Whether they have logged in here, and so can log out."""

    def teams(self, config: Config) -> tuple[str, ...]:
        """The keys of the teams that are shown to them."""
        return tuple(config.teams) if self.team is None else (self.team,)


def inspector_of(request: Request) -> InspectorContext:
    """The service that a page shows."""
    found = request.scope["inspector"]
    assert isinstance(found, InspectorContext)  # noqa: S101 - Door puts it there
    return found


def viewer_of(request: Request) -> Viewer:
    """Who asks for a page."""
    found = request.scope["viewer"]
    assert isinstance(found, Viewer)  # noqa: S101 - Door puts it there
    return found
