"""TLS for all channels: one context for each authority, since each costs a megabyte."""

import os
import ssl
from functools import cache
from pathlib import Path

import certifi


@cache
def context(ca_file: Path | None = None) -> ssl.SSLContext:
    """What verifies servers: the system's authorities (certifi's where it has none) and those
    in ``ca_file``. Raises ``ValueError`` where that file holds none."""
    found = ssl.create_default_context(cafile=None if _system_has_some() else certifi.where())
    if ca_file is not None:
        try:
            found.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"{ca_file} holds no certificate in PEM form") from error
    return found


def _system_has_some() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath and any(os.scandir(paths.capath)))
