"""New files of a config: their text, their modes, all or nothing."""

import os
import signal
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config import write
from relay.config.write import NotWritten, require_new, secrets_folder, toml, toml_key, write_new

TEXTS = st.characters(exclude_categories=["Cs"])
SIMPLE = st.text(TEXTS) | st.booleans() | st.integers(-(2**63), 2**63 - 1)
VALUES = SIMPLE | st.lists(SIMPLE) | st.dictionaries(st.text(TEXTS), SIMPLE, max_size=3)


@settings(max_examples=60)
@given(st.dictionaries(st.text(TEXTS), VALUES, max_size=5))
def test_each_value_is_read_as_it_was_written(table: dict[str, object]) -> None:
    text = toml([("[a]", table), (f"[b.{toml_key('ä.b')}]", {"x": 1})])
    assert tomllib.loads(text) == {"a": table, "b": {"ä.b": {"x": 1}}}


def test_a_value_without_a_form_in_toml_is_an_error() -> None:
    with pytest.raises(TypeError, match="NoneType"):
        toml([("[a]", {"x": None})])


def test_the_files_have_modes_that_keep_secrets(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    before = os.umask(0o022)
    try:
        write_new(path, "[a]\n", {"token": "hunter2"})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    folder = tmp_path / "relay.secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert (folder / "token").read_text() == "hunter2\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["relay.secrets", "relay.toml"]
    assert [each.name for each in folder.iterdir()] == ["token"]


def test_the_folder_is_named_after_the_file() -> None:
    assert secrets_folder(Path("/etc/relay/acme.toml")) == Path("/etc/relay/acme.secrets")
    assert secrets_folder(Path("conf")) == Path("conf.secrets")


@pytest.mark.parametrize("existing", ["relay.toml", "relay.secrets"])
def test_nothing_is_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).symlink_to(tmp_path / "gone")
    for attempt in (
        lambda: require_new(tmp_path / "relay.toml"),
        lambda: write_new(tmp_path / "relay.toml", "", {"a": "b"}),
    ):
        with pytest.raises(NotWritten, match=f"{existing} exists, and is not overwritten"):
            attempt()
    assert [each.name for each in tmp_path.iterdir()] == [existing]


def test_a_file_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "relay.toml"
    move = write._move

    def late(source: Path, target: Path) -> None:
        target.write_text("another's")
        move(source, target)

    monkeypatch.setattr(write, "_move", late)
    with pytest.raises(NotWritten, match="can't be written: File exists"):
        write_new(path, "mine", {"a": "b"})
    assert path.read_text() == "another's"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_links_gets_the_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_new(tmp_path / "relay.toml", "mine", {})
    assert (tmp_path / "relay.toml").read_text() == "mine"
    with pytest.raises(FileExistsError):
        write._move(tmp_path / "relay.toml", tmp_path / "relay.toml")


@pytest.mark.parametrize("interrupted", ["_write", "_move"])
def test_an_interruption_leaves_everything_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    original = getattr(write, interrupted)

    def interrupt(*arguments: object) -> None:
        original(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(write, interrupted, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path / "relay.toml", "mine", {"a": "b"})
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names in ([], ["relay.secrets", "relay.toml"])


def test_an_unwritable_folder_is_an_error_before_the_questions(tmp_path: Path) -> None:
    with pytest.raises(NotWritten, match="is no folder that you may write to"):
        require_new(tmp_path / "gone" / "relay.toml")
