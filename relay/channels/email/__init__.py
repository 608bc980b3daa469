"""Mail, through an SMTP server."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey
from relay.channels.email.message import fits
from relay.channels.email.preview import preview
from relay.channels.email.settings import EmailSettings, person_address
from relay.messages.environments import OverrideFormat

_STARTER = """\
<!doctype html>
<html lang="en">
<body style="font: 16px/1.5 sans-serif">
<p><strong>{{ actor or "Someone" }}</strong>: {{ event.name }}</p>
<p>{{ (file or project or team) | link }}</p>
</body>
</html>
"""


def _load() -> ChannelClass:
    from relay.channels.email.channel import EmailChannel

    return EmailChannel


TYPE = ChannelType(
    name="email",
    label="Email",
    settings=EmailSettings,
    load=_load,
    preview=preview,
    fits=lambda message, settings: fits(message),
    variables=ChannelVariables(
        keys={
            "RELAY_EMAIL_TO": "to",
            "RELAY_EMAIL_SENDER": "sender",
            "RELAY_EMAIL_SMTP_HOST": "smtp.host",
            "RELAY_EMAIL_SMTP_PORT": "smtp.port",
            "RELAY_EMAIL_SMTP_USERNAME": "smtp.username",
            "RELAY_EMAIL_SMTP_PASSWORD": "smtp.password",
            "RELAY_EMAIL_SMTP_TLS": "smtp.tls",
            "RELAY_EMAIL_SMTP_HELLO": "smtp.hello",
        },
        required=("RELAY_EMAIL_TO",),
    ),
    example={
        "to": ["design@example.com"],
        "sender": "Penpot <penpot@example.com>",
        "smtp": {"host": "smtp.example.com"},
    },
    people=PeopleKey("email", person_address),
    override=OverrideFormat(".email.html.j2"),
    starter=_STARTER,
    brief_replies=False,  # a mail is read by itself, also in a thread
)
