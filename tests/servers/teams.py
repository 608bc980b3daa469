"""A stand-in for a workflow of Microsoft Teams that posts what its webhook gets, and for the
channel to which it posts.

As Power Automate it answers 202 when the workflow starts, and knows only later whether Teams
accepts the card. Each rule has its source; ``docs`` is
https://docs.microsoft.com/microsoftteams/platform, ``schema`` is
https://docs.microsoft.com/adaptive-cards/schema-explorer.
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.servers.loopback import Answer, Request

WORKFLOW = "643e69f83c8944438d68119179a10a64"
SIGNATURE = "KODuebWbDGYFr0z0euSecretSignatureOfTheTests"
# docs/webhooks-and-connectors, github.com/atc0005/send2teams/pull/723: of the present host
# ….environment.api.powerplatform.com, and of the one before it
PATH = f"/powerautomate/automations/direct/workflows/{WORKFLOW}/triggers/manual/paths/invoke"
OLD_PATH = f"/workflows/{WORKFLOW}/triggers/manual/paths/invoke"
QUERY = f"api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={SIGNATURE}"
WEBHOOK_PATH = f"{PATH}?{QUERY}"

MAX_SIZE = 28 * 1024  # docs/webhooks-and-connectors/how-to/add-incoming-webhook
_ELEMENT = {"type", "spacing", "separator", "id", "isVisible", "height", "fallback", "requires"}
_TEXT = {"type", "text", "color", "fontType", "isSubtle", "size", "weight"}
# Of version 1.4: schema/text-block, schema/rich-text-block, schema/text-run, schema/container,
# schema/image, schema/action-open-url
_PROPERTIES = {
    "TextBlock": _ELEMENT | _TEXT | {"wrap", "maxLines", "horizontalAlignment", "style"},
    "RichTextBlock": _ELEMENT | {"inlines", "horizontalAlignment"},
    "TextRun": _TEXT | {"highlight", "italic", "selectAction", "strikethrough", "underline"},
    "Container": _ELEMENT | {"items", "style", "bleed", "selectAction", "verticalContentAlignment"},
    "Image": _ELEMENT | {"url", "altText", "size", "width", "style"},
    "Action.OpenUrl": {"type", "url", "title", "iconUrl", "style", "tooltip"},
}
_REQUIRED = {
    "TextBlock": {"text"},
    "RichTextBlock": {"inlines"},
    "TextRun": {"text"},
    "Container": {"items"},
    "Image": {"url"},
    "Action.OpenUrl": {"url"},
}
_VALUES = {
    "weight": {"Default", "Lighter", "Bolder"},
    "size": {"Default", "Small", "Medium", "Large", "ExtraLarge"},
    "fontType": {"Default", "Monospace"},
    "color": {"Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"},
    "spacing": {"Default", "None", "Small", "Medium", "Large", "ExtraLarge", "Padding"},
}
_BLOCKS = {"TextBlock", "RichTextBlock", "Container", "Image"}
_FLAGS = ("italic", "strikethrough", "underline", "highlight", "isSubtle", "separator", "wrap")


class Refused(Exception):
    """An answer of Azure Logic Apps."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = Answer.of({"error": {"code": code, "message": message}}, status)


class InvalidCard(Exception):
    """Why the workflow's action "Post card in a chat or channel" fails."""


@dataclass
class Teams:
    posted: list[dict[str, Any]] = field(default_factory=list)
    """The cards that the channel shows, oldest first."""
    failed: list[str] = field(default_factory=list)
    """Why the other runs of the workflow failed, as its run history says."""
    pings: list[str] = field(default_factory=list)
    """The people whom the cards notify, by the ids of their mentions."""
    next: deque[Answer] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    is_on: bool = True

    @property
    def texts(self) -> list[str]:
        """The words of each card, one line for each element."""
        return ["\n".join(lines(card)) for card in list(self.posted)]

    def handle(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.next:
            return self.next.popleft()
        try:
            self._start(request)
        except Refused as refused:
            return refused.answer
        # https://docs.microsoft.com/azure/logic-apps/logic-apps-http-endpoint: without a
        # Response action "immediately returns the 202 ACCEPTED status"
        return Answer(b"", 202, headers={"x-ms-workflow-run-id": f"0858{len(self.requests)}"})

    def _start(self, request: Request) -> None:
        if request.path not in (PATH, OLD_PATH):
            raise Refused(404, "WorkflowNotFound", "The workflow could not be found.")
        # github.com/microsoft/power-platform-skills/issues/435
        signature = parse_qs(request.query).get("sig", [""])[0]
        if not signature:
            text = "The OAuth authorization scheme is required."
            raise Refused(401, "DirectApiAuthorizationRequired", text)
        # https://oneuptime.com/blog/post/2026-01-24-azure-logic-app-workflow-errors/view
        if signature != SIGNATURE:
            text = "The authentication credentials are not valid."
            raise Refused(401, "AuthorizationFailed", text)
        if not self.is_on:
            text = "Could not execute workflow trigger 'manual' with state 'Disabled'."
            raise Refused(400, "WorkflowTriggerIsNotEnabled", text)
        for card in _cards(request):
            try:
                check(card)
                if len(request.body) > MAX_SIZE:
                    raise InvalidCard("Request Entity too large")
            except InvalidCard as error:
                self.failed.append(str(error))
            else:
                self.posted.append(card)
                self.pings += pings(card)


def _cards(request: Request) -> Iterator[dict[str, Any]]:
    """https://docs.microsoft.com/connectors/teams/#adaptivecarditemschema, and of its
    errors github.com/grafana/grafana/issues/99477"""
    content_type = request.headers.get("content-type", "").partition(";")[0]
    try:
        body = json.loads(request.body) if content_type == "application/json" else None
    except ValueError:
        raise Refused(400, "InvalidRequestContent", "The request content is not valid.") from None
    _require(body, "type", "attachments")
    if not isinstance(body["attachments"], list):
        raise _mismatch("Invalid type. Expected Array but got Object.")
    for attachment in body["attachments"]:
        _require(attachment, "contentType", "contentUrl", "content")
        if not isinstance(attachment["content"], dict):
            raise _mismatch("Invalid type. Expected Object but got String.")
        yield attachment["content"]


def _require(value: Any, *keys: str) -> None:
    if not isinstance(value, dict):
        raise _mismatch("Invalid type. Expected Object.")
    if missing := [key for key in keys if key not in value]:
        names = ", ".join(missing)
        raise _mismatch(f"Required properties are missing from object: {names}.")


def _mismatch(why: str) -> Refused:
    rule = "The input body for trigger 'manual' of type 'Request' did not match its schema"
    return Refused(400, "TriggerInputSchemaMismatch", f"{rule} definition. Error details: '{why}'")


def check(card: dict[str, Any]) -> None:
    """As strict as the schema; Teams itself ignores what it does not know. Its clients show cards
    up to version 1.5: docs/task-modules-and-cards/cards/cards-reference"""
    # github.com/ffind-dev/pve-ups/issues/4
    if card.get("type") != "AdaptiveCard":
        raise InvalidCard("Property 'type' must be 'AdaptiveCard'")
    if not re.fullmatch(r"1\.[0-5]", str(card.get("version"))):
        raise InvalidCard("Property 'version' is missing or not supported")
    known = {"type", "version", "body", "actions", "msteams", "$schema", "fallbackText", "lang"}
    if unknown := card.keys() - known:
        raise InvalidCard(f"unknown properties of AdaptiveCard: {unknown}")
    for element in card.get("body", ()):
        _check_element(element, _BLOCKS)
    for action in card.get("actions", ()):
        _check_element(action, {"Action.OpenUrl"})
    _check_msteams(card.get("msteams", {}))


def _check_element(element: Any, kinds: set[str]) -> None:
    kind = element.get("type") if isinstance(element, dict) else None
    if kind not in kinds:
        raise InvalidCard(f"unknown element {kind}")
    if unknown := element.keys() - _PROPERTIES[kind]:
        raise InvalidCard(f"unknown properties of {kind}: {unknown}")
    if missing := _REQUIRED[kind] - element.keys():
        raise InvalidCard(f"missing properties of {kind}: {missing}")
    for key in ("text", "url"):
        if key in element and not isinstance(element[key], str):
            raise InvalidCard(f"{key} of {kind} must be a text")
    for key, values in _VALUES.items():
        if key in element and element[key] not in values:
            raise InvalidCard(f"{key} of {kind} must be one of {values}")
    if any(not isinstance(element.get(key, True), bool) for key in _FLAGS):
        raise InvalidCard(f"a flag of {kind} must be true or false")
    if kind == "Action.OpenUrl" and not re.match(r"https?://[^\s/]", element["url"]):
        raise InvalidCard("url of Action.OpenUrl must be absolute")
    for inline in element.get("inlines", ()):
        if not isinstance(inline, str):
            _check_element(inline, {"TextRun"})
    for item in element.get("items", ()):
        _check_element(item, _BLOCKS)
    if "selectAction" in element:
        _check_element(element["selectAction"], {"Action.OpenUrl"})


def _check_msteams(msteams: dict[str, Any]) -> None:
    """docs/task-modules-and-cards/cards/cards-format#mention-support-within-adaptive-cards"""
    for entity in msteams.get("entities", ()):
        mentioned = entity.get("mentioned", {})
        texts = (entity.get("text"), mentioned.get("id"), mentioned.get("name"))
        if entity.get("type") != "mention" or not all(isinstance(text, str) for text in texts):
            raise InvalidCard("a mention needs a text, an id and a name")


def elements(card: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Also those in containers."""
    pending = deque(card.get("body", ()))
    while pending:
        element = pending.popleft()
        yield element
        pending.extendleft(reversed(element.get("items", ())))


def runs(card: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for element in elements(card):
        yield from element.get("inlines", ())


def lines(card: dict[str, Any]) -> Iterator[str]:
    for element in elements(card):
        if "inlines" in element:
            yield "".join(run["text"] for run in element["inlines"])
        elif "text" in element:
            yield element["text"]


def pings(card: dict[str, Any]) -> Iterator[str]:
    """docs/task-modules-and-cards/cards/cards-format: mentions are "in TextBlock and FactSet
    elements", with their text as that of an entity."""
    shown = "\n".join(
        element["text"] for element in elements(card) if element["type"] == "TextBlock"
    )
    for entity in card.get("msteams", {}).get("entities", ()):
        if entity["text"] in shown:
            yield entity["mentioned"]["id"]
