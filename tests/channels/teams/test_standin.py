"""The stand-in for a workflow of Microsoft Teams: a request that violates each of its rules is
refused, and another client's is accepted."""

import json
from typing import Any

import apprise
import httpx
import pytest
import requests

from tests.channels.teams.place import Place
from tests.servers.teams import OLD_PATH, PATH, QUERY, SIGNATURE, WEBHOOK_PATH, WORKFLOW

RUN = {"type": "TextRun", "text": "x"}
LINE = {"type": "RichTextBlock", "inlines": [RUN]}
CARD = {"type": "AdaptiveCard", "version": "1.4", "body": [LINE]}
ATTACHMENT = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None}


def message(card: Any) -> dict[str, Any]:
    return {"type": "message", "attachments": [ATTACHMENT | {"content": card}]}


def post(at: Place, body: Any, path: str = WEBHOOK_PATH) -> httpx.Response:
    return httpx.post(at.url + path, json=body, trust_env=False)


def link(url: str) -> dict[str, Any]:
    return {"type": "Action.OpenUrl", "url": url}


BAD_CARDS: list[tuple[str, Any]] = [
    ("no card", {"text": "x"}),
    ("no version", CARD | {"version": ""}),
    ("new version", CARD | {"version": "1.6"}),
    ("unknown property", CARD | {"title": "x"}),
    ("unknown element", CARD | {"body": [{"type": "Badge", "text": "x"}]}),
    ("run outside of a line", CARD | {"body": [RUN]}),
    ("line in a line", CARD | {"body": [LINE | {"inlines": [LINE]}]}),
    ("no text", CARD | {"body": [{"type": "TextBlock"}]}),
    ("text of another type", CARD | {"body": [{"type": "TextBlock", "text": 7}]}),
    ("unknown property of a run", CARD | {"body": [LINE | {"inlines": [RUN | {"bold": True}]}]}),
    ("weight", CARD | {"body": [LINE | {"inlines": [RUN | {"weight": "Bold"}]}]}),
    ("flag", CARD | {"body": [LINE | {"inlines": [RUN | {"italic": 1}]}]}),
    ("spacing", CARD | {"body": [LINE | {"spacing": "none"}]}),
    ("no items", CARD | {"body": [{"type": "Container"}]}),
    ("item", CARD | {"body": [{"type": "Container", "items": [RUN]}]}),
    ("relative address", CARD | {"actions": [link("/x")]}),
    ("other action", CARD | {"actions": [{"type": "Action.Submit"}]}),
    ("action of a run", CARD | {"body": [LINE | {"inlines": [RUN | {"selectAction": {}}]}]}),
    ("mention", CARD | {"msteams": {"entities": [{"type": "mention", "text": "<at>x</at>"}]}}),
    ("size", CARD | {"body": [LINE | {"inlines": [RUN | {"text": "x" * 30_000}]}]}),
]


@pytest.mark.parametrize(("name", "card"), BAD_CARDS, ids=lambda value: str(value)[:20])
def test_the_run_with_a_card_that_breaks_a_rule_fails(at: Place, name: str, card: Any) -> None:
    assert post(at, message(card)).status_code == 202
    assert (len(at.teams.failed), at.teams.posted) == (1, []), name


@pytest.mark.parametrize("path", [WEBHOOK_PATH, f"{OLD_PATH}?{QUERY}"])
def test_a_card_is_posted(at: Place, path: str) -> None:
    answer = post(at, message(CARD | {"actions": [link("https://penpot.example")]}), path)
    assert (answer.status_code, answer.content) == (202, b"")
    assert answer.headers["x-ms-workflow-run-id"]
    assert at.teams.texts == ["x"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (WEBHOOK_PATH.replace(WORKFLOW, "other"), 404, "WorkflowNotFound"),
        (PATH, 401, "DirectApiAuthorizationRequired"),
        (WEBHOOK_PATH.replace(SIGNATURE, "other"), 401, "AuthorizationFailed"),
    ],
)
def test_an_address_that_is_wrong_is_refused(at: Place, path: str, status: int, code: str) -> None:
    answer = post(at, message(CARD), path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"text": "x"}, "missing from object: type, attachments"),
        ({"type": "message", "attachments": {}}, "Expected Array"),
        ({"type": "message", "attachments": [{"content": CARD}]}, "contentType, contentUrl"),
        (message("x"), "Expected Object"),
        ([], "Expected Object"),
    ],
)
def test_a_body_that_is_not_of_the_triggers_schema_is_refused(
    at: Place, body: Any, words: str
) -> None:
    answer = post(at, body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "TriggerInputSchemaMismatch")
    assert words in error["message"]


def test_a_body_has_to_be_json(at: Place) -> None:
    for content_type, code in (
        ("application/json", "InvalidRequestContent"),
        ("text/plain", "TriggerInputSchemaMismatch"),
    ):
        headers = {"content-type": content_type}
        answer = httpx.post(at.url + WEBHOOK_PATH, content=b"{", headers=headers, trust_env=False)
        assert answer.json()["error"]["code"] == code


def test_a_workflow_that_is_off_runs_not(at: Place) -> None:
    at.teams.is_on = False
    answer = post(at, message(CARD))
    assert answer.json()["error"]["code"] == "WorkflowTriggerIsNotEnabled"
    assert at.teams.posted == []


def test_only_a_mention_with_its_text_in_a_text_block_pings(at: Place) -> None:
    def entity(name: str) -> dict[str, Any]:
        mentioned = {"id": f"{name}@example.com", "name": name}
        return {"type": "mention", "text": f"<at>{name}</at>", "mentioned": mentioned}

    body = [
        {"type": "TextBlock", "text": "Hi <at>ada</at>, <at>bob</at>"},
        LINE | {"inlines": [RUN | {"text": "<at>eve</at>"}]},
    ]
    entities = [entity("ada"), entity("eve"), entity("joe")]
    post(at, message(CARD | {"body": body, "msteams": {"entities": entities}}))
    assert at.teams.pings == ["ada@example.com"]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
@pytest.mark.parametrize("options", ["", "&pa=yes"])
def test_apprise_posts_here_as_it_does_to_a_workflow(
    at: Place, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apprise knows workflows by https only."""
    posting = requests.post

    def plain(url: str, **arguments: Any) -> requests.Response:
        return posting(url.replace("https:", "http:"), **arguments)

    monkeypatch.setattr(requests, "post", plain)
    host = at.url.removeprefix("http://")
    client = apprise.Apprise(f"workflows://{host}/{WORKFLOW}/{SIGNATURE}/?image=yes{options}")
    text = "The *words*, <at>ada@example.com</at>"
    assert client.notify(title="A title", body=text)
    assert at.teams.failed == []
    assert at.teams.texts == [f"A title\n{text}"]
    assert at.teams.pings == ["ada@example.com"]
    assert json.loads(at.teams.requests[0].body)["attachments"][0]["contentUrl"] is None
    assert at.teams.requests[0].path == (PATH if options else OLD_PATH)
    wrong = f"workflows://{host}/{WORKFLOW}/{SIGNATURE[:-1]}/"
    assert not apprise.Apprise(wrong).notify(body="x")
