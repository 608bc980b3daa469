"""Budgets: how much of the sandbox's time each team may use."""

import math

from relay.messages.budget import (
    PERIOD_SECONDS,
    SHORT_JOB_SECONDS,
    SLOW_RATIO,
    SLOW_TTL,
    TEAM_SECONDS,
    SandboxBudget,
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_team_has_its_budget_in_each_period_and_none_of_another_team() -> None:
    clock = Clock()
    budget = SandboxBudget(clock=clock)
    assert not budget.is_spent("a")
    budget.spend("a", TEAM_SECONDS - 0.1)
    assert not budget.is_spent("a")
    budget.spend("a", 0.1)
    assert budget.is_spent("a")
    assert not budget.is_spent("b")
    clock.now += PERIOD_SECONDS - 1
    assert budget.is_spent("a")
    clock.now += 1
    assert not budget.is_spent("a")


def test_a_spent_budget_is_reported_once_in_a_period() -> None:
    clock = Clock()
    budget = SandboxBudget(clock=clock)
    assert [budget.report("a"), budget.report("a"), budget.report("b")] == [True, False, True]
    clock.now += PERIOD_SECONDS
    assert budget.report("a")


def test_a_team_whose_longer_jobs_take_a_part_of_the_budget_is_slow_for_a_while() -> None:
    clock = Clock()
    budget = SandboxBudget(clock=clock)
    budget.spend("a", SLOW_RATIO * TEAM_SECONDS)
    assert not budget.is_slow("a")
    budget.spend("a", 2 * SHORT_JOB_SECONDS + 0.01)
    assert budget.is_slow("a")
    assert not budget.is_slow("b")
    clock.now += SLOW_TTL - 1
    assert budget.is_slow("a")
    clock.now += 1
    assert not budget.is_slow("a")


def test_a_team_with_many_short_jobs_is_not_slow() -> None:
    """It would wait for the long jobs of those that are."""
    budget = SandboxBudget(clock=Clock())
    while not budget.is_spent("a"):
        budget.spend("a", SHORT_JOB_SECONDS)
        assert not budget.is_slow("a")


def test_longer_jobs_count_in_their_period_only() -> None:
    clock = Clock()
    budget = SandboxBudget(clock=clock)
    for _ in range(20):
        budget.spend("a", SLOW_RATIO * TEAM_SECONDS)
        assert not budget.is_slow("a")
        clock.now += PERIOD_SECONDS


def test_without_a_limit_no_team_is_slow() -> None:
    budget = SandboxBudget(math.inf)
    budget.spend("a", 1e9)
    assert not budget.is_slow("a")
    assert not budget.is_spent("a")
