"""Reports of dead letters: the first of a queue at once, later ones once an hour with their number.

What was reported is in the store, so that neither a restart nor another replica repeats or loses a
report.
"""

import time

from relay.channels.base import Permanent
from relay.delivery.alerts import Alerts
from relay.store.base import Store
from relay.store.problems import DeadLetters
from relay.store.records import ValueChange

DEAD = "messages-dead"  # name of Relay's own event
REPORT_INTERVAL = 3600.0  # seconds between two reports about a queue


async def report_dead_letters(queue: str, store: Store, alerts: Alerts) -> None:
    """Report the dead letters that are not reported yet, if a report is due. If no channel of the
    team works, a later call does. Raises ``StoreUnavailable``."""
    last = await store.get_value(_key(queue))
    now = time.time()
    if last is not None and 0 <= now - last.at < REPORT_INTERVAL:
        return
    reported_until = float(last.value) if last is not None else 0.0
    # the clock may have been set back
    since = reported_until if reported_until <= now else 0.0
    letters = await store.problems.unreported(queue, since)
    if letters is None:
        return
    team, _, name = queue.partition("/")
    error = parsed_error(letters.last_error)
    mark = ValueChange(_key(queue), last.value if last else "", repr(letters.last_at))
    problem = {"detail": error.detail, "reason": error.reason}
    messages = {"count": letters.number}
    await alerts.send(team, DEAD, mark, queue={"name": name}, messages=messages, problem=problem)


def parsed_error(text: str) -> Permanent:
    """The reason and the detail of an error from the text that the store keeps of it."""
    reason, _, detail = text.partition(": ")
    return Permanent(reason, detail)


def describe(letters: DeadLetters) -> str:
    """For ``relay doctor``, ``relay log`` and the inspector."""
    if letters.number == 1:
        return f"a message is dead: {letters.last_error}"
    return f"{letters.number:,} messages are dead, the last one: {letters.last_error}"


def _key(queue: str) -> str:
    return f"dead/{queue}"
