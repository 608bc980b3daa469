"""The budget of calls, the backoff, and the counted outcomes."""

from collections.abc import Iterator

import pytest

from relay.config.secret import Secret
from relay.metrics import Metrics
from relay.penpot.client import PenpotBusy
from relay.sync.budget import (
    MAX_BACKOFF_DELAY,
    MIN_BACKOFF_DELAY,
    MIN_BURST_SIZE,
    Backoff,
    CallBudget,
    CountedPenpotClient,
    jittered,
)
from tests.penpot.standin import TOKEN, Fault, StandIn

pytestmark = pytest.mark.anyio


def test_a_spent_budget_is_refilled_at_its_rate() -> None:
    budget = CallBudget(60.0, now=0.0)
    for _ in range(MIN_BURST_SIZE):
        assert budget.wait(0.0) == 0.0
        budget.spend(0.0)
    assert (budget.left(0.0), budget.wait(0.0)) == (0.0, 1.0)
    assert budget.wait(0.75) == pytest.approx(0.25)
    assert budget.wait(1.0) == 0.0


def test_a_running_job_may_overdraw_the_budget() -> None:
    budget = CallBudget(60.0, now=0.0)
    for _ in range(MIN_BURST_SIZE + 5):
        budget.spend(0.0)
    assert budget.left(0.0) == -5.0
    assert budget.wait(0.0) == 6.0


def test_a_pause_saves_no_more_than_a_burst() -> None:
    budget = CallBudget(60.0, now=0.0)
    assert budget.left(3600.0) == MIN_BURST_SIZE
    fast = CallBudget(6000.0, now=0.0)
    assert fast.left(3600.0) == 100.0


def test_a_clock_that_is_set_back_gives_no_calls() -> None:
    budget = CallBudget(60.0, now=1000.0)
    for _ in range(MIN_BURST_SIZE):
        budget.spend(1000.0)
    assert budget.left(0.0) == 0.0
    assert budget.left(1.0) == 1.0


def test_delays_double_up_to_the_maximum_with_little_jitter() -> None:
    backoff = Backoff()
    for number in range(20):
        delay = min(MIN_BACKOFF_DELAY * 2**number, MAX_BACKOFF_DELAY)
        backoff.failed(100.0)
        assert 0.9 * delay <= backoff.until - 100.0 <= 1.1 * delay
    backoff.reset()
    assert (backoff.failures, backoff.until) == (0, 0.0)


def test_the_delay_that_penpot_asked_for_is_kept() -> None:
    backoff = Backoff()
    backoff.failed(100.0, 7.0)
    assert backoff.until == 107.0


def test_jobs_of_many_teams_do_not_coincide() -> None:
    delays = {jittered(100.0) for _ in range(100)}
    assert len(delays) > 50
    assert 90.0 <= min(delays) <= max(delays) <= 110.0


@pytest.fixture
def penpot() -> Iterator[StandIn]:
    with StandIn() as penpot:
        yield penpot


async def test_each_call_is_spent_and_its_outcome_counted(penpot: StandIn) -> None:
    metrics, spent = Metrics(), []
    client = CountedPenpotClient(penpot.url, Secret(TOKEN), metrics, lambda: spent.append(1))
    web = penpot.world.by_name("projects", "web")
    await client.project(web)
    await client.project("11111111-2222-4333-8444-555555555555")
    penpot.faults["get-project"] = Fault(status=503)
    with pytest.raises(PenpotBusy):
        await client.project(web)
    await client.close()
    assert len(spent) == 3
    text = metrics.text().decode()
    lines = [
        line for line in text.splitlines() if 'method="get-project"' in line and "_total" in line
    ]
    assert len(lines) == 3
    assert all(line.endswith(" 1.0") for line in lines)
