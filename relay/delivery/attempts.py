"""Counts each attempt before it is made, so that a send that ends the process is not repeated for
ever.

An attempt that was counted and has no result was *interrupted*: its process ended, by itself or
killed from outside, which look the same. Kills from outside interrupt five attempts in a row
only by chance. To make that chance negligible, the queue waits longer after each interruption, from
the start of the process: one that is killed again and again does not get to the next attempt.
"""

from relay.delivery.backoff import retry_delay
from relay.store.base import Store
from relay.store.records import Delivery

MAX_INTERRUPTIONS = 5  # in a row; then the message is dead
MIN_ALONE_INTERRUPTIONS = 2
"""After that many the attempt is made while no other such attempt is: it could interrupt that one,
which would then be counted as well."""


def interruption_delay(interruptions: int) -> float:
    """Seconds to wait after that many interruptions in a row: up to 4, 16 and 60 after the second,
    the third and the fourth. None after the first: another replica continues at once."""
    return retry_delay(2 * interruptions - 1) if 1 < interruptions < MAX_INTERRUPTIONS else 0.0


class AttemptCounter:
    """The attempts of one queue that have no result, in memory as in the store. A digest counts as
    its first delivery. All methods raise ``StoreUnavailable``; those that write ``LeaseLost``."""

    def __init__(self, queue: str, store: Store) -> None:
        self._queue = queue
        self._store = store
        self._known: tuple[int, int] | None = None  # delivery and interruptions; None: not read
        self._begun = 0  # the delivery whose attempt was counted
        self.is_uncertain = True
        """Whether the queue's first delivery may have been sent: its attempt was counted, or cut
        off by a stop."""

    def forget(self) -> None:
        """Another replica may have served the queue meanwhile."""
        self._known, self.is_uncertain = None, True

    async def read(self, head: Delivery) -> int:
        """Read what another process has left; the interruptions of the queue's first delivery if
        they were not known before."""
        if self._known is not None:
            return 0
        delivery_id, unfinished = await self._store.unfinished(self._queue)
        if delivery_id and delivery_id == self._begun:
            unfinished -= 1  # this process made the last attempt, and survived it
        self._known, self._begun = (delivery_id, unfinished), 0
        return self.interruptions(head)

    def interruptions(self, delivery: Delivery) -> int:
        delivery_id, interruptions = self._known or (0, 0)
        return interruptions if delivery_id == delivery.id else 0

    def may_be_sent(self, head: Delivery) -> bool:
        """Whether the queue's first delivery, after ``read``, may have been sent. One that was held
        was not, unless its attempt was counted since."""
        if head.held_until:
            return self._known is not None and self._known[0] == head.id
        return self.is_uncertain

    async def begin(self, delivery: Delivery) -> None:
        """Count an attempt, unless the receipt of the message before did."""
        if self._begun == delivery.id:
            return
        interruptions = self.interruptions(delivery)
        await self._store.save_unfinished(
            self._queue, delivery.id, interruptions + 1, interrupted=interruptions > 0
        )
        self._begun = delivery.id

    def ended(self, next_id: int = 0) -> None:
        """The attempt's result was stored, and that an attempt at ``next_id`` begins."""
        self._known, self._begun, self.is_uncertain = (0, 0), next_id, False

    async def cancel(self) -> None:
        """The service stops, and no attempt is being made."""
        if self._begun:
            known = self._known or (0, 0)
            delivery_id, interruptions = known if known[0] == self._begun else (0, 0)
            await self._store.save_unfinished(self._queue, delivery_id, interruptions)
            self._begun = 0
