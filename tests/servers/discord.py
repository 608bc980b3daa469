"""A stand-in for Discord's webhooks, as strict as the documentation.

Each rule has its source; ``docs`` is https://docs.discord.com/developers. What the documentation
leaves out is what Discord is not known to check, such as unknown keys.
"""

import json
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.servers.loopback import Answer, Request
from tests.servers.multipart import parts

WEBHOOK_ID = "1400000000000000001"
TOKEN = "SecretTokenOfTheTests_0123456789-abcdefghijklmnopqrstuvwxyz012345"
WEBHOOK_PATH = f"/api/webhooks/{WEBHOOK_ID}/{TOKEN}"
THREAD = "1400000000000000099"
CHANNEL = "1400000000000000002"

# docs/resources/webhook#execute-webhook, "JSON/Form Params"
KEYS = frozenset(
    {
        *("content", "username", "avatar_url", "tts", "embeds", "allowed_mentions", "components"),
        *("payload_json", "attachments", "flags", "thread_name", "applied_tags", "poll"),
    }
)
_MENTION_PATTERN = re.compile(r"<@!?(\d+)>")
# docs/resources/message#embed-object-embed-limits, by path in an embed
_EMBED_LIMITS = {"title": 256, "description": 4096, "footer.text": 2048, "author.name": 256}
_MAX_EMBED_TEXT = 6000


class Refused(Exception):
    """A JSON error: docs/topics/opcodes-and-status-codes#json-json-error-codes"""

    def __init__(self, status: int, code: int, message: str, errors: Any = None) -> None:
        super().__init__(message)
        body = {"message": message, "code": code}
        self.answer = Answer.of(body | ({"errors": errors} if errors else {}), status)


def invalid(path: str, code: str, message: str) -> Refused:
    """ "Invalid Form Body", with the place of the problem: docs/reference#error-messages"""
    errors: Any = {"_errors": [{"code": code, "message": message}]}
    for name in reversed(path.split(".")):
        errors = {name: errors}
    return Refused(400, 50035, "Invalid Form Body", errors)


@dataclass
class Discord:
    """A webhook of one channel: what it shows, and the answers to give next."""

    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The messages as they are shown, by id, oldest first."""
    posted: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of accepted posts, oldest first."""
    pings: list[str] = field(default_factory=list)
    """Whom each post notified, in order: user ids, ``everyone`` and ids of roles."""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """The attachments of each message, by their names."""
    next: deque[Answer] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    limit: int = 1000
    """Requests in each window; Discord does not document how many they are."""
    window: float = 2.0  # seconds
    kind: int = 1
    """docs/resources/webhook#webhook-object-webhook-types"""
    is_forum: bool = False
    clock: Callable[[], float] = time.monotonic
    _since: float = 0.0
    _count: int = 0

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.next:
            return self.next.popleft()
        if limited := self._limited():
            return limited
        try:
            answer = self._route(request)
        except Refused as refused:
            answer = refused.answer
        answer.headers |= self._bucket()
        return answer

    def _limited(self) -> Answer | None:
        """docs/topics/rate-limits#exceeding-a-rate-limit"""
        now = self.clock()
        if now - self._since >= self.window:
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= self.limit:
            return None
        wait = round(self._since + self.window - now, 3)
        body = {"message": "You are being rate limited.", "retry_after": wait, "global": False}
        headers = {"Retry-After": str(int(wait) + 1), "X-RateLimit-Scope": "user"}
        return Answer.of(body, 429, **headers, **self._bucket())

    def _bucket(self) -> dict[str, str]:
        """docs/topics/rate-limits#header-format"""
        left = max(self._since + self.window - self.clock(), 0.0)
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - self._count, 0)),
            "X-RateLimit-Reset-After": f"{left:.3f}",
            "X-RateLimit-Bucket": "abcd1234",
        }

    def _route(self, request: Request) -> Answer:
        match = re.fullmatch(
            r"/api(?:/v10)?/webhooks/(\d+)/([\w-]+)(?:/messages/(\d+))?", request.path
        )
        if match is None:
            raise Refused(404, 0, "404: Not Found")
        if not request.headers.get("user-agent"):  # docs/reference#user-agent
            raise Refused(403, 40333, "internal network error")
        webhook, token, message = match.groups()
        if webhook != WEBHOOK_ID:
            raise Refused(404, 10015, "Unknown Webhook")
        if token != TOKEN:
            raise Refused(401, 50027, "Invalid Webhook Token")
        query = {name: values[-1] for name, values in parse_qs(request.query).items()}
        if query.get("thread_id", THREAD) != THREAD:
            raise Refused(404, 10003, "Unknown Channel")
        if message is not None:
            return self._of_message(request, message)
        if request.method == "GET":
            shown = {"id": WEBHOOK_ID, "type": self.kind, "name": "Relay", "channel_id": CHANNEL}
            return Answer.of(shown)
        return self._post(request, query)

    def _post(self, request: Request, query: dict[str, str]) -> Answer:
        """docs/resources/webhook#execute-webhook"""
        body, files = _form(request)
        _check(body, files, kept={})
        if self.is_forum and "thread_id" not in query and not body.get("thread_name"):
            raise Refused(
                400,
                220001,
                "Webhooks posted to forum channels must have a thread_name or thread_id",
            )
        number = str(1500000000000000000 + len(self.posted))
        self.posted.append(body)
        self.shown[number] = body
        self.files[number] = files
        self.pings += pings(body)
        if query.get("wait") != "true":
            return Answer(status=204)
        thread = query.get("thread_id", CHANNEL)
        return Answer.of({"id": number, "channel_id": thread, "webhook_id": WEBHOOK_ID} | body)

    def _of_message(self, request: Request, message: str) -> Answer:
        """docs/resources/webhook#edit-webhook-message and #delete-webhook-message"""
        if message not in self.shown:
            raise Refused(404, 10008, "Unknown Message")
        if request.method == "DELETE":
            del self.shown[message], self.files[message]
            return Answer(status=204)
        body, files = _form(request)
        kept = self.files[message] if "attachments" not in body else {}
        _check(self.shown[message] | body, files, kept=kept)
        self.shown[message] = self.shown[message] | body
        self.files[message] = {**kept, **files}
        return Answer.of({"id": message, **self.shown[message]})


def pings(body: dict[str, Any]) -> Iterator[str]:
    """docs/resources/message#allowed-mentions-object: of what ``content`` mentions, in a webhook by
    default the users. Nothing in an embed notifies."""
    allowed = body.get("allowed_mentions", {"parse": ["users"]})
    content = body.get("content") or ""
    for user in dict.fromkeys(_MENTION_PATTERN.findall(content)):
        if "users" in allowed.get("parse", ()) or user in allowed.get("users", ()):
            yield user
    if re.search(r"@(?:everyone|here)", content) and "everyone" in allowed.get("parse", ()):
        yield "everyone"


def _form(request: Request) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The JSON, and the files: docs/reference#uploading-files, docs/reference#content-type"""
    content_type = request.headers.get("content-type", "").partition(";")[0]
    files = {}
    text = request.body
    if content_type == "multipart/form-data":
        fields = parts(request)
        for name, (file, content) in fields.items():
            if re.fullmatch(r"files\[\d+\]", name):
                if not file:
                    raise invalid(name, "BASE_TYPE_REQUIRED", "This field is required")
                files[file] = content
        text = fields.get("payload_json", ("", b"{}"))[1]
    elif content_type != "application/json":
        raise invalid("_misc", "CONTENT_TYPE_INVALID", 'Expected "Content-Type" header')
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused(400, 50109, "The request body contains invalid JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, 50109, "The request body contains invalid JSON.")
    return body, files


def _check(body: dict[str, Any], files: dict[str, bytes], kept: dict[str, bytes]) -> None:
    content, embeds = body.get("content") or "", body.get("embeds") or []
    if len(content) > 2000:
        raise invalid("content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length.")
    if len(embeds) > 10:
        raise invalid("embeds", "BASE_TYPE_MAX_LENGTH", "Must be 10 or fewer in length.")
    names = {attachment.get("filename") for attachment in body.get("attachments") or ()}
    total = sum(_embed(embed, number, {*files, *kept}) for number, embed in enumerate(embeds))
    if total > _MAX_EMBED_TEXT:
        rule = "Embed size exceeds maximum size of 6000"
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", rule)
    if not (content.strip() or embeds or files or body.get("components") or body.get("poll")):
        raise Refused(400, 50006, "Cannot send an empty message")
    if body.get("attachments") and not names <= {*files, *kept}:
        raise invalid("attachments", "ATTACHMENT_NOT_FOUND", "No such attachment")
    if not 0 < len(body.get("username") or "x") <= 80:
        raise invalid("username", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 80 in length.")
    _allowed_mentions(body.get("allowed_mentions") or {})


def _allowed_mentions(allowed: dict[str, Any]) -> None:
    """docs/resources/message#allowed-mentions-object"""
    kinds = set(allowed.get("parse", ()))
    if kinds - {"roles", "users", "everyone"}:
        raise invalid("allowed_mentions.parse", "BASE_TYPE_CHOICES", "Value must be one of ...")
    for kind in ("users", "roles"):
        people = allowed.get(kind, ())
        if len(people) > 100:
            rule = "Must be 100 or fewer in length."
            raise invalid(f"allowed_mentions.{kind}", "BASE_TYPE_MAX_LENGTH", rule)
        if (
            people and kind in kinds
        ):  # "Due to possible ambiguities, not all configurations are valid"
            rule = f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.'
            raise invalid("allowed_mentions", "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", rule)
        if not all(re.fullmatch(r"\d{1,20}", str(person)) for person in people):
            raise invalid(f"allowed_mentions.{kind}", "NUMBER_TYPE_COERCE", "is not snowflake.")


def _embed(embed: dict[str, Any], number: int, files: set[str]) -> int:
    """The characters that count; without the white space around them."""
    texts = {}
    for path, limit in _EMBED_LIMITS.items():
        value: Any = embed
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        texts[path] = str(value or "").strip()
        if _size(texts[path]) > limit:
            rule = f"Must be {limit} or fewer in length."
            raise invalid(f"embeds.{number}.{path}", "BASE_TYPE_MAX_LENGTH", rule)
    for each in embed.get("fields") or ():
        if len(each.get("name", "")) > 256 or len(each.get("value", "")) > 1024:
            raise invalid(f"embeds.{number}.fields", "BASE_TYPE_MAX_LENGTH", "Too long")
        texts[each["name"]] = each["name"] + each["value"]
    if len(embed.get("fields") or ()) > 25:
        raise invalid(f"embeds.{number}.fields", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer")
    image = str((embed.get("image") or {}).get("url", ""))
    if not any(texts.values()) and not image:
        raise invalid(
            f"embeds.{number}.description", "BASE_TYPE_REQUIRED", "This field is required"
        )
    if image and not image.startswith(("https://", "http://", "attachment://")):
        raise invalid(
            f"embeds.{number}.image.url", "URL_TYPE_INVALID_SCHEME", "Scheme must be one of"
        )
    if image.startswith("attachment://") and image.removeprefix("attachment://") not in files:
        raise invalid(f"embeds.{number}.image.url", "ATTACHMENT_NOT_FOUND", "No such attachment")
    return sum(map(_size, texts.values()))


def _size(text: str) -> int:
    """The most that a character can count as, in UTF-16: the documentation does not say."""
    return len(text.encode("utf-16-le", "replace")) // 2
