"""``relay serve --role``: the part of the service that a process runs."""

from enum import StrEnum


class Role(StrEnum):
    ALL = "all"
    INTAKE = "intake"
    DELIVER = "deliver"

    @property
    def accepts_events(self) -> bool:
        """Whether the hook accepts events."""
        return self is not Role.DELIVER

    @property
    def delivers(self) -> bool:
        """Whether fan-out, queues, sync and retention run."""
        return self is not Role.INTAKE
