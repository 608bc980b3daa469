"""Standard output, as it is."""

from hypothesis import given

from relay.channels import stdout
from relay.inspector.look import shown
from relay.messages.message import Message
from tests.channels.texts import messages
from tests.inspector.look.reader import Reader


@given(messages)
def test_what_is_printed_is_shown_character_by_character(message: Message) -> None:
    look = shown("stdout", message)
    assert Reader(look.html).text == look.text == stdout.render(message)
