"""Sending documents to a real HTTP server, which verifies each signature."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from relay.channels.base import DeliveryError, Gone, Misconfigured, Permanent, RetryLater
from relay.messages.message import Content
from relay.messages.payload import EVENT, payload
from tests.channels.builders import (
    MESSAGE,
    SIGNING_SECRET,
    assert_leaks_no_secret,
    delivery_error,
    findings,
    opened,
    webhook,
)
from tests.channels.webhook.receiver import Receiver, receiving
from tests.servers.loopback import Answer

pytestmark = pytest.mark.anyio
DOCUMENT = replace(MESSAGE, payload=payload(EVENT, MESSAGE, {"props": {"a": "ü ☃ 𝄞"}}))
NEW_SECRET = "whsec_" + base64.b64encode(b"another secret of 32 bytes, new.").decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


async def test_a_document_is_posted_with_its_signature(receiver: Receiver) -> None:
    async with opened(webhook(receiver.url)) as channel:
        receipt = await channel.send(replace(DOCUMENT, event_number=17), "key-1")
    (request,) = receiver.requests
    assert (request.method, request.path, request.query) == (
        "POST",
        "/hooks/penpot-9c1d",
        "token=x7",
    )
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == receipt.id == "key-1"
    assert abs(time.time() - int(request.headers["webhook-timestamp"])) < 5
    (document,) = receiver.documents
    assert document == {**(DOCUMENT.payload or {}), "id": 17}
    assert document["data"]["props"] == {"a": "ü ☃ 𝄞"}


async def test_the_signature_is_that_of_the_specification(receiver: Receiver) -> None:
    """Computed without the package: HMAC-SHA256 of id, time and body, with points between them.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
    """
    async with opened(webhook(receiver.url)) as channel:
        await channel.send(DOCUMENT, "key-1")
    (request,) = receiver.requests
    signed = f"key-1.{request.headers['webhook-timestamp']}.".encode() + request.body
    key = base64.b64decode(SIGNING_SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert request.headers["webhook-signature"] == f"v1,{signature}"


async def test_another_secret_or_a_changed_body_is_no_valid_signature(receiver: Receiver) -> None:
    async with opened(webhook(receiver.url)) as channel:
        await channel.send(DOCUMENT, "key-1")
    (request,) = receiver.requests
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW_SECRET).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SIGNING_SECRET).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SIGNING_SECRET).verify(request.body, request.headers | {"webhook-id": "key-2"})


async def test_both_secrets_sign_while_one_is_changed(receiver: Receiver) -> None:
    async with opened(webhook(receiver.url, NEW_SECRET, SIGNING_SECRET)) as channel:
        await channel.send(DOCUMENT, "key-1")
    (request,) = receiver.requests
    assert request.headers["webhook-signature"].count("v1,") == 2
    for secret in (NEW_SECRET, SIGNING_SECRET):
        assert Webhook(secret).verify(request.body, request.headers)


async def test_a_retry_has_the_same_id_and_body_and_a_new_time(receiver: Receiver) -> None:
    receiver.answers = [Answer(status=503), Answer(cut=True)]
    async with opened(webhook(receiver.url)) as channel:
        for _ in range(2):
            with pytest.raises(RetryLater):
                await channel.send(DOCUMENT, "key-1")
            await asyncio.sleep(1.0)
        await channel.send(DOCUMENT, "key-1")
    assert receiver.ids == ["key-1"] * 3
    assert len({request.body for request in receiver.requests}) == 1
    times = [int(request.headers["webhook-timestamp"]) for request in receiver.requests]
    assert times == sorted(set(times))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_each_2xx_is_a_delivery_whatever_its_body(receiver: Receiver, status: int) -> None:
    receiver.answers = [Answer(b"" if status == 204 else b"<html>" * 20_000, status)]
    async with opened(webhook(receiver.url)) as channel:
        await channel.send(DOCUMENT, "key-1")
        await channel.send(DOCUMENT, "key-2")
    assert receiver.ids == ["key-1", "key-2"]


STATUSES: list[tuple[int, type[DeliveryError], str]] = [
    (301, RetryLater, "it redirects: set url in the config to the redirect's target"),
    (308, RetryLater, "it redirects"),
    (400, RetryLater, "it refuses the message, or does not know url; Relay retries it for an hour"),
    (401, RetryLater, "check url in the config"),
    (404, RetryLater, "check url in the config"),
    (407, Misconfigured, "the proxy needs a login"),
    (410, Gone, "it wants no further documents. Set url to another address"),
    (413, Permanent, "refuses a message of this size"),
    (422, RetryLater, "Relay retries it for an hour"),
    (429, RetryLater, "limits the rate of messages"),
    (500, RetryLater, "the server has a problem"),
    (502, RetryLater, "the server has a problem"),
    (504, RetryLater, "the server has a problem"),
]


@pytest.mark.parametrize(("status", "kind", "words"), STATUSES)
async def test_other_statuses_are_retried_or_not(
    receiver: Receiver, status: int, kind: type[DeliveryError], words: str
) -> None:
    location = {"Location": receiver.url, "Retry-After": "37"}
    receiver.answers = [Answer(SIGNING_SECRET.encode(), status, headers=location)]
    error = await delivery_error(webhook(receiver.url), DOCUMENT)
    assert type(error) is kind
    assert words in error.detail
    assert len(receiver.requests) == 1, "no redirect is followed"
    is_delayed = status not in (400, 407, 410, 413, 422)
    assert error.retry_after == (37.0 if is_delayed else None)
    assert (error.give_up_after == 3600.0) == (status in (400, 422))


async def test_a_body_of_the_users_own_is_signed_and_sent_as_it_is(receiver: Receiver) -> None:
    own = replace(DOCUMENT, full=Content("x", override='{ "event_type": "penpot" }'))
    async with opened(webhook(receiver.url)) as channel:
        await channel.send(own, "key-1")
    assert receiver.requests[0].body == b'{ "event_type": "penpot" }'
    assert receiver.documents == [{"event_type": "penpot"}]


async def test_a_message_that_was_made_for_another_kind_is_a_text(receiver: Receiver) -> None:
    async with opened(webhook(receiver.url)) as channel:
        await channel.send(MESSAGE, "key-1")
    (document,) = receiver.documents
    assert (document["type"], document["data"]) == ("relay.text", {})
    assert document["text"]["body"].startswith("Ada Lovelace commented on Landing page")


async def test_a_login_in_the_url_is_sent_and_not_shown(receiver: Receiver) -> None:
    url = receiver.url.replace("http://", "http://ada:pass-w0rd@")
    settings = webhook(url)
    async with opened(settings) as channel:
        await channel.send(DOCUMENT, "key-1")
    login = receiver.requests[0].headers["authorization"]
    assert base64.b64decode(login.removeprefix("Basic ")) == b"ada:pass-w0rd"
    receiver.answers = [Answer(status=500)]
    assert_leaks_no_secret(await delivery_error(settings, DOCUMENT), settings)


async def test_check_needs_no_document(receiver: Receiver) -> None:
    found = await findings(webhook(receiver.url))
    place = urlsplit(receiver.url).netloc
    assert found == (
        f"ok {place} responds (status 405 to HEAD). The signature can't be tested without a "
        "document: run relay send."
    )
    assert [request.method for request in receiver.requests] == ["HEAD"]
    closed = await findings(webhook("http://127.0.0.1:1/hooks/penpot-9c1d"))
    refused = "no 127.0.0.1:1: 127.0.0.1:1 refuses connections: check url in the config"
    assert closed.startswith(refused)


async def test_a_long_document_is_complete(receiver: Receiver) -> None:
    long = replace(MESSAGE, full=Content("> word \\<!channel\\> " * 5000))
    async with opened(webhook(receiver.url)) as channel:
        await channel.send(replace(long, payload=payload(EVENT, long, {})), "key-1")
    assert json.dumps(receiver.documents[0]).count("word") == 5000
