"""The inspector: Relay's web pages."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp

from relay.inspector import auth, login, pages
from relay.store.records import StoreUnavailable


def build_pages(inspector: pages.InspectorContext, sessions: auth.Sessions) -> ASGIApp:
    """For the first permitted request: the pages need much memory, so they load with it."""
    from relay.inspector import editor, event, events, live, teams

    logins, templates = login.Login(inspector.config, sessions), editor.TemplatePages(inspector)
    routes = [
        *(pages.ASSET_ROUTES + logins.routes() + events.ROUTES + event.ROUTES + live.ROUTES),
        *(teams.ROUTES + templates.routes()),
    ]
    handlers = {pages.PageNotFound: pages.not_found, StoreUnavailable: pages.store_unavailable}
    application = Starlette(
        routes=routes, middleware=[Middleware(GZipMiddleware)], exception_handlers=handlers
    )
    application.router.redirect_slashes = False
    return application
