"""Fixtures of the fault-injection tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.account import Line
from tests.faults.places import Places
from tests.servers.synapse import Synapse

_accounts = pytest.StashKey[list[str]]()


@pytest.fixture
def long(pytestconfig: pytest.Config) -> bool:
    """Whether this is the long run: `make faults`."""
    return bool(pytestconfig.getoption("long"))


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """A stack that is closed after the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def places(running: ExitStack, synapse: Synapse) -> Places:
    """Creates channels with their servers."""
    return Places(running, synapse)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str, list[Line]], None]:
    """Records an account for the summary: what was done, and each queue's line."""
    accounts = request.config.stash.setdefault(_accounts, [])

    def keep(what: str, lines: list[Line]) -> None:
        accounts.append("\n  ".join([f"{request.node.name}: {what}", *map(str, lines)]))

    return keep


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: only in the long run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("long"):
        return
    left_out = [item for item in items if item.get_closest_marker("long")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if config.getoption("long") and (accounts := config.stash.get(_accounts, [])):
        terminalreporter.section("accounts")
        for account in accounts:
            terminalreporter.write_line(account)
