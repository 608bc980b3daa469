"""The editor of one template, with the message beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from relay.config import Config
from relay.inspector.context import InspectorContext, Viewer, inspector_of, viewer_of
from relay.inspector.drafts import DraftPreview, Drafts, EventNotFound
from relay.inspector.frames import framed
from relay.inspector.gallery import KIND_NAMES
from relay.inspector.look.mail import SANDBOX
from relay.inspector.pages import form, missing, page, parts
from relay.inspector.recent import of_kind, one
from relay.inspector.template_files import (
    SHARED,
    NotSaved,
    TemplateFile,
    TemplatePath,
    beginning,
    found,
    names,
    save,
)
from relay.inspector.variables import described
from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import Event
from relay.preview import KINDS


@dataclass(frozen=True, slots=True)
class EditorTarget:
    """What the editor is set to."""

    event: str
    """The event's name."""
    place: TemplatePath
    kind: str
    """The kind of channel that is shown."""
    source: str
    """Id of the event that is shown; empty for the sample."""
    replies: bool
    """Whether it is shown as it stands in the thread of an earlier one."""

    @classmethod
    def of(
        cls, event: str, given: Mapping[str, str], viewer: Viewer, config: Config
    ) -> "EditorTarget | None":
        """The desk that a query or a form asks for; None where there is no such one for them."""
        files = names(event)
        place = TemplatePath(
            given.get("file", next(iter(files), "")), given.get("team", viewer.team or "")
        )
        kind = place.kind or given.get("kind", KINDS[0])
        teams = viewer.teams(config) if viewer.team else ("", *config.teams)
        if place.name not in files or place.team not in teams or kind not in KINDS:
            return None
        return cls(event, place, kind, given.get("from", ""), given.get("replies") == "1")

    def address(self, **more: str) -> str:
        """Of the editor, set like this."""
        given = {"file": self.place.name, "team": self.place.team, "kind": self.kind}
        given |= {"from": self.source, "replies": "1" if self.replies else ""} | more
        query = urlencode({key: value for key, value in given.items() if value})
        return f"/inspector/templates/{self.event}?{query}"


class TemplateEditor:
    """Shows templates, renders what is typed, and saves it where that is allowed."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    def routes(self) -> list[BaseRoute]:
        """The editor's paths."""
        path = "/inspector/templates/{event}"
        forms = ("preview", self.preview), ("frame", self.frame), ("download", self.download)
        return [
            Route(path, self.show, methods=["GET"]),
            *(Route(f"{path}/{name}", call, methods=["POST"]) for name, call in forms),
            Route(f"{path}/save", self.save, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The editor with the text that counts, or where it asks for ``text=builtin`` with what
        one starts from."""
        inspector, desk = self._desk(request, request.query_params)
        if desk is None:
            return missing(request)
        templates = inspector.templates
        there = found(templates.user, templates.builtin, desk.place)
        text = there.text
        if request.query_params.get("text") == "builtin":
            text = beginning(templates.builtin, desk.place).text
        saved = request.query_params.get("saved") == "1"
        return await self._page(request, desk, there, text, saved=saved)

    async def preview(self, request: Request) -> Response:
        """What is typed as a message: a part of the page, or for a browser without scripts all of
        it."""
        inspector, desk, fields = await self._typed(request)
        if desk is None:
            return missing(request)
        text = _lines(fields.get("text", ""))
        if "hx-request" not in request.headers:
            there = found(inspector.templates.user, inspector.templates.builtin, desk.place)
            return await self._page(request, desk, there, text, seen=fields.get("seen", ""))
        try:
            event, shown = await self._shown(request, desk, text)
        except EventNotFound as error:
            return parts(
                request,
                "_drafted.html",
                fault=str(error),
                shown=None,
                fails=True,
                desk=desk,
                variables=[],
            )
        listed = fields.get("listed", "") == desk.source
        return parts(
            request,
            "_drafted.html",
            fault="",
            desk=desk,
            shown=shown,
            fails=_fails(shown, desk),
            variables=[] if listed else list(described(event)),
        )

    async def frame(self, request: Request) -> Response:
        """What is typed as a mail, for a frame in the page."""
        _, desk, fields = await self._typed(request)
        if desk is None:
            return missing(request)
        try:
            _, shown = await self._shown(request, desk, _lines(fields.get("text", "")))
        except EventNotFound:
            return missing(request)
        if shown.look.frame is None:
            return missing(request)
        return framed(shown.look.frame)

    async def download(self, request: Request) -> Response:
        """What is typed as a file."""
        _, desk, fields = await self._typed(request)
        if desk is None:
            return missing(request)
        name = desk.place.name  # letters, digits, "-", "_" and "." alone
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        text = _lines(fields.get("text", ""))
        return Response(text, headers=headers, media_type="text/plain; charset=utf-8")

    async def save(self, request: Request) -> Response:
        """Write what is typed into the templates' folder, where the config allows it."""
        inspector, desk, fields = await self._typed(request)
        folder = inspector.config.templates.path
        if desk is None or folder is None or not inspector.config.inspector.write_templates:
            return missing(request)
        text, seen = _lines(fields.get("text", "")), fields.get("seen", "")
        try:
            _, shown = await self._shown(request, desk, text)
            save(folder, desk.place, text, seen, fails=_fails(shown, desk))
        except (EventNotFound, NotSaved) as error:
            there = found(inspector.templates.user, inspector.templates.builtin, desk.place)
            return await self._page(request, desk, there, text, seen=seen, fault=str(error))
        return RedirectResponse(desk.address(saved="1"), 303)

    def _desk(
        self, request: Request, given: Mapping[str, str]
    ) -> tuple[InspectorContext, EditorTarget | None]:
        inspector, event = inspector_of(request), request.path_params["event"]
        return inspector, EditorTarget.of(event, given, viewer_of(request), inspector.config)

    async def _typed(
        self, request: Request
    ) -> tuple[InspectorContext, EditorTarget | None, dict[str, str]]:
        fields = await form(request)
        return *self._desk(request, fields), fields

    async def _shown(
        self, request: Request, desk: EditorTarget, text: str
    ) -> tuple[Event, DraftPreview]:
        """The event of the target, and the text as its message. Raises ``EventNotFound``."""
        inspector, viewer = inspector_of(request), viewer_of(request)
        team = desk.place.team or viewer.teams(inspector.config)[0]
        if desk.source:
            stored = await one(inspector.store, viewer.team, desk.source)
            if stored is None or stored.name != desk.event:
                raise EventNotFound("that event is not there any more")
            event = await self._drafts.real(stored)
            team = desk.place.team or stored.team
            if team not in inspector.config.teams:
                raise EventNotFound(f"the team {team} is not in the config any more")
        else:
            event = self._drafts.sample(desk.event, team)
        typed = {desk.place.name: text}
        return event, await self._drafts.show(event, team, desk.kind, typed, replies=desk.replies)

    async def _page(
        self,
        request: Request,
        desk: EditorTarget,
        there: TemplateFile,
        text: str,
        *,
        seen: str | None = None,
        fault: str = "",
        saved: bool = False,
    ) -> Response:
        inspector, viewer = inspector_of(request), viewer_of(request)
        config, kind = inspector.config, CATALOGUE.get(desk.event)
        recent = await of_kind(inspector.store, desk.event, viewer.team or desk.place.team or None)
        shown = event = None
        try:
            event, shown = await self._shown(request, desk, text)
        except EventNotFound as error:
            fault = fault or str(error)
        values: dict[str, Any] = {
            "desk": desk,
            "about": kind,
            "files": {name: _for_whom(name) for name in names(desk.event)},
            "kinds": [desk.place.kind] if desk.place.kind else KINDS,
            "kind_names": KIND_NAMES,
            "sandbox": SANDBOX,
            "teams": viewer.teams(config),
            "for_all": viewer.team is None,
            "there": there,
            "text": text,
            "seen": there.seen if seen is None else seen,
            "changed": text != there.text,
            "recent": recent,
            "shown": shown,
            "fails": shown is not None and _fails(shown, desk),
            "variables": list(described(event)) if event else [],
            "fault": fault,
            "saved": saved,
            "folder": config.templates.path,
            "writes": config.inspector.write_templates,
        }
        return page(request, "editor.html", **values)


def _fails(shown: DraftPreview, desk: EditorTarget) -> bool:
    """Whether the draft itself is at fault, so that the message is not made of it."""
    return any(problem.file == desk.place.name for problem in shown.problems)


def _for_whom(name: str) -> str:
    """What a file is for, and its name."""
    kind = TemplatePath(name).kind
    words = SHARED.get(name) or (f"{KIND_NAMES[kind]} alone" if kind else "all channels")
    return f"{words}: {name}"


def _lines(text: str) -> str:
    """A text as a file has it: forms send it with the line ends of a telegraph."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"
