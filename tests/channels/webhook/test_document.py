"""The document of a message, and its preview."""

import json
from dataclasses import replace

from hypothesis import given

from relay.channels import render_preview
from relay.channels.webhook.document import body
from relay.messages.message import Content, Message
from relay.messages.payload import EVENT, payload
from tests.channels.builders import MESSAGE
from tests.channels.reader import Reader
from tests.channels.texts import messages


@given(messages)
def test_the_preview_is_the_document_indented(message: Message) -> None:
    message = replace(message, payload=payload(EVENT, message, {"props": {"a": message.title}}))
    preview = render_preview("webhook", message)
    assert Reader(preview.html).text == preview.source
    assert json.loads(preview.source) == json.loads(body(message))
    assert "\n" not in body(message)
    assert body(message).encode()


def test_the_preview_of_a_users_own_body_is_that_body() -> None:
    own = replace(MESSAGE, full=Content(override='{"a":["<b>"]}'))
    assert render_preview("webhook", own).source == '{\n  "a": [\n    "<b>"\n  ]\n}'


def test_the_document_survives_the_store() -> None:
    data = {"props": {"big": 10**30, "float": 1.5e300, "text": "\u2028 ü", "none": None, "": []}}
    message = replace(MESSAGE, payload=payload(EVENT, MESSAGE, data))
    assert json.loads(body(Message.loads(message.dumps())))["data"] == data
