"""TLS contexts of all channels, shared since each takes a megabyte."""

import os
import ssl
from functools import cache
from pathlib import Path

import certifi


@cache
def context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities (certifi's where it has none) and those in ``ca_file``.
    Raises ``ValueError`` where that file has no certificate."""
    tls = ssl.create_default_context(cafile=None if _system_has_authorities() else certifi.where())
    if ca_file is not None:
        try:
            tls.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise ValueError(f"{ca_file} holds no certificate in PEM form") from error
    return tls


def _system_has_authorities() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile) or bool(paths.capath and any(os.scandir(paths.capath)))
