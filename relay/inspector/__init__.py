"""The inspector: Relay's web pages."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from relay.inspector.auth import Sessions
    from relay.inspector.pages import InspectorContext


def build_pages(inspector: "InspectorContext", sessions: "Sessions") -> "ASGIApp":
    """For the first permitted request: the pages need much memory, so they load with it."""
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.routing import Router

    from relay.inspector import auth, editor, event, events, live, pages, teams

    drafts = editor.Drafts(inspector.config, inspector.store)
    routes = [
        *pages.ASSET_ROUTES,
        *auth.Login(inspector.config, sessions).routes(),
        *events.ROUTES,
        *event.ROUTES,
        *live.ROUTES,
        *teams.ROUTES,
        *editor.Gallery(drafts).routes(),
        *editor.TemplateEditor(drafts).routes(),
    ]
    return GZipMiddleware(pages.PagesMiddleware(Router(routes, redirect_slashes=False)))
