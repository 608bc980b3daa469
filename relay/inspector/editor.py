"""Templates: the gallery of all messages, and the editor with its live preview."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from relay.channels import CHANNEL_TYPES, override_formats, render_preview
from relay.channels.base import ReplyTo
from relay.channels.preview import MessagePreview
from relay.config.settings import AnyChannel, Config
from relay.delivery.changes import renderer_of
from relay.delivery.fact_cache import FactCache
from relay.delivery.pipeline import EventSource, examples, prepare
from relay.delivery.renderer import MessageOptions, channel_to_preview
from relay.delivery.thumbnails import has_thumbnail
from relay.inspector import files, pages
from relay.messages.budget import SandboxBudget
from relay.messages.lint import Problem
from relay.messages.shorten import shorten
from relay.messages.templates import GENERIC_TEMPLATE, Templates
from relay.messages.turns import CONVERSIONS
from relay.penpot.catalogue import CATALOGUE, GROUPS
from relay.penpot.events import Event, NotAnEvent
from relay.penpot.samples import SAMPLE_NAMES
from relay.penpot.wire import UnreadableBody
from relay.reference import VARIABLES
from relay.store.base import Store
from relay.store.records import StoredEvent
from relay.store.search import EventFilters

RECENT_EVENTS_LIMIT = 20  # to choose the previewed event from
MAX_DIFF_LINES = 1000  # of each text
_MAX_VALUE_LENGTH = 80


class EventNotFound(pages.PageNotFound):
    """There is no event to preview a template with; the text says why."""


@dataclass(frozen=True, slots=True)
class DraftPreview:
    preview: MessagePreview
    skipped: str  # why the channel gets no message about the event, if so
    problems: tuple[Problem, ...]
    """Of all templates used. With a problem in the draft, the message is the one that the channel
    would get: from the built-in template."""

    def fails(self, file: str) -> bool:
        """Whether the message is not made from the draft of that file."""
        return any(problem.file == file for problem in self.problems)


class Drafts:
    """Renders events with unsaved templates.

    In a sandbox of its own with budgets of its own, so that a team's previews take nothing from its
    messages. A draft is compiled for one rendering only.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self._config = config
        self._store = store
        self._templates = Templates(
            config.templates.path, override_formats(), budget=SandboxBudget()
        )

    async def samples(self, names: Sequence[str], team: str) -> list[Event]:
        """Sample events, with the team's name. Raises ``EventNotFound``."""
        source = EventSource.of(self._config, team)
        try:
            return await examples(names, replace(source, name=source.name or team))
        except KeyError as error:
            text = f"there is no sample of {', '.join(names)}: choose a received event"
            raise EventNotFound(text) from error

    async def from_stored(self, stored: StoredEvent) -> Event:
        """A received event with cached names. Raises ``EventNotFound``, ``StoreUnavailable``."""
        source, facts = EventSource.of(self._config, stored.team), FactCache(self._store)
        try:
            return (await prepare(stored.body, stored.content_type, source, facts)).linked
        except (UnreadableBody, NotAnEvent) as error:
            raise EventNotFound(f"event {stored.id} is unreadable: {error}") from error

    async def render(
        self, event: Event, team: str, kind: str, typed: Mapping[str, str] | None = None
    ) -> DraftPreview:
        """The message about ``event``, which has its links, in the team's channel of that kind, or
        in one without options if there is none. ``typed``: drafts by file name. Never raises for an
        error in a template."""
        channel = channel_to_preview(self._config, team, kind, event)
        picture = "thumbnail" if has_thumbnail(event) else ""
        is_reply = event.thread.begun
        event = replace(event, thread=replace(event.thread, begun=False))
        renderer = renderer_of(self._templates, event, team, self._config, picture, typed)
        message = await renderer.preview(channel)
        thread = None
        if is_reply and channel.in_threads:  # also a mail to a person
            thread = ReplyTo("first", "last", message.subject)

        def finish() -> DraftPreview:
            problems = self._with_lint(
                sorted(renderer.problems, key=str), event, team, channel, typed or {}
            )
            preview = render_preview(kind, message, thread, channel)
            return DraftPreview(preview, renderer.skips(channel), tuple(problems))

        return await self._templates.turns.run(team, finish)

    def _with_lint(
        self,
        problems: list[Problem],
        event: Event,
        team: str,
        channel: AnyChannel,
        typed: Mapping[str, str],
    ) -> list[Problem]:
        variables = MessageOptions.in_config(self._config, team, channel).variables(event)
        known = {*CATALOGUE, event.name, "base", GENERIC_TEMPLATE}
        for name in typed:
            linted = self._templates.lint(name, known, [variables], team=team, drafts=typed)
            lines = {(problem.file, problem.line) for problem in linted}
            problems = linted + [p for p in problems if (p.file, p.line) not in lines]
        return problems


def describe_variables(event: Event) -> Iterator[tuple[str, list[str], str]]:
    """The variables that the catalogue lists for the event; all of them for an unknown event. Each
    with its description, in which every second part is a field, and its value; empty if falsy."""
    kind = CATALOGUE.get(event.name)
    variables = event.variables()
    for name in ("event", *kind.variables) if kind else VARIABLES:
        description = re.split(rf"\b({name}(?:\.[a-z_]+)+)\b", VARIABLES[name])
        value = event.name if name == "event" else variables[name]
        yield name, description, shorten(str(value) if value else "", _MAX_VALUE_LENGTH)


def diff(before: str, after: str) -> list[str]:
    """The lines of a unified diff without its head; none for texts of too many lines."""
    lines = before.splitlines(), after.splitlines()
    if max(map(len, lines)) > MAX_DIFF_LINES:
        return []
    return list(unified_diff(*lines, lineterm=""))[2:]


@dataclass(frozen=True, slots=True)
class EditorTarget:
    """What the editor edits and previews."""

    event: str  # name
    template: files.TemplatePath
    kind: str  # of channel
    source: str  # id of the previewed event; empty for the sample
    replies: bool  # preview it as a reply in a thread

    @classmethod
    def of(cls, request: Request, given: Mapping[str, str]) -> "EditorTarget":
        """From a query or a form. Raises ``PageNotFound``."""
        event, viewer = request.path_params["event"], pages.viewer_of(request)
        names = files.file_names(event)
        file = given.get("file", next(iter(names), ""))
        template = files.TemplatePath(file, given.get("team", viewer.team or ""))
        kind = template.kind or given.get("kind", next(iter(CHANNEL_TYPES)))
        teams = viewer.teams if viewer.team else (*viewer.teams, "")
        if template.name not in names or kind not in CHANNEL_TYPES or template.team not in teams:
            raise pages.PageNotFound
        return cls(event, template, kind, given.get("from", ""), given.get("replies") == "1")

    def address(self, **more: str) -> str:
        given = {"file": self.template.name, "team": self.template.team, "kind": self.kind}
        given |= {"from": self.source, "replies": "1" if self.replies else ""} | more
        query = urlencode({key: value for key, value in given.items() if value})
        return f"/inspector/templates/{self.event}?{query}"


class TemplatePages:
    def __init__(self, inspector: pages.InspectorContext) -> None:
        self._config, self._store = inspector.config, inspector.store
        self._templates = inspector.templates
        self._drafts = Drafts(inspector.config, inspector.store)

    def routes(self) -> list[Route]:
        gallery = "/inspector/templates"
        editor = f"{gallery}/{{event}}"
        return [
            Route(gallery, self.gallery, methods=["GET"]),
            Route(f"{editor}/mail", self.mail, methods=["GET"]),
            Route(editor, self.editor, methods=["GET"]),
            Route(f"{editor}/preview", self.preview, methods=["POST"]),
            Route(f"{editor}/frame", self.frame, methods=["POST"]),
            Route(f"{editor}/download", self.download, methods=["POST"]),
            Route(f"{editor}/save", self.save, methods=["POST"]),
            Route(f"{editor}/remove", self.remove, methods=["POST"]),
        ]

    async def gallery(self, request: Request) -> Response:
        """All sample events, as one team's messages in one kind of channel."""
        team, kind = self._team_and_kind(request)
        names = sorted(SAMPLE_NAMES, key=lambda name: GROUPS.index(CATALOGUE[name].group))
        cards = []
        for event in await self._drafts.samples(names, team):
            draft = await self._drafts.render(event, team, kind)
            own = files.own_template(self._config.templates.path, event.name, team, kind)
            cards.append((CATALOGUE[event.name], draft, own))
        grouped = groupby(cards, lambda card: card[0].group)
        sections = [(group, list(cards)) for group, cards in grouped]
        return await CONVERSIONS.run(
            team,
            lambda: pages.page(request, "gallery.html", sections=sections, kind=kind, team=team),
        )

    async def mail(self, request: Request) -> Response:
        """One sample as a team's message, for an ``<iframe>``."""
        team, kind = self._team_and_kind(request)
        (event,) = await self._drafts.samples([request.path_params["event"]], team)
        return pages.frame_response((await self._drafts.render(event, team, kind)).preview.frame)

    def _team_and_kind(self, request: Request) -> tuple[str, str]:
        """Of the query. Raises ``PageNotFound``."""
        query, teams = request.query_params, pages.viewer_of(request).teams
        team, kind = query.get("team", teams[0]), query.get("kind", next(iter(CHANNEL_TYPES)))
        if team not in teams or kind not in CHANNEL_TYPES:
            raise pages.PageNotFound
        return team, kind

    async def editor(self, request: Request) -> Response:
        """The saved text, or with ``text=builtin`` the built-in one."""
        target, text = EditorTarget.of(request, request.query_params), None
        if request.query_params.get("text") == "builtin":
            text = files.default_template(self._templates.builtin, target.template).text
        return await self._page(request, target, text)

    async def preview(self, request: Request) -> Response:
        """The draft's message: an HTML fragment for htmx, the whole page without scripts."""
        target, text = self._typed(request)
        if "hx-request" not in request.headers:
            return await self._page(request, target, text)
        values = await self._preview(request, target, text)
        if pages.form(request).get("listed", "") == target.source:
            values["variables"] = []
        return pages.page(request, "_draft_response.html", **values)

    async def frame(self, request: Request) -> Response:
        _, draft = await self._render(request, *self._typed(request))
        return pages.frame_response(draft.preview.frame)

    async def download(self, request: Request) -> Response:
        target, text = self._typed(request)
        name = target.template.name  # contains only letters, digits, "-", "_" and "."
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return Response(text, headers=headers, media_type="text/plain")

    async def save(self, request: Request) -> Response:
        """Only if ``inspector.write_templates`` is set."""
        target, text = self._typed(request)
        folder, digest = self._writable_folder(), pages.form(request).get("digest", "")
        try:
            _, draft = await self._render(request, target, text)
            fails = draft.fails(target.template.name)
            files.save(folder, target.template, text, digest, fails=fails)
        except (EventNotFound, files.NotSaved) as error:
            return await self._page(request, target, text, str(error))
        return RedirectResponse(target.address(saved="1"), 303)

    async def remove(self, request: Request) -> Response:
        """Return to the template that applies without the user's own; first show how they differ.
        Only if ``inspector.write_templates`` is set."""
        target, form = EditorTarget.of(request, pages.form(request)), pages.form(request)
        folder, error_text = self._writable_folder(), ""
        if form.get("confirmed"):
            try:
                files.remove(folder, target.template, form.get("digest", ""))
                return RedirectResponse(target.address(removed="1"), 303)
            except files.NotSaved as error:
                error_text = str(error)
        own = files.load_template(folder, self._templates.builtin, target.template)
        if own.origin != "own":
            return RedirectResponse(target.address(), 303)
        after = files.next_template(folder, self._templates.builtin, target.template)

        def page() -> Response:
            differences = diff(own.text, after.text if after else "")
            return pages.page(
                request,
                "remove.html",
                target=target,
                file=own,
                after=after,
                diff=differences,
                error_text=error_text,
            )

        return await CONVERSIONS.run(target.template.team, page)

    def _writable_folder(self) -> Path:
        """Raises ``PageNotFound``."""
        folder = self._config.templates.path
        if folder is None or not self._config.inspector.write_templates:
            raise pages.PageNotFound
        return folder

    def _typed(self, request: Request) -> tuple[EditorTarget, str]:
        # Forms send CRLF line ends; a file has LF and one at its end.
        text = pages.form(request).get("text", "").replace("\r\n", "\n").replace("\r", "\n")
        return EditorTarget.of(request, pages.form(request)), text.rstrip("\n") + "\n"

    async def _render(
        self, request: Request, target: EditorTarget, text: str
    ) -> tuple[Event, DraftPreview]:
        """Raises ``EventNotFound``."""
        viewer = pages.viewer_of(request)
        team = target.template.team or viewer.teams[0]
        if target.source:
            event_id = pages.row_id(target.source) or 0
            details = await self._store.queries.event(viewer.team, event_id)
            if details is None or details.event.name != target.event:
                raise EventNotFound("that event is no longer stored")
            event = await self._drafts.from_stored(details.event)
            team = target.template.team or details.event.team
            if team not in self._config.teams:
                raise EventNotFound(f"the team {team} is no longer in the config")
        else:
            (event,) = await self._drafts.samples([target.event], team)
        if target.replies:
            event = replace(event, thread=replace(event.thread, begun=True))
        typed = {target.template.name: text}
        return event, await self._drafts.render(event, team, target.kind, typed)

    async def _preview(self, request: Request, target: EditorTarget, text: str) -> dict[str, Any]:
        """What the page shows of a draft."""
        try:
            event, draft = await self._render(request, target, text)
        except EventNotFound as error:
            return {"target": target, "draft": None, "error_text": str(error), "variables": []}
        variables = list(describe_variables(event))
        return {"target": target, "draft": draft, "error_text": "", "variables": variables}

    async def _page(
        self, request: Request, target: EditorTarget, text: str | None, error_text: str = ""
    ) -> Response:
        """Of the saved text if there is none."""
        file = files.load_template(self._templates.user, self._templates.builtin, target.template)
        text = file.text if text is None else text
        recent = await self._store.queries.events(
            pages.viewer_of(request).team or target.template.team or None,
            EventFilters((target.event,)),
            limit=RECENT_EVENTS_LIMIT,
        )
        values = await self._preview(request, target, text)
        values["error_text"] = error_text or values["error_text"]
        return pages.page(
            request,
            "editor.html",
            files=[files.TemplatePath(name) for name in files.file_names(target.event)],
            file=file,
            text=text,
            digest=pages.form(request).get("digest", file.digest),
            recent=recent.rows,
            saved=request.query_params.get("saved") == "1",
            removed=request.query_params.get("removed") == "1" and file.origin != "own",
            **values,
        )
