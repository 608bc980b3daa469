"""An active webhook whose calls do not arrive."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from relay.channels.base import Finding
from relay.config.secret import Secret
from relay.config.settings import Config, PenpotSettings, ServerSettings, TeamSettings
from relay.doctor import examine
from relay.intake import USE_INTERVAL, use_key
from relay.penpot.api import PenpotClient
from relay.store.sqlite import SqliteStore
from relay.sync.silence import COMMENT_DELAY, FILE_DELAY, check_silence
from tests.penpot.standin import TOKEN, Fault, StandIn
from tests.penpot.world import Comment, Webhook

pytestmark = pytest.mark.anyio

SECRET = Secret("a-secret-of-24-characters")
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


class House:
    """A stand-in Penpot in which nothing happened for long, and what Relay noted of its hook."""

    def __init__(self, penpot: StandIn, store: SqliteStore, monkeypatch: pytest.MonkeyPatch):
        self.penpot, self.store = penpot, store
        self._patch = monkeypatch
        self.team = penpot.world.by_name("teams", "acme")
        for file in penpot.world.files.values():
            file.modified = LONG_AGO
        for thread in penpot.world.threads.values():
            thread.modified = LONG_AGO
            for comment in thread.comments:
                comment.created = LONG_AGO
        self.config = Config(
            server=ServerSettings(public_url="https://relay.example.com"),
            penpot=PenpotSettings(url=penpot.url, access_token=Secret(TOKEN)),
            teams={"acme": TeamSettings(secret=SECRET)},
        )

    async def called(self, seconds_ago: float) -> None:
        with self._patch.context() as patch:
            now = time.time()
            patch.setattr(time, "time", lambda: now - seconds_ago)
            await self.store.put_value(use_key("acme", SECRET), "")

    def comment(self, seconds_ago: float) -> None:
        world = self.penpot.world
        thread = next(
            thread
            for thread in world.threads.values()
            if world.team_of_file(thread.file) == self.team
        )
        last: Comment = thread.comments[-1]
        last.created = thread.modified = ago(seconds_ago)

    def change_file(self, seconds_ago: float) -> None:
        world = self.penpot.world
        file = next(id_ for id_ in world.files if world.team_of_file(id_) == self.team)
        world.files[file].modified = ago(seconds_ago)

    async def check(self) -> Finding | None:
        client = PenpotClient(self.penpot.url, TOKEN)
        try:
            return await check_silence(self.config, client, self.store, "acme", self.team)
        finally:
            await client.close()


@pytest.fixture
def penpot(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    with StandIn() as standin:
        yield House(standin, store, monkeypatch)


async def test_a_comment_after_the_last_call_is_reported(penpot: House) -> None:
    await penpot.called(7200)
    assert await penpot.check() is None
    penpot.comment(3600)
    finding = await penpot.check()
    assert finding is not None
    assert not finding.ok
    assert "is on but silent: a comment (20" in finding.text
    assert "is newer than its last call (20" in finding.text
    causes = ["PENPOT_SSRF_ALLOWED_HOSTS", "another server", "Cloudflare's bot check", "underscore"]
    positions = [finding.text.index(cause) for cause in causes]
    assert positions == sorted(positions)
    assert "lacks relay.example.com (bare name" in finding.text
    await penpot.called(3500)
    assert await penpot.check() is None


async def test_what_may_still_be_under_way_is_not_reported(penpot: House) -> None:
    await penpot.called(7200)
    penpot.comment(COMMENT_DELAY / 2)
    penpot.change_file(FILE_DELAY / 2)
    assert await penpot.check() is None
    await penpot.called(3600)
    penpot.comment(3600 - USE_INTERVAL / 2)  # the calls after a noted one are not noted at once
    assert await penpot.check() is None


async def test_a_file_that_changed_after_the_last_call_is_reported(penpot: House) -> None:
    await penpot.called(7200)
    penpot.change_file(FILE_DELAY + 30)
    finding = await penpot.check()
    assert finding is not None
    assert not finding.ok
    assert "silent: a changed file (20" in finding.text
    penpot.penpot.faults["get-unread-comment-threads"] = Fault(status=400)
    assert await penpot.check() == finding


async def test_a_call_with_the_old_secret_counts(penpot: House) -> None:
    await penpot.called(1000)
    penpot.comment(3600)
    team = TeamSettings(secret=(Secret("the-new-secret-of-acme"), SECRET))
    penpot.config = penpot.config.model_copy(update={"teams": {"acme": team}})
    assert await penpot.check() is None


async def test_without_any_call_it_depends_on_when_the_webhook_became_active(
    penpot: House, store: SqliteStore
) -> None:
    assert "has not called yet" in str(await penpot.check())
    finding = await penpot.check()
    assert finding is not None
    assert finding.ok  # an old comment may be from before there was a webhook
    await store.put_value("hook/acme", '{"state": "active"}')
    assert await penpot.check() is None
    with pytest.MonkeyPatch.context() as patch:
        now = time.time()
        patch.setattr(time, "time", lambda: now - 7200)
        await store.put_value("hook/acme", '{"state": "active"}')
    penpot.comment(3600)
    finding = await penpot.check()
    assert finding is not None
    assert not finding.ok
    assert "is newer than the beginning, without any call" in finding.text


async def test_the_doctor_reports_it(penpot: House, tmp_path: Path) -> None:
    world = penpot.penpot.world
    uri = f"https://relay.example.com/hooks/acme/{SECRET.reveal()}"
    id_ = "b0000000-0000-4000-8000-000000000001"
    world.webhooks[id_] = Webhook(id_, penpot.team, uri, profile=world.me)
    store = {"url": f"sqlite:///{tmp_path}/relay.db"}
    config = Config.model_validate(penpot.config.model_dump(exclude_unset=True) | {"store": store})

    async def findings() -> list[Finding]:
        return [finding async for subject, finding in examine(config) if subject == "acme"]

    await penpot.called(7200)
    assert await findings() == [Finding(True, "its webhook in Penpot exists and is on")]
    penpot.comment(3600)
    (finding,) = await findings()
    assert not finding.ok
    assert "silent" in finding.text
    world.webhooks[id_].error_code = "blocked-request:uri target is not allowed"
    (finding,) = await findings()
    assert not finding.ok
    assert "is on, but its last call failed: it may not call Relay's address" in finding.text
