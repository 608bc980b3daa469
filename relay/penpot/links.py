"""Deep links into Penpot 2.5.1 and later.

Source: ``frontend/src/app/main/ui/routes.cljs``. The workspace stays blank without the right
``team-id``; if the team's id is unknown, the link leads to the viewer, which needs none.
"""

from dataclasses import replace
from urllib.parse import urlencode

from relay.penpot.events import Event


def add_links(event: Event, base_url: str) -> Event:
    """The event with its ``url``, that of the most specific place, and those of its subjects.

    ``base_url`` is Penpot's public address; if it is empty, there are no links. Subjects without an
    id and deleted ones get none.
    """
    if not base_url:
        return event
    links = _Links(base_url.rstrip("/#"), event.team.id)
    page, previous = event.page.id, event.previous
    team = links.dashboard("recent")
    project = "" if event.name == "delete-project" else links.project(event.project.id)
    file = "" if event.name == "delete-file" else links.file(event.file.id)
    thread = links.thread(event.thread.id, event.file.id, page)
    thread = "" if event.name == "delete-comment-thread" else thread
    fonts = links.dashboard("fonts") if event.group == "fonts" else ""
    place = links.file(event.file.id, page) if page else ""
    if event.name == "duplicate-file":
        previous = replace(previous, url=links.file(previous.id))
    elif event.name == "duplicate-project":
        previous = replace(previous, url=links.project(previous.id))
    return replace(
        event,
        url=thread or place or file or fonts or project or team,
        team=replace(event.team, url=team),
        project=replace(event.project, url=project),
        file=replace(event.file, url=file, thumbnail=links.asset(event.file.thumbnail)),
        files=tuple(replace(each, url=links.file(each.id)) for each in event.files),
        page=replace(event.page, url=place),
        thread=replace(event.thread, url=thread),
        comment=replace(event.comment, url=thread),
        library=replace(event.library, url=links.file(event.library.id)),
        font=replace(event.font, url=fonts),
        previous=previous,
    )


class _Links:
    """Each is empty without the ids that it needs."""

    def __init__(self, base: str, team: str) -> None:
        self._base = base
        self._team = team

    def file(self, file: str, page: str = "") -> str:
        if not file or not self._team:
            return self._viewer(file, page, "interactions")
        return self._link("workspace", {"team-id": self._team, "file-id": file, "page-id": page})

    def thread(self, thread: str, file: str, page: str) -> str:
        """In the form of the links in Penpot's own emails (comments.clj)."""
        if not thread or not file or not self._team:
            return self._viewer(file if thread else "", page, "comments")
        ids = {"file-id": file, "page-id": page, "team-id": self._team, "comment-id": thread}
        return self._link("workspace", ids)

    def project(self, project: str) -> str:
        if not project or not self._team:
            return ""
        return self._link("dashboard/files", {"team-id": self._team, "project-id": project})

    def asset(self, media: str) -> str:
        """A picture; to see that of a file one must be logged in to Penpot."""
        return f"{self._base}/assets/by-id/{media}" if media else ""

    def dashboard(self, section: str) -> str:
        return self._link(f"dashboard/{section}", {"team-id": self._team}) if self._team else ""

    def _viewer(self, file: str, page: str, section: str) -> str:
        if not file:
            return ""
        place = {"file-id": file, "page-id": page, "section": section, "index": "0"}
        return self._link("view", place)

    def _link(self, path: str, query: dict[str, str]) -> str:
        return f"{self._base}/#/{path}?{urlencode([pair for pair in query.items() if pair[1]])}"
