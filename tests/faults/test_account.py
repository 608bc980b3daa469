"""The account detects lost, repeated and misordered messages."""

import pytest

from tests.faults.account import SENDER, Ledger, Post, settle

LEDGER = Ledger([0, 1, 2, SENDER, SENDER + 1], refused=[3], unanswered=[4])


def posts(*numbers: int) -> list[Post]:
    return [Post(f"{number}", (number,)) for number in numbers]


@pytest.mark.parametrize(
    "arrived",
    [
        posts(0, 1, 2, SENDER, SENDER + 1),
        posts(0, SENDER, 1, SENDER + 1, 2),
        posts(0, 1, 2, SENDER, SENDER + 1, 4),
        [Post("digest", (0, 1, 2)), *posts(SENDER, SENDER + 1)],
        [*posts(0, 1), *posts(0, 1, 2, SENDER, SENDER + 1)],
    ],
)
def test_messages_in_order_balance(arrived: list[Post]) -> None:
    assert settle("queue", LEDGER, arrived).faults == []


@pytest.mark.parametrize(
    ("arrived", "dead", "fault"),
    [
        (posts(0, 2, SENDER, SENDER + 1), {}, "1 acknowledged, but neither delivered nor dead: 1"),
        (posts(0, 2, SENDER, SENDER + 1), {1: ""}, "1 dead without a reason: 1"),
        (posts(0, 1, 2, SENDER, SENDER + 1), {1: "no"}, "1 delivered, but dead as well: 1"),
        (posts(0, 2, 1, SENDER, SENDER + 1), {}, "1 out of order: 1"),
        (posts(0, 1, 2, 9, SENDER, SENDER + 1), {}, "1 delivered, but never sent by Penpot: 9"),
        (
            [*posts(0, 1, 2), Post("x", (1,)), *posts(SENDER, SENDER + 1)],
            {},
            "1 posts repeat earlier ones: ",
        ),
    ],
)
def test_faults_are_named(arrived: list[Post], dead: dict[int, str], fault: str) -> None:
    (found,) = settle("queue", LEDGER, arrived, dead=dead).faults
    assert found.startswith(fault)


def test_dead_messages_with_reasons_and_allowed_doubles_balance() -> None:
    arrived = [*posts(0, 2), Post("x", (2,)), *posts(SENDER, SENDER + 1)]
    line = settle("queue", LEDGER, arrived, dead={1: "no"}, doubles=1)
    assert (line.faults, line.delivered, line.dead, line.doubled) == ([], 4, 1, 1)
    assert settle("queue", LEDGER, posts(0, 2, SENDER, SENDER + 1, 1), resent=[1]).faults == []
