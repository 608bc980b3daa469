"""Cases of one table per channel: a server's answer, and the delivery error that it must raise."""

from dataclasses import dataclass, field
from typing import Any

from relay.channels.base import DeliveryError
from tests.servers.slack import TOKEN

HTML = b"<html><h1>Bad Gateway</h1> " + TOKEN.encode() + b"</html>"
SLOW = {"Retry-After": "37"}


@dataclass(frozen=True)
class Case:
    """A server's answer, and the expected error."""

    server: str
    answer: Any
    kind: type[DeliveryError]
    reason: str
    retry_after: float | None = None
    words: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.server}-{self.reason}-{self.answer}"[:70]


def assert_raised(error: DeliveryError, case: Case) -> None:
    assert (type(error), error.reason, error.retry_after) == (
        case.kind,
        case.reason,
        case.retry_after,
    )
    assert case.words in error.detail
