"""The ids of Mattermost's channels: the configured one, and those of direct messages."""

from relay.channels.base import DeliveryError, KeyValueStore, NoAddress, Permanent
from relay.channels.mattermost.client import MattermostApi
from relay.channels.mattermost.settings import MattermostSettings
from relay.messages.message import Mention

_ID_TTL = 365 * 24 * 3600.0  # seconds
# As the server calls it in its versions, the newest first.
_NO_USER_ERRORS = (
    "app.user.get_by_username.app_error",
    "app.user.missing_account.const",
    "store.sql_user.get_by_username.app_error",
)


class MattermostRooms:
    def __init__(self, api: MattermostApi, settings: MattermostSettings, kv: KeyValueStore) -> None:
        self._api = api
        self._settings = settings
        self._kv = kv
        self._key = f"mattermost-channel/{api.account}/{settings.channel}"
        self._id = settings.channel if settings.has_channel_id else ""

    async def configured(self) -> str:
        """The id of the configured channel, which stays the same when it is renamed."""
        if not self._id:
            self._id = await self._kv.get(self._key, _ID_TTL) or ""
            if not self._id:
                self._id = await self._look_up()
                await self._kv.put(self._key, self._id)
        return self._id

    async def replacement(self) -> str:
        """The id of another channel that has the configured name now; empty if there is none."""
        if self._settings.has_channel_id:
            return ""
        try:
            found = await self._look_up()
        except DeliveryError:  # the caller's own error says more
            return ""
        if found == self._id:
            return ""
        self._id = found
        await self._kv.put(self._key, found)
        return found

    async def _look_up(self) -> str:
        team, name = self._settings.channel.split("/")
        path = "teams", "name", team, "channels", "name", name
        return str((await self._api.call("GET", *path)).get("id", ""))

    async def direct(self, person: Mention) -> str:
        """The id of the channel with a person: it is created if there is none."""
        name = person.address("mattermost")
        if not name:
            who = person.name or "a mentioned person"
            text = f"the username of {who} in Mattermost is not known: add them to [people]"
            raise NoAddress("no_address", f"{text} in the config")
        key = f"mattermost-direct/{self._api.account}/{name}"
        channel = await self._kv.get(key, _ID_TTL)
        if not channel:
            me = str((await self._api.call("GET", "users", "me")).get("id", ""))
            people = [me, await self._user(name)]
            answer = await self._api.call("POST", "channels", "direct", json=people)
            channel = str(answer.get("id", ""))
            await self._kv.put(key, channel)
        return channel

    async def _user(self, name: str) -> str:
        try:
            return str((await self._api.call("GET", "users", "username", name)).get("id", ""))
        except DeliveryError as error:
            if error.reason not in _NO_USER_ERRORS:
                raise
            text = f"Mattermost has no user {name}: check [people] in the config"
            raise Permanent(error.reason, text) from error
