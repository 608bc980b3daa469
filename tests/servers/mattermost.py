"""A stand-in for Mattermost: incoming webhooks and the posts of its REST API, as strict as its
source.

Each rule has its place in github.com/mattermost/mattermost, below ``server``.
"""

import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from tests.servers.loopback import Answer, Request
from tests.servers.multipart import parts

TOKEN = "mattermosttokenoftests0123"
HOOK = "hookoftheteststestshook123"
WEBHOOK_PATH = f"/hooks/{HOOK}"
BOT, DESIGN, TEAM = "botuserbotuserbotuserbotu1", "designdesigndesigndesign01", "acme"
OLD_MAX_LENGTH = 4000
MAX_LENGTH = 16_383  # public/model/post.go, PostMessageMaxRunesV2
# api/v4/source/posts.yaml; channels/web/webhook.go and public/model/incoming_webhook.go
POST_KEYS = frozenset({"channel_id", "message", "root_id", "file_ids", "props", "metadata"})
WEBHOOK_KEYS = frozenset(
    {
        *("text", "username", "icon_url", "icon_emoji", "channel", "props", "attachments", "type"),
        "priority",
    }
)


class Refused(Exception):
    """An AppError: public/model/utils.go"""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        body = {"id": code, "message": "Not done.", "request_id": "r", "status_code": status}
        self.answer = Answer.of(body, status)


@dataclass
class Mattermost:
    """A server with one team, one channel and one bot."""

    posts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Those that are shown, by id, oldest first; also those of the webhook."""
    pings: list[str] = field(default_factory=list)
    """Whom each post mentioned, in order."""
    files: dict[str, bytes] = field(default_factory=dict)
    attached: set[str] = field(default_factory=set)
    next: deque[Answer] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=lambda: {"ada": "adaadaadaadaadaadaadaadaa1"})
    members: set[str] = field(default_factory=lambda: {DESIGN})
    """The channels that the bot is in."""
    max_length: int = MAX_LENGTH
    has_webhooks: bool = True
    is_archived: bool = False
    design: str = DESIGN
    """The id of the channel that has the name "design" now."""
    is_editable: bool = True
    _count: int = 0

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.next:
            return self.next.popleft()
        try:
            if request.path.startswith("/hooks/"):
                return self._webhook(request)
            return self._api(request)
        except Refused as refused:
            return refused.answer

    @property
    def texts(self) -> list[str]:
        return [post["message"] for post in self.posts.values()]

    def _webhook(self, request: Request) -> Answer:
        """channels/app/webhook.go, HandleIncomingWebhook, in its order."""
        if not self.has_webhooks:
            raise Refused(501, "web.incoming_webhook.disabled.app_error")
        body = _object(request.body, "web.incoming_webhook.parse.app_error")
        text = body.get("text") or ""
        if not text and body.get("attachments") is None:
            raise Refused(400, "web.incoming_webhook.text.app_error")
        if request.path != WEBHOOK_PATH:
            raise Refused(400, "web.incoming_webhook.invalid.app_error")
        if self.is_archived:
            raise Refused(400, "api.post.create_post.can_not_post_to_deleted.error")
        text = _slack_text(text)
        for start in range(0, max(len(text), 1), self.max_length):  # splitWebhookPost
            self._store({"message": text[start : start + self.max_length], "hook": body})
        return Answer(b"ok", content_type="text/plain")

    def _api(self, request: Request) -> Answer:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":  # channels/web/handlers.go
            raise Refused(401, "api.context.session_expired.app_error")
        path = request.path.removeprefix("/api/v4/").split("/")
        match request.method, path:
            case "GET", ["users", "me"]:
                return Answer.of({"id": BOT, "username": "relay", "is_bot": True})
            case "GET", ["users", "username", name]:
                if name not in self.users:
                    raise Refused(404, "app.user.get_by_username.app_error")
                return Answer.of({"id": self.users[name], "username": name})
            case "GET", ["teams", "name", team, "channels", "name", name]:
                if team != TEAM:
                    raise Refused(404, "app.team.get_by_name.missing.app_error")
                if name != "design" or (self.is_archived and self.design == DESIGN):
                    raise Refused(404, "app.channel.get_by_name.missing.app_error")
                return Answer.of({"id": self.design, "name": name})
            case "GET", ["channels", channel, "members", "me"]:
                if channel not in self.members:
                    raise Refused(404, "app.channel.get_member.missing.app_error")
                return Answer.of({"channel_id": channel, "user_id": BOT})
            case "POST", ["channels", "direct"]:
                return self._direct(request)
            case "POST", ["files"]:
                return self._upload(request)
            case "POST", ["posts"]:
                return self._create(request)
            case "PUT", ["posts", post, "patch"]:
                return self._patch(request, post)
            case "DELETE", ["posts", post]:
                return self._delete(post)
        raise Refused(404, "api.context.404.app_error")

    def _direct(self, request: Request) -> Answer:
        """channels/api4/channel.go, createDirectChannel"""
        people = json.loads(request.body)
        if len(people) != 2 or people[0] != BOT or people[1] not in self.users.values():
            raise Refused(400, "api.context.invalid_body_param.app_error")
        channel = people[1][:25] + "d"
        self.members.add(channel)
        return Answer.of({"id": channel, "type": "D"}, 201)

    def _upload(self, request: Request) -> Answer:
        """channels/api4/file.go, uploadFileMultipart"""
        fields = parts(request)
        if fields.get("channel_id", ("", b""))[1].decode() not in self.members:
            raise Refused(403, "api.context.permissions.app_error")
        name, content = fields["files"]
        file = self._id("file")
        self.files[file] = content
        return Answer.of({"file_infos": [{"id": file, "name": name}], "client_ids": []}, 201)

    def _create(self, request: Request) -> Answer:
        """channels/api4/post.go, createPost, and channels/app/post.go, CreatePost"""
        post = _object(request.body, "api.context.invalid_body_param.app_error")
        if post.keys() - POST_KEYS:
            raise Refused(400, "api.context.invalid_body_param.app_error")
        channel = post.get("channel_id")
        if channel not in self.members:
            raise Refused(403, "api.context.permissions.app_error")
        if self.is_archived and channel == DESIGN:
            raise Refused(400, "api.post.create_post.can_not_post_to_deleted.error")
        if root := post.get("root_id"):
            if root not in self.posts or self.posts[root].get("root_id"):
                raise Refused(400, "api.post.create_post.root_id.app_error")
            if self.posts[root]["channel_id"] != channel:
                raise Refused(400, "api.post.create_post.channel_root_id.app_error")
        self._check_length(post)
        files = post.get("file_ids") or []
        # channels/app/file.go, attachFilesToPost: a file of another post is not attached.
        post["file_ids"] = [file for file in files[:10] if file not in self.attached]
        self.attached.update(files)
        number = self._store(post)
        return Answer.of({"id": number, **post}, 201)

    def _check_length(self, post: dict[str, Any]) -> None:
        """public/model/post.go, Post.IsValid"""
        if len(post.get("message") or "") > self.max_length:
            raise Refused(400, "model.post.is_valid.message_length.app_error")

    def _patch(self, request: Request, number: str) -> Answer:
        """channels/app/post.go, UpdatePost"""
        if number not in self.posts:
            raise Refused(404, "app.post.get.app_error")
        if not self.is_editable:
            raise Refused(400, "api.post.update_post.permissions_time_limit.app_error")
        if self.is_archived:
            raise Refused(400, "api.post.update_post.can_not_update_post_in_deleted.error")
        patch = _object(request.body, "api.context.invalid_body_param.app_error")
        self._check_length(patch)
        self.posts[number] |= {"message": patch["message"]}  # mentions of an edit notify nobody
        return Answer.of({"id": number, **self.posts[number]})

    def _delete(self, number: str) -> Answer:
        """channels/store/sqlstore/post_store.go, Delete: with all replies"""
        if number not in self.posts:
            raise Refused(404, "app.post.get.app_error")
        self.posts = {
            key: post
            for key, post in self.posts.items()
            if number not in (key, post.get("root_id"))
        }
        return Answer.of({"status": "OK"})

    def _store(self, post: dict[str, Any]) -> str:
        number = self._id("post")
        self.posts[number] = post
        self.pings += pings(post["message"], self.users)
        return number

    def _id(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count:022}"


def pings(text: str, users: Any = ("ada",)) -> list[str]:
    """channels/app/mention_parser_standard.go, ProcessText. It is given the text that is left after
    the Markdown, which contains no mention that this text does not."""
    known = {"@channel", "@all", "@here", *(f"@{name}" for name in users)}
    found = []
    for word in re.findall(r"(?:[:.@-]|[^\W])+", text):
        stripped = word.strip(":.-_").lower()
        words = [stripped, *re.split(r"[.:-]", stripped)]
        found += [each for each in words if each in known][:1]
    return found


def _slack_text(text: str) -> str:
    """channels/app/slack.go, ProcessSlackText"""
    for name in ("channel", "here", "all"):
        text = text.replace(f"<!{name}>", f"@{name}")
    return re.sub("<@([a-zA-Z0-9]+)>", r"@\1", text)


def _object(body: bytes, code: str) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, code) from None
    if not isinstance(value, dict):
        raise Refused(400, code)
    return value
