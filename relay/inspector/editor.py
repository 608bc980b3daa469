"""Templates: the gallery of all messages, and the editor with its live preview."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from relay.channels import CHANNEL_TYPES, override_formats, render_preview
from relay.channels.base import ReplyTo
from relay.channels.preview import SANDBOX, MessagePreview
from relay.config.settings import Config
from relay.delivery.facts import FactCache
from relay.delivery.pipeline import EventSource, examples, prepare
from relay.delivery.renderer import mentions_to_ping
from relay.errors import RelayError
from relay.inspector.files import (
    SHARED,
    NotSaved,
    TemplatePath,
    default_template,
    file_names,
    load_template,
    own_template,
    save,
)
from relay.inspector.pages import (
    PageNotFound,
    form,
    fragment,
    frame_response,
    inspector_of,
    page,
    row_id,
    viewer_of,
)
from relay.messages.plain import shorten
from relay.messages.rendering import Problem
from relay.messages.templates import GENERIC_TEMPLATE, Templates
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.events import Event, NotAnEvent
from relay.penpot.samples import SAMPLE_NAMES
from relay.penpot.wire import UnreadableBody
from relay.reference import VARIABLES
from relay.store.base import Store
from relay.store.queries import EventFilters
from relay.store.records import StoredEvent

RECENT_EVENTS_LIMIT = 20  # to choose the previewed event from
_SHARED = ("base", GENERIC_TEMPLATE)
_MAX_VALUE_LENGTH = 80
_FIELD_PATTERN = re.compile(r"\b[a-z]+(\.[a-z_]+)+\b")


class EventNotFound(RelayError):
    """There is no event to preview a template with; the text says why."""


@dataclass(frozen=True, slots=True)
class DraftPreview:
    preview: MessagePreview
    problems: tuple[Problem, ...]
    """Of all templates used. With a problem in the draft, the message is the one that the channel
    would get: from the built-in template."""


class Drafts:
    """Renders events with unsaved templates.

    In a sandbox worker of its own, so that an endless loop in a draft does not delay messages. One
    at a time: the worker is serial, and drafts that wait for it must not occupy the threads that
    render messages. A draft is compiled for one rendering only.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._templates = Templates(config.templates.path, override_formats())
        self._lock = asyncio.Lock()

    async def sample(self, name: str, team: str) -> Event:
        """The sample event, with the team's name. Raises ``EventNotFound``."""
        try:
            (event,) = await self.samples([name], team)
        except KeyError as error:
            raise EventNotFound(f"there is no sample of {name}: choose a received event") from error
        return event

    async def samples(self, names: Iterable[str], team: str) -> list[Event]:
        """Raises ``KeyError``."""
        source = EventSource.of(self._config, team)
        return await examples(names, replace(source, name=source.name or team))

    async def from_stored(self, stored: StoredEvent) -> Event:
        """A received event with cached names. Raises ``EventNotFound``, ``StoreUnavailable``."""
        source, facts = EventSource.of(self._config, stored.team), FactCache(self._store)
        try:
            return (await prepare(stored.body, stored.content_type, source, facts)).linked
        except (UnreadableBody, NotAnEvent) as error:
            raise EventNotFound(f"event {stored.id} is unreadable: {error}") from error

    async def render(
        self,
        event: Event,
        team: str,
        kind: str,
        typed: Mapping[str, str] | None = None,
        *,
        replies: bool = False,
    ) -> DraftPreview:
        """The message about ``event``, which has its links, in a channel of that kind.

        ``typed``: drafts by file name. ``replies``: render as a reply in a thread. Never raises for
        an error in a template.
        """
        async with self._lock:
            return await asyncio.to_thread(self._render, event, team, kind, typed or {}, replies)

    async def render_all(self, events: Sequence[Event], team: str, kind: str) -> list[DraftPreview]:
        """The messages about several events, with the saved templates."""
        async with self._lock:
            return await asyncio.to_thread(
                lambda: [self._render(event, team, kind, {}, False) for event in events]
            )

    def _render(
        self, event: Event, team: str, kind: str, typed: Mapping[str, str], replies: bool
    ) -> DraftPreview:
        channels = [c for c in self._config.teams[team].channels if c.type == kind]
        if replies:
            event = replace(event, thread=replace(event.thread, begun=True))
        shares_emails = any(channel.share_emails for channel in channels)
        variables = (event if shares_emails else event.without_emails()).variables()
        rendered = self._templates.render(
            event.name, variables, team=team, channel_kind=kind, drafts=typed
        )
        message = replace(
            rendered.message,
            mentions=mentions_to_ping(event, self._config.people),
            picture="thumbnail" if any(c.has_thumbnails for c in channels) else "",
        )
        problems = list(rendered.problems)
        known = {*CATALOGUE, event.name, *_SHARED}
        for name in typed:
            linted = self._templates.lint(name, known, [variables], team=team, drafts=typed)
            lines = {(problem.file, problem.line) for problem in linted}
            problems = linted + [p for p in problems if (p.file, p.line) not in lines]
        thread = ReplyTo("", "", message.title) if replies else None
        preview = render_preview(kind, message, thread, channels[0] if channels else None)
        return DraftPreview(preview, tuple(problems))


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


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    description: Markup  # field names in it are buttons that insert them into the template
    value: str  # in the previewed event; empty if falsy


def describe_variables(event: Event) -> Iterator[Variable]:
    """The variables that the catalogue lists for the event; all of them for an unknown event."""
    kind = CATALOGUE.get(event.name)
    variables = event.variables()
    for name in ("event", *kind.variables) if kind else VARIABLES:
        value = variables[name]
        text = event.name if name == "event" else str(value) if value else ""
        yield Variable(name, _with_buttons(name, VARIABLES[name]), shorten(text, _MAX_VALUE_LENGTH))


def _with_buttons(variable: str, text: str) -> Markup:
    parts, position = Markup(""), 0
    for match in _FIELD_PATTERN.finditer(text):
        if match[0].startswith(f"{variable}."):
            parts += escape(text[position : match.start()]) + _button(match[0])
            position = match.end()
    return parts + escape(text[position:])


def _button(name: str) -> Markup:
    return Markup('<button type="button" class="insert" data-insert="{0}">{0}</button>').format(
        name
    )


@dataclass(frozen=True, slots=True)
class EditorTarget:
    """What the editor edits and previews."""

    event: str  # name
    template: TemplatePath
    kind: str  # of channel
    source: str  # id of the previewed event; empty for the sample
    replies: bool  # preview it as a reply in a thread

    @classmethod
    def of(cls, request: Request, given: Mapping[str, str]) -> "EditorTarget":
        """From a query or a form. Raises ``PageNotFound``."""
        event, viewer = request.path_params["event"], viewer_of(request)
        files = file_names(event)
        template = TemplatePath(
            given.get("file", next(iter(files), "")), given.get("team", viewer.team or "")
        )
        kind = template.kind or given.get("kind", next(iter(CHANNEL_TYPES)))
        teams = viewer.teams(inspector_of(request).config)
        if template.name not in files or kind not in CHANNEL_TYPES:
            raise PageNotFound
        if template.team not in teams and (template.team or viewer.team):
            raise PageNotFound
        return cls(event, template, kind, given.get("from", ""), given.get("replies") == "1")

    def address(self, **more: str) -> str:
        given = {"file": self.template.name, "team": self.template.team, "kind": self.kind}
        given |= {"from": self.source, "replies": "1" if self.replies else ""} | more
        query = urlencode({key: value for key, value in given.items() if value})
        return f"/inspector/templates/{self.event}?{query}"


class TemplateEditor:
    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    def routes(self) -> list[BaseRoute]:
        path = "/inspector/templates/{event}"
        forms = ("preview", self.preview), ("frame", self.frame), ("download", self.download)
        return [
            Route(path, self.show, methods=["GET"]),
            *(Route(f"{path}/{name}", call, methods=["POST"]) for name, call in forms),
            Route(f"{path}/save", self.save, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The saved text, or with ``text=builtin`` the built-in one."""
        target, text = EditorTarget.of(request, request.query_params), None
        if request.query_params.get("text") == "builtin":
            text = default_template(inspector_of(request).templates.builtin, target.template).text
        saved = request.query_params.get("saved") == "1"
        return await self._page(request, target, text, saved=saved)

    async def preview(self, request: Request) -> Response:
        """The draft's message: an HTML fragment for htmx, the whole page without scripts."""
        target, text, fields = await self._read_form(request)
        if "hx-request" not in request.headers:
            return await self._page(request, target, text, digest=fields.get("digest", ""))
        values: dict[str, Any] = {"draft": None, "fails": True, "error_text": "", "variables": []}
        try:
            event, draft = await self._render(request, target, text)
        except EventNotFound as error:
            values["error_text"] = str(error)
        else:
            values |= {"draft": draft, "fails": _fails(draft, target)}
            if fields.get("listed", "") != target.source:
                values["variables"] = list(describe_variables(event))
        return fragment(request, "_draft_response.html", target=target, **values)

    async def frame(self, request: Request) -> Response:
        target, text, _ = await self._read_form(request)
        try:
            _, draft = await self._render(request, target, text)
        except EventNotFound as error:
            raise PageNotFound from error
        return frame_response(draft.preview.frame)

    async def download(self, request: Request) -> Response:
        target, text, _ = await self._read_form(request)
        name = target.template.name  # contains only letters, digits, "-", "_" and "."
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(text, headers=headers, media_type="text/plain; charset=utf-8")

    async def save(self, request: Request) -> Response:
        """Only if ``inspector.write_templates`` is set."""
        target, text, fields = await self._read_form(request)
        config, digest = inspector_of(request).config, fields.get("digest", "")
        if config.templates.path is None or not config.inspector.write_templates:
            raise PageNotFound
        try:
            _, draft = await self._render(request, target, text)
            fails = _fails(draft, target)
            save(config.templates.path, target.template, text, digest, fails=fails)
        except (EventNotFound, NotSaved) as error:
            return await self._page(request, target, text, digest=digest, error_text=str(error))
        return RedirectResponse(target.address(saved="1"), 303)

    async def _read_form(self, request: Request) -> tuple[EditorTarget, str, dict[str, str]]:
        fields = await form(request)
        # Forms send CRLF line ends; a file has LF and one at its end.
        text = fields.get("text", "").replace("\r\n", "\n").replace("\r", "\n")
        return EditorTarget.of(request, fields), text.rstrip("\n") + "\n", fields

    async def _render(
        self, request: Request, target: EditorTarget, text: str
    ) -> tuple[Event, DraftPreview]:
        """Raises ``EventNotFound``."""
        inspector, viewer = inspector_of(request), viewer_of(request)
        team = target.template.team or viewer.teams(inspector.config)[0]
        if target.source:
            event_id, queries = row_id(target.source), inspector.store.queries
            details = await queries.event(viewer.team, event_id) if event_id is not None else None
            if details is None or details.event.name != target.event:
                raise EventNotFound("that event is no longer stored")
            event = await self._drafts.from_stored(details.event)
            team = target.template.team or details.event.team
            if team not in inspector.config.teams:
                raise EventNotFound(f"the team {team} is no longer in the config")
        else:
            event = await self._drafts.sample(target.event, team)
        typed = {target.template.name: text}
        return event, await self._drafts.render(
            event, team, target.kind, typed, replies=target.replies
        )

    async def _page(
        self,
        request: Request,
        target: EditorTarget,
        text: str | None,
        *,
        digest: str | None = None,
        error_text: str = "",
        saved: bool = False,
    ) -> Response:
        inspector, viewer = inspector_of(request), viewer_of(request)
        config, templates = inspector.config, inspector.templates
        file = load_template(templates.user, templates.builtin, target.template)
        text = file.text if text is None else text
        recent = await inspector.store.queries.events(
            viewer.team or target.template.team or None,
            EventFilters(kind=target.event),
            limit=RECENT_EVENTS_LIMIT,
        )
        draft = event = None
        try:
            event, draft = await self._render(request, target, text)
        except EventNotFound as error:
            error_text = error_text or str(error)
        values: dict[str, Any] = {
            "target": target,
            "catalogue_entry": CATALOGUE.get(target.event),
            "files": {name: _label(name) for name in file_names(target.event)},
            "kinds": [target.template.kind] if target.template.kind else list(CHANNEL_TYPES),
            "kind_names": {name: kind.label for name, kind in CHANNEL_TYPES.items()},
            "sandbox": SANDBOX,
            "teams": viewer.teams(config),
            "for_all": viewer.team is None,
            "file": file,
            "text": text,
            "digest": file.digest if digest is None else digest,
            "changed": text != file.text,
            "recent": recent.rows,
            "draft": draft,
            "fails": draft is not None and _fails(draft, target),
            "variables": list(describe_variables(event)) if event else [],
            "error_text": error_text,
            "saved": saved,
            "folder": config.templates.path,
            "writes": config.inspector.write_templates,
        }
        return page(request, "editor.html", **values)


def _fails(draft: DraftPreview, target: EditorTarget) -> bool:
    """Whether the draft itself has a problem, so that the message is not made from it."""
    return any(problem.file == target.template.name for problem in draft.problems)


def _label(name: str) -> str:
    kind = TemplatePath(name).kind
    purpose = SHARED.get(name) or (f"{CHANNEL_TYPES[kind].label} only" if kind else "all channels")
    return f"{purpose}: {name}"
