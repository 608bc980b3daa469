"""Drafts do not block the service."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from relay.config.settings import Config
from relay.inspector.editor import Drafts
from relay.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


async def test_endless_drafts_leave_threads_for_messages(tmp_path: Path) -> None:
    config = Config.model_validate(
        {"teams": {"acme": {"secret": "x" * 24}}, "templates": {"path": str(tmp_path)}}
    )
    drafts = Drafts(config, SqliteStore(tmp_path / "relay.db"))
    (event,) = await drafts.samples(["rename-file"], "acme")
    await drafts.render(event, "acme", "slack")
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
    renders = [
        asyncio.create_task(drafts.render(event, "acme", "slack", {"rename-file.md.j2": ENDLESS}))
        for _ in range(2)
    ]
    await asyncio.sleep(0.2)
    started = time.monotonic()
    await asyncio.to_thread(lambda: None)
    assert time.monotonic() - started < 0.7
    for draft in await asyncio.gather(*renders):
        assert "takes longer than" in draft.problems[0].text
