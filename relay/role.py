"""Which half of the service a process runs."""

from enum import StrEnum


class Role(StrEnum):
    """Both halves, or one of them where other processes share the store and run the other."""

    ALL = "all"
    INTAKE = "intake"
    DELIVER = "deliver"

    @property
    def takes(self) -> bool:
        """Whether it takes events at the hook."""
        return self is not Role.DELIVER

    @property
    def delivers(self) -> bool:
        """Whether it fans events out, serves queues and prunes."""
        return self is not Role.INTAKE
