"""The inspector's routes; imported with the first permitted request."""

from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Router
from starlette.types import ASGIApp

from relay.inspector import event, events, live, teams
from relay.inspector.auth import Sessions
from relay.inspector.context import InspectorContext
from relay.inspector.drafts import Drafts
from relay.inspector.editor import TemplateEditor
from relay.inspector.gallery import Gallery
from relay.inspector.login import Login
from relay.inspector.pages import ASSET_ROUTES, PagesMiddleware


def pages(inspector: InspectorContext, sessions: Sessions) -> ASGIApp:
    drafts = Drafts(inspector.config, inspector.store)
    router = Router(
        [
            *ASSET_ROUTES,
            *Login(inspector.config, sessions).routes(),
            *events.ROUTES,
            *event.ROUTES,
            *live.ROUTES,
            *teams.ROUTES,
            *Gallery(drafts).routes(),
            *TemplateEditor(drafts).routes(),
        ],
        redirect_slashes=False,
    )
    return GZipMiddleware(PagesMiddleware(router))
