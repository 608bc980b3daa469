"""Preview of messages in Teams."""

import json
from dataclasses import replace

from hypothesis import given

from relay.channels import render_preview
from relay.channels.teams.content import render
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE
from tests.channels.reader import Reader
from tests.channels.teams.place import ADA, BODY
from tests.channels.texts import messages


@given(messages)
def test_any_message_is_shown_without_markup_of_its_own(message: Message) -> None:
    preview = render_preview("teams", message)
    Reader(preview.html)
    assert json.loads(preview.source) == render(message)


def test_links_boxes_and_mentions_are_shown() -> None:
    body = f"## Title\n\n{BODY}\n\n> a\n\n---\n\n`b` ~~c~~ *d*"
    message = replace(MESSAGE, full=Content(body, MESSAGE.full.footer), mentions=(ADA,))
    preview = render_preview("teams", message)
    reader = Reader(preview.html)
    assert "AdaTitleHi @Ada@Bob, not @Aada" in reader.text.replace("\n", "").replace(
        "@Adaa", "@Aada"
    )
    assert {"preview-mention", "preview-context", "preview-emphasis", "preview-header"} <= (
        reader.classes
    )
    assert {"hr", "code", "del", "em"} <= set(reader.tags)
    assert reader.links == [MESSAGE.url]
    assert preview.notifies
    assert not render_preview("teams", MESSAGE).notifies
