"""The threads that the sync compares, on both engines."""

import pytest

from relay.store.base import Store
from relay.store.sync_threads import SyncThread, ThreadFingerprint
from tests.store.test_base import event

pytestmark = pytest.mark.anyio


async def test_sync_threads_are_saved_with_their_events(store: Store) -> None:
    one = SyncThread("t1", "f1", "a", 0.0, "first")
    other = SyncThread("t2", "f2", "b", 0.0, "second")
    assert await store.sync_threads.save("acme", [event(1), event(2)], [one, other]) == 2
    assert await store.sync_threads.save("rnd", [], [one]) == 0
    assert len(await store.stored_events(10)) == 2
    assert sorted(await store.sync_threads.fingerprints("acme")) == [
        ThreadFingerprint(*one[:4]),
        ThreadFingerprint(*other[:4]),
    ]
    assert await store.sync_threads.fingerprints("acme", "f2") == [
        ThreadFingerprint("t2", "f2", "b", 0.0)
    ]
    assert await store.sync_threads.get("acme", ["t1", "t9"]) == {"t1": one}
    gone = one._replace(gone_at=50.0, fingerprint="c", state="third")
    assert await store.sync_threads.save("acme", [event(1), event(3)], [gone]) == 1
    assert await store.sync_threads.get("acme", ["t1"]) == {"t1": gone}
    assert await store.sync_threads.get("rnd", ["t1"]) == {"t1": one}
    await store.sync_threads.delete_gone("acme", 50.0)
    assert len(await store.sync_threads.fingerprints("acme")) == 2
    await store.sync_threads.delete_gone("acme", 51.0)
    assert [mark.thread for mark in await store.sync_threads.fingerprints("acme")] == ["t2"]
    assert await store.sync_threads.get("acme", []) == {}


async def test_the_threads_and_values_of_other_teams_are_deleted(store: Store) -> None:
    for team in ("acme", "rnd"):
        await store.sync_threads.save(team, [event(1)], [SyncThread("t1", "f1", "a", 0.0, "first")])
    for key in ("watch/acme", "watch/rnd", "watcher", "hook/acme"):
        await store.put_value(key, "x")
    await store.sync_threads.delete_teams_except("watch/", ["rnd"])
    assert await store.sync_threads.fingerprints("acme") == []
    assert len(await store.sync_threads.fingerprints("rnd")) == 1
    assert await store.get_value("watch/acme") is None
    assert await store.get_value("watch/rnd") is not None
    await store.sync_threads.delete_teams_except("watch/")
    assert (
        await store.sync_threads.fingerprints("acme")
        == await store.sync_threads.fingerprints("rnd")
        == []
    )
    values = {key: await store.get_value(key) for key in ("watch/acme", "watch/rnd")}
    assert set(values.values()) == {None}
    assert None not in [await store.get_value("watcher"), await store.get_value("hook/acme")]
    assert len(await store.stored_events(10)) > 0


async def test_sync_threads_are_not_saved_without_their_events(store: Store) -> None:
    bad = event(1, body=None)
    with pytest.raises(Exception, match=r"(?i)null"):
        await store.sync_threads.save(
            "acme", [event(2), bad], [SyncThread("t", "f", "m", 0.0, "s")]
        )
    assert await store.stored_events(10) == []
    assert await store.sync_threads.fingerprints("acme") == []


async def test_recent_events_are_filtered_and_limited(store: Store) -> None:
    for number in range(6):
        name = "create-comment" if number % 2 else "update-file"
        await store.accept(event(number, name=name, received_at=100.0 + number))
    await store.accept(event(9, name="create-comment", received_at=200.0, body=b"x" * 70_000))
    await store.accept(event(10, name="create-file", received_at=200.0))
    events = await store.sync_threads.recent_events(["create-comment", "update-file"], 102.0, 10)
    assert [one.received_at for one in events] == [102.0, 103.0, 104.0, 105.0]
    newest = await store.sync_threads.recent_events(["create-comment"], 0.0, 2)
    assert [one.received_at for one in newest] == [103.0, 105.0]
    assert newest[0].body == b'{"name": "x"}'


async def test_of_equal_threads_in_one_call_the_last_is_saved(store: Store) -> None:
    first = SyncThread("t", "f", "a", 0.0, "first")
    last = first._replace(fingerprint="b", state="last")
    await store.sync_threads.save("acme", [], [first, last])
    assert await store.sync_threads.get("acme", ["t"]) == {"t": last}
