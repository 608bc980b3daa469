"""The variables that name files for TLS, ``SSL_CERT_FILE``, ``SSL_CERT_DIR`` and ``SSLKEYLOGFILE``.

Python's ``ssl`` and httpx read them themselves. An invalid one is ignored by some clients, and ends
others with an error that names neither the variable nor the file.
"""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path


def tls_problems(environ: Mapping[str, str]) -> Iterator[str]:
    """Of each invalid variable: name, value and rule."""
    checks = {
        "SSL_CERT_FILE": (_load, "must be a readable file of certificates in PEM form"),
        "SSL_CERT_DIR": (_list, "must be a readable directory of certificates"),
        "SSLKEYLOGFILE": (_open_log, "must be a file that can be written; unset it in production"),
    }
    for name, (check, rule) in checks.items():
        if value := environ.get(name, ""):
            try:
                check(value)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                why = "" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "")
                yield f'{name} = "{value}": {rule}{f" ({why})" if why else ""}'


def _load(value: str) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)


def _list(value: str) -> None:
    next(Path(value).iterdir(), None)


def _open_log(value: str) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = value
