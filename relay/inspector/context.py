"""What endpoints get with a request: the running service and the viewer."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from starlette.requests import Request

from relay.config.settings import Config
from relay.delivery.feed import ChangeFeed
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.store.base import Store


@dataclass(frozen=True, slots=True)
class InspectorContext:
    config: Config
    store: Store
    templates: Templates
    metrics: Metrics
    feed: ChangeFeed
    wake: Callable[[Collection[str]], None]
    """Called with the names of queues that got deliveries back for resending."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """An authenticated client."""

    team: str | None  # key of the only visible team; None: all teams
    token: str  # CSRF token, sent with each form
    name: str = ""  # from the single sign-on proxy's header
    has_session: bool = False  # logged in with a password, so can log out

    def teams(self, config: Config) -> tuple[str, ...]:
        """The keys of the visible teams."""
        return tuple(config.teams) if self.team is None else (self.team,)


def inspector_of(request: Request) -> InspectorContext:
    context = request.scope["inspector"]
    assert isinstance(context, InspectorContext)  # noqa: S101 - set by LoginGate
    return context


def viewer_of(request: Request) -> Viewer:
    viewer = request.scope["viewer"]
    assert isinstance(viewer, Viewer)  # noqa: S101 - set by LoginGate
    return viewer
