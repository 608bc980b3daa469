"""The settings of a channel in Microsoft Teams."""

import re
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from relay.channels.base import ChannelSettings
from relay.config.secret import Secret
from relay.config.types import Ask, ascii_address, host_and_port, secret_rule

# As Power Automate and Azure Logic Apps write it, also behind a gateway:
# https://docs.microsoft.com/azure/logic-apps/logic-apps-http-endpoint
_PATH_PATTERN = re.compile(r"(?:/[\w.~-]+)*/workflows/[\w-]+/triggers/[\w-]+/paths/invoke/?")
# https://devblogs.microsoft.com/microsoft365dev/retirement-of-office-365-connectors-within-microsoft-teams/
_RETIRED_HOSTS = (".webhook.office.com", "outlook.office.com", "outlook.office365.com")
_OLD_HOST = ".logic.azure.com"
_UPN_PATTERN = re.compile(r"[A-Za-z0-9'._!#^~+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_OBJECT_ID_PATTERN = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _webhook_url(address: str) -> None:
    parts = ascii_address(address)
    if parts is None:
        raise ValueError("must be the URL of a workflow's webhook, in ASCII without spaces")
    if (parts.hostname or "").endswith(_RETIRED_HOSTS):
        raise ValueError(
            "is the URL of an Office 365 connector, which Microsoft has retired: create the "
            'workflow "Send webhook alerts to a channel" in Teams, and copy its webhook link'
        )
    if not _PATH_PATTERN.fullmatch(parts.path) or parts.fragment:
        raise ValueError(
            "must be the URL of a workflow's webhook, as Teams copies it: "
            '"https://….api.powerplatform.com/…/workflows/…/triggers/manual/paths/invoke?…&sig=…"'
        )
    if not _signature(address):
        raise ValueError(
            'must have "sig=" in its query: in the workflow\'s trigger set '
            '"Who can trigger the flow?" to "Anyone", save it, and copy its URL again'
        )


def _signature(address: str) -> str:
    return parse_qs(urlsplit(address).query).get("sig", [""])[-1]


def user_name(value: str) -> str:
    """https://docs.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format#microsoft-entra-object-id-and-upn-in-user-mention"""
    if not (_UPN_PATTERN.fullmatch(value) or _OBJECT_ID_PATTERN.fullmatch(value)):
        raise ValueError(
            'must be the name with which a person signs in to Teams, such as "ada@example.com", '
            "or the id of the account in Microsoft Entra"
        )
    return value


class TeamsSettings(ChannelSettings):
    """A workflow posts to one channel, and returns no id of the message: no threads, no edits."""

    webhook_url: Annotated[
        Secret,
        secret_rule(_webhook_url),
        Ask("URL of the workflow's webhook", "the channel's menu, Workflows"),
    ]
    """Of the workflow "Send webhook alerts to a channel"."""

    @property
    def signature(self) -> str:
        """The secret part of the URL."""
        return _signature(self.webhook_url.reveal())

    @property
    def server(self) -> str:
        return host_and_port(self.webhook_url.reveal())

    @property
    def server_keys(self) -> str:
        return "webhook_url in the config"

    @property
    def advice(self) -> str:
        """https://docs.microsoft.com/answers/questions/5606972/your-flow-has-a-new-trigger-url"""
        if not (urlsplit(self.webhook_url.reveal()).hostname or "").endswith(_OLD_HOST):
            return ""
        return (
            "webhook_url has a host of logic.azure.com: Power Automate's workflows have not "
            "answered there since 30 November 2025. Open the workflow and copy its URL again; "
            "one of Azure Logic Apps stays as it is"
        )

    @property
    def places(self) -> frozenset[str]:
        return frozenset({self.webhook_url.reveal()})
