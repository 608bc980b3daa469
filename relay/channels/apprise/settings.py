"""The settings of an apprise channel."""

import re
from typing import Annotated

from relay.channels.apprise.process import ANY_SERVICE, AppriseService, describe
from relay.channels.base import ChannelSettings
from relay.config.secret import UNREAD, Secret
from relay.config.types import Ask, secret_rule


def _url(address: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]+://\S+", address):
        raise ValueError(
            'must be an apprise URL, such as "ntfys://ntfy.example.com/penpot", without spaces'
        )
    describe(address)


class AppriseSettings(ChannelSettings):
    url: Annotated[Secret, secret_rule(_url), Ask("URL of the service", "as apprise has it: …://…")]
    """As apprise's documentation writes it for the service."""

    @property
    def service(self) -> AppriseService:
        return ANY_SERVICE if self.url is UNREAD else describe(self.url.reveal())

    @property
    def server_keys(self) -> str:
        return "url in the config"

    @property
    def places(self) -> frozenset[str]:
        return frozenset({self.url.reveal()})
