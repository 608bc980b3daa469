"""Each team's share of the disk, and the notices about it."""

import asyncio
import logging
from typing import Any

import pytest

from relay import quota as quota_module
from relay.config.settings import Config
from relay.delivery.alerts import Alerts
from relay.delivery.notices import NoticeRenderer
from relay.messages.message import Message
from relay.messages.templates import Templates
from relay.metrics import Metrics
from relay.quota import Quota
from relay.store.records import DiskSpace, StoreUnavailable
from relay.store.sqlite import SqliteStore
from tests.store.test_base import event

pytestmark = pytest.mark.anyio
SECRET = "a-secret-of-24-characters"


class House:
    """A quota on a store whose disk has the size that the test sets."""

    def __init__(self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, **keys: Any) -> None:
        log = {"type": "stdout", "name": "log"}
        team = {"secret": SECRET, "channels": [log]}
        teams = {"acme": team | keys, "rnd": team}
        config = Config.model_validate({"teams": teams})
        self.store, self.metrics = store, Metrics()
        self.space = DiskSpace(20_000_000, 60_000_000_000, 200_000_000_000)
        self.polled: list[str] = []
        notices = NoticeRenderer(Templates(), self.metrics)
        alerts = Alerts(config.alert_queues(), store, notices)
        self.quota = Quota(config, store, self.metrics, alerts, self.polled.append)

        async def disk_space() -> DiskSpace:
            return self.space

        monkeypatch.setattr(store, "disk_space", disk_space)

    async def measure(self) -> None:
        await self.quota._measure()

    async def notices(self, team: str = "acme") -> list[str]:
        waiting = await self.store.waiting_deliveries(f"{team}/log", 99)
        return [Message.loads(delivery.message).title for delivery in waiting]

    async def take(self, number: int, size: int, team: str = "acme") -> bool:
        """Whether a body is stored."""
        if self.quota.is_used_up(team):
            return False
        accepted = event(number, team, body=b"x" * size)
        await self.store.accept(accepted)
        self.quota.add(accepted)
        return True


async def test_only_a_team_over_its_share_is_refused(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(store, monkeypatch, max_disk="1MB", alerts_to="log")
    await house.measure()
    taken = [await house.take(number, 100_000) for number in range(20)]
    assert taken == [True] * 7 + [False] * 13  # without a measurement meanwhile
    assert await house.take(20, 100_000, "rnd")
    for _ in range(2):
        await house.measure()
        assert not await house.take(21, 1)
    assert await house.notices() == ["Relay refuses events of this team"]
    assert await house.notices("rnd") == []
    assert house.polled == ["acme"]
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    advice = "set a larger max_disk"
    assert lines == [f"team acme: events are refused, its share of 1 MB is used up: {advice}"]
    text = house.metrics.text().decode()
    assert "relay_store_bytes 2e+07" in text
    assert "relay_store_free_bytes 6e+10" in text
    assert 'relay_team_bytes{team="acme"} 1.13' in text  # with the messages they may become


async def test_a_share_holds_also_where_the_store_can_not_be_measured(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the start on, for what arrives here."""

    async def too_long(_: Any) -> dict[str, int]:
        raise StoreUnavailable("timeout")

    monkeypatch.setattr(store.usage, "by_team", too_long)
    house = House(store, monkeypatch, max_disk="1MB")
    with pytest.raises(StoreUnavailable):
        await house.measure()
    assert [await house.take(number, 500_000) for number in range(3)] == [True, True, False]
    assert set(house.quota._limits) == {"acme", "rnd"}


async def test_a_team_is_accepted_again_and_its_comments_are_polled(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(store, monkeypatch, max_disk="1MB")
    await house.measure()
    while await house.take(len(await store.stored_events(99)), 300_000):
        pass
    await house.measure()
    house.polled.clear()

    async def pruned(_: Any) -> dict[str, int]:
        return {"acme": 500_000}

    monkeypatch.setattr(store.usage, "by_team", pruned)
    await house.measure()
    assert house.polled == ["acme"]
    assert await house.take(100, 1)
    await house.measure()
    assert house.polled == ["acme"]
    assert len(await house.notices()) == 1


async def test_the_notice_is_repeated_hourly_also_after_restarts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for expected in (1, 1, 2):
        house = House(store, monkeypatch, max_disk="1kB")
        await house.take(1, 2000)
        await house.measure()
        assert not await house.take(2, 1)
        await house.measure()
        assert len(await house.notices()) == expected
        if expected == 1 and house.quota._refused:
            now = quota_module.time.time() + 1900
            monkeypatch.setattr(quota_module.time, "time", lambda now=now: now)


async def test_the_default_share_is_a_quarter_of_what_was_free(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And does not shrink when Relay starts with a store that has grown."""
    house = House(store, monkeypatch)
    await house.measure()
    first = house.quota._limits
    assert first == dict.fromkeys(("acme", "rnd"), 60_020_000_000 // 4)
    again = House(store, monkeypatch)
    again.space = DiskSpace(20_020_000_000, 40_000_000_000, 200_000_000_000)
    await again.measure()
    assert again.quota._limits == first


async def test_without_a_known_disk_only_a_set_share_counts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in PostgreSQL."""
    house = House(store, monkeypatch, max_disk="1MB")
    house.space = DiskSpace(10**9)
    await house.measure()
    assert house.quota._limits == {"acme": 1_000_000}
    assert "relay_store_free_bytes NaN" in house.metrics.text().decode()


async def test_a_report_that_can_not_be_stored_is_made_with_the_next_measurement(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(store, monkeypatch, max_disk="1MB", alerts_to="log")
    await house.measure()
    assert not all([await house.take(number, 100_000) for number in range(20)])

    async def fail(*_: object) -> None:
        raise StoreUnavailable("disk full")

    with monkeypatch.context() as failing:
        failing.setattr(store, "announce", fail)
        with pytest.raises(StoreUnavailable):
            await house.measure()
    for _ in range(2):
        await house.measure()
    assert await house.notices() == ["Relay refuses events of this team"]


@pytest.mark.parametrize(
    ("free", "total", "is_low"),
    [
        (900_000_000, 100_000_000_000, True),
        (2_000_000_000, 100_000_000_000, False),
        (200_000_000, 1_000_000_000, False),
        (90_000_000, 1_000_000_000, True),
    ],
)
async def test_a_disk_that_is_almost_full_is_reported_to_alerts_to(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, free: int, total: int, is_low: bool
) -> None:
    house = House(store, monkeypatch, alerts_to="log")
    house.space = DiskSpace(1000, free, total)
    for _ in range(2):
        await house.measure()
    assert await house.notices() == ["Relay's disk is almost full"] * is_low
    assert await house.notices("rnd") == []


async def test_an_unavailable_store_does_not_end_the_measurements(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(store, monkeypatch)
    monkeypatch.setattr(quota_module, "MEASURE_INTERVAL", 0.01)
    monkeypatch.setattr(quota_module, "MAX_MEASURE_RATIO", 1e9)
    house.space = None  # type: ignore[assignment]

    async def failing() -> DiskSpace:
        if house.space is None:
            house.space = DiskSpace(1, 2, 3)
            raise StoreUnavailable("locked")
        return house.space

    monkeypatch.setattr(store, "disk_space", failing)
    task = asyncio.create_task(house.quota.run())
    async with asyncio.timeout(20):
        while not house.quota._limits:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    house.quota.stop()
    await task
    assert "can't be measured: locked" in caplog.text
