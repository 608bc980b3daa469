"""A new config file, and beside it a folder with the secrets that it refers to."""

import json
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EEXIST
from pathlib import Path

from relay.errors import RelayError

_BARE_KEY_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
# JSON leaves these as they are; TOML does not accept them: https://toml.io/en/v1.0.0#string
_CONTROL_PATTERN = re.compile("[\x7f-\x9f]")


class NotWritten(RelayError):
    """Nothing was written, and nothing was replaced."""


def toml(tables: Iterable[tuple[str, Mapping[str, object]]]) -> str:
    """``tables`` are headers such as ``[server]``, each with its keys: texts, numbers, switches,
    lists, and inline tables."""
    parts = []
    for header, keys in tables:
        lines = [f"{toml_key(name)} = {_value(value)}" for name, value in keys.items()]
        parts.append("\n".join([header, *lines, ""]))
    return "\n".join(parts)


def toml_key(name: str) -> str:
    return name if _BARE_KEY_PATTERN.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            keys = [f"{toml_key(name)} = {_value(item)}" for name, item in value.items()]
            return f"{{ {', '.join(keys)} }}"
    raise TypeError(f"no value of TOML: {type(value).__name__}")


def _text(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return _CONTROL_PATTERN.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def secrets_folder(path: Path) -> Path:
    """Of the config file ``path``."""
    return path.with_name(f"{path.name.removesuffix('.toml')}.secrets")


def require_new(path: Path) -> None:
    """Raises ``NotWritten`` where ``write_new`` would."""
    for existing in (path, secrets_folder(path)):
        if os.path.lexists(existing):
            raise NotWritten(
                f"{existing} exists, and is not overwritten: move it away, or name another file "
                "with --config"
            )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise NotWritten(f"{path.parent.absolute()} is no folder that you may write to")


def write_new(path: Path, text: str, secrets: Mapping[str, str]) -> None:
    """The config file, and the secrets by the names of their files. Either all of it is there at
    the end, complete, or nothing. Raises ``NotWritten``."""
    require_new(path)
    folder = secrets_folder(path)
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=path.parent))  # mode 0700
    except OSError as error:
        raise NotWritten(f"{path} can't be written: {error.strerror}") from error
    unfinished: Path | None = draft
    try:
        for name, secret in secrets.items():
            _write(draft / name, secret + "\n", 0o600)
        _write(draft / path.name, text, 0o666)  # less the umask
        with _uninterrupted():
            draft.rename(folder)  # fails where a folder with files has appeared
            unfinished = folder
            _move(folder / path.name, path)
            unfinished = None
    except BaseException as error:  # also Ctrl-C
        if unfinished is not None:
            shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError):
            raise NotWritten(f"{path} can't be written: {error.strerror}") from error
        raise


def _write(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C comes after the block."""
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _move(source: Path, target: Path) -> None:
    """Unlike ``rename``, never over a file that has appeared meanwhile."""
    with suppress(PermissionError, NotImplementedError):  # some file systems have no links
        os.link(source, target)
        source.unlink()
        return
    if os.path.lexists(target):
        raise FileExistsError(EEXIST, os.strerror(EEXIST), str(target))
    source.rename(target)
