"""A room on the homeserver, with its owner and the bot that Relay posts as."""

from relay.channels.matrix.settings import MatrixSettings
from tests.channels.builders import matrix as settings_of
from tests.servers.synapse import Person, Synapse


class Room:
    """Ada's room, and the bot that Relay posts as."""

    def __init__(self, synapse: Synapse, **options: object) -> None:
        self.synapse = synapse
        self.ada = synapse.register("ada")
        self.bot = synapse.register("relay")
        self.id = self.ada.create_room(**options)  # type: ignore[arg-type]

    def settings(self, room: str = "", bot: Person | None = None) -> MatrixSettings:
        token = (bot or self.bot).token
        return settings_of(self.synapse.url, room or self.id, token)
