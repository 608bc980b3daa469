"""Preview of what apprise gets."""

import json

from hypothesis import given

from relay.channels import render_preview
from relay.channels.apprise.content import render
from relay.channels.apprise.process import ANY_SERVICE
from relay.messages.message import Message
from tests.channels.apprise.place import PHONE, ntfy
from tests.channels.builders import MESSAGE
from tests.channels.reader import Reader
from tests.channels.texts import messages


@given(messages)
def test_any_message_is_shown_without_markup(message: Message) -> None:
    preview = render_preview("apprise", message)
    reader = Reader(preview.html)
    notice = render(message, ANY_SERVICE)
    assert reader.links == []
    assert json.loads(preview.source) == notice._asdict()
    assert preview.title == notice.title


def test_a_preview_has_the_limits_of_the_channels_service() -> None:
    settings = ntfy("http://127.0.0.1:1")
    preview = render_preview("apprise", MESSAGE, None, settings)
    assert preview.html.startswith('<pre class="preview preview-apprise"')
    assert "<b>Ada commented on Landing page</b>" in preview.html
    assert len(render(MESSAGE, PHONE).body) < len(json.loads(preview.source)["body"])
