"""The API as the watch asks it: every call is counted."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from relay.metrics import Metrics
from relay.penpot.api import PenpotClient
from relay.penpot.rpc import PenpotError
from relay.secret import Secret

T = TypeVar("T")


class CountedPenpotClient(PenpotClient):
    """A client that tells of each call: before it goes out, and in the metrics."""

    def __init__(
        self, url: str, token: Secret, metrics: Metrics, spend: Callable[[], None] = lambda: None
    ) -> None:
        """``spend`` is called before each call."""
        super().__init__(url, token.reveal())
        self._metrics = metrics
        self.spend = spend

    async def _call(
        self, method: str, read: Callable[[Any], T | None], params: Mapping[str, Any]
    ) -> T | None:
        self.spend()
        try:
            answer = await super()._call(method, read, params)
        except PenpotError as error:
            self._metrics.watched(method, error.word)
            raise
        self._metrics.watched(method, "nothing" if answer is None else "found")
        return answer
