"""Matrix, through the client-server API."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey
from relay.channels.matrix.content import check_override, fits
from relay.channels.matrix.preview import preview
from relay.channels.matrix.settings import MatrixSettings, user_id
from relay.messages.environments import OverrideFormat

_STARTER = """\
<p><strong>{{ actor or "Someone" }}</strong>: {{ event.name }}</p>
<p><sub>{{ (file or project or team) | link }}</sub></p>
"""


def _load() -> ChannelClass:
    from relay.channels.matrix.channel import MatrixChannel

    return MatrixChannel


TYPE = ChannelType(
    name="matrix",
    label="Matrix",
    settings=MatrixSettings,
    load=_load,
    preview=preview,
    fits=lambda message, settings: fits(message),
    variables=ChannelVariables(
        keys={
            "RELAY_MATRIX_HOMESERVER": "homeserver",
            "RELAY_MATRIX_ACCESS_TOKEN": "access_token",
            "RELAY_MATRIX_ROOM": "room",
        },
        required=("RELAY_MATRIX_ROOM",),
    ),
    example={
        "homeserver": "https://matrix.example.org",
        "access_token": "syt_example",
        "room": "#design:example.org",
    },
    people=PeopleKey("matrix", user_id),
    override=OverrideFormat(".matrix.html.j2", validate=check_override),
    starter=_STARTER,
    editor="Matrix",
    marks_edits=True,
    secrets=r"\b(syt_|mat_)",
    loggers=("httpx", "httpcore"),
)
