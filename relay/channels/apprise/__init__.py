"""Any other service, through the package apprise, which is an optional extra."""

from relay.channels.apprise.content import fits
from relay.channels.apprise.preview import preview
from relay.channels.apprise.process import ANY_SERVICE, EXAMPLE_URL
from relay.channels.apprise.settings import AppriseSettings
from relay.channels.base import ChannelClass, ChannelType, ChannelVariables


def _load() -> ChannelClass:
    from relay.channels.apprise.channel import AppriseChannel

    return AppriseChannel


TYPE = ChannelType(
    name="apprise",
    label="Apprise",
    settings=AppriseSettings,
    load=_load,
    preview=preview,
    fits=lambda message, settings: fits(message, settings.service if settings else ANY_SERVICE),
    variables=ChannelVariables(keys={"RELAY_APPRISE_URL": "url"}, required=("RELAY_APPRISE_URL",)),
    example={"url": EXAMPLE_URL},
)
