"""Preview of standard output."""

from hypothesis import given

from relay.channels import render_preview
from relay.channels.preview import message_text
from relay.messages.message import Message
from tests.channels.reader import Reader
from tests.channels.texts import messages


@given(messages)
def test_the_preview_equals_the_printed_text(message: Message) -> None:
    preview = render_preview("stdout", message)
    assert Reader(preview.html).text == message_text(message)
