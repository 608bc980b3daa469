"""The settings of a webhook."""

import base64
import binascii
import secrets
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from relay.channels.base import ChannelSettings
from relay.config.secret import Secret
from relay.config.types import (
    Ask,
    Rule,
    Texts,
    ascii_address,
    host_and_port,
    matching,
    one_or_two,
    secret_rule,
)

SECRET_PREFIX = "whsec_"  # noqa: S105 - no secret
_SECRET_BYTES = range(24, 65)
_PROGRAM = "a program reads each document by itself"
_NOT_FOR_PROGRAMS = {
    "quiet": f"does not work for a webhook, whose documents are never held back: {_PROGRAM}",
    "schedule": f"does not work for a webhook, whose documents are never held back: {_PROGRAM}",
    "urgent": "does not work for a webhook, whose documents are never held back",
    "digest_after": f"does not work for a webhook, which gets no digests: {_PROGRAM}",
    "activity": "does not work for a webhook, which gets each event by itself",
    "language": "does not work for a webhook: its text is in the team's language",
    "timezone": "does not work for a webhook: the times of a document are in UTC",
}


def _url(address: str) -> None:
    if ascii_address(address) is None:
        raise ValueError(
            'must be the URL to post to, such as "https://ci.example.com/penpot", in ASCII without '
            "spaces"
        )


def _secret(text: str) -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme"""
    try:
        size = len(base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not text.startswith(SECRET_PREFIX) or size not in _SECRET_BYTES:
        raise ValueError(
            'must be "whsec_" and 24 to 64 random bytes in base64 (create one with: python3 -c '
            "'import base64, secrets; "
            'print("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode())\')'
        )


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


Url = Annotated[Secret, secret_rule(_url)]
SigningSecret = Annotated[Secret, secret_rule(_secret)]
BodyTemplate = Annotated[
    str,
    matching(
        r"[A-Za-z0-9_-]+\.json\.j2",
        'must be the name of a file in templates.path, such as "deploy.json.j2"',
    ),
]


class WebhookSettings(ChannelSettings):
    url: Annotated[Url, Ask("URL to post to", "https://ci.example.com/penpot")]
    """Where the documents are posted to."""
    secret: Annotated[
        tuple[Secret, ...],
        one_or_two(SigningSecret),
        Ask("Secret for the signatures", "whsec_…; Enter for a new one", create=_new_secret),
    ]
    """Signs them: whsec_ and 24 to 64 bytes in base64, or [new, old]"""
    events: Texts = ("*",)
    """Groups, events, globs."""
    activity: Literal["daily", "each", "none"] = "each"
    """Edited and renamed files and the like: "daily" (a line a day and file), "each" or "none"."""
    digest_after: int = 0
    """With more messages waiting, digests are sent; 0: never."""
    body: BodyTemplate = ""
    """Your template that makes what is posted instead of the document."""

    @classmethod
    def rules(cls, raw: Mapping[str, Any]) -> Iterator[Rule]:
        yield from super().rules(raw)
        for key, rule in _NOT_FOR_PROGRAMS.items():
            if key in raw:
                yield (key,), raw[key], rule

    @property
    def server(self) -> str:
        return host_and_port(self.url.reveal())

    @property
    def server_keys(self) -> str:
        return "url in the config"

    @property
    def advice(self) -> str:
        url = urlsplit(self.url.reveal())
        if url.scheme != "http" or _is_near(url.hostname or ""):
            return ""
        return (
            "url begins with http://: everybody on the way to it can read the documents, which are "
            "signed but not encrypted"
        )

    @property
    def places(self) -> frozenset[str]:
        return frozenset({self.url.reveal()})

    @property
    def edit_mode(self) -> str:
        return self.edits or "messages"


def _is_near(host: str) -> bool:
    """Whether the host is in a private network, as far as its name says."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host
