"""Microsoft Teams, by a workflow's webhook."""

from relay.channels.base import ChannelClass, ChannelType, ChannelVariables, PeopleKey
from relay.channels.teams.content import fits
from relay.channels.teams.preview import preview
from relay.channels.teams.settings import TeamsSettings, user_name


def _load() -> ChannelClass:
    from relay.channels.teams.channel import TeamsChannel

    return TeamsChannel


TYPE = ChannelType(
    name="teams",
    label="Microsoft Teams",
    settings=TeamsSettings,
    load=_load,
    preview=preview,
    fits=lambda message, settings: fits(message),
    variables=ChannelVariables(
        # Not RELAY_TEAMS_…: RELAY_TEAM_NAME and RELAY_TEAM_ID are those of the Penpot team.
        keys={"RELAY_MSTEAMS_WEBHOOK_URL": "webhook_url"},
        required=("RELAY_MSTEAMS_WEBHOOK_URL",),
    ),
    example={
        "webhook_url": "https://example.api.powerplatform.com/powerautomate/automations/direct"
        "/workflows/example/triggers/manual/paths/invoke?api-version=1&sig=example"
    },
    people=PeopleKey("teams", user_name),
    secrets=r"[?&]sig=",
    loggers=("httpx", "httpcore"),
)
