"""The process that calls apprise: one line of JSON for each job, and one line for its answer.

apprise blocks, reads answers of any size, and logs addresses with their secrets. So it runs in a
process of its own, whose memory is limited and whose output is discarded, and which is killed when
a job takes too long. The process runs this file by itself, and imports nothing of Relay.

A job has ``url`` and ``ca_file``; with ``body`` and ``title`` it sends a message, otherwise its
answer describes the service. ``error`` in an answer is a rule that the URL breaks.
"""

import json
import logging
import os
import re
import resource
import ssl
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import apprise

Json: TypeAlias = dict[str, Any]

MAX_MEMORY = 192 * 1024 * 1024  # bytes of data, of which Python and apprise have a quarter
_SOCKET_TIMEOUT = 15.0  # seconds
_MAX_PAUSE = 1.0  # seconds between the targets of a URL
_MISSING = (
    "needs the package apprise, version 2 or newer, which is not installed: pip install "
    '"penpot-relay[apprise]" (the container image has none)'
)
_INVALID = (
    'must be one apprise URL, such as "ntfys://ntfy.example.com/penpot": apprise does not accept '
    "it, or lacks a package for this service"
)
_NOT_HTTP = (
    "must be the apprise URL of a service that is reached by HTTP, such as "
    '"ntfys://ntfy.example.com/penpot": Relay sends nothing to files, devices or the desktop, and '
    'mail by type = "email"'
)
_UNVERIFIED = (
    "must not have verify=no, since certificates are always verified: set ca_file for a private "
    "authority"
)
_STATUS_PATTERN = re.compile(r"\berror=([345]\d\d)\d{0,2}\b")  # ntfy's own codes have two more


class _InvalidUrl(ValueError):
    """Its text is the broken rule."""


class _Reasons(logging.Handler):
    """Why a message is not sent, as far as apprise's log says it: a status, or no connection. The
    text itself may hold a secret."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if status := _STATUS_PATTERN.search(text):
            self.reason = status[1]
        elif "Connection error" in text and not self.reason:
            self.reason = "connect"


def main() -> None:
    # Whatever a plugin prints must not become an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line))) + "\n")
        answers.flush()


def answer(job: Json) -> Json:
    if not _is_installed():
        return {"error": _MISSING}
    _trust(job.get("ca_file"))
    try:
        services, service = _open(job["url"])
    except _InvalidUrl as error:
        return {"error": str(error)}
    if "body" not in job:
        return {
            "name": str(service.service_name),
            "body_limit": int(service.body_maxlen),
            "title_limit": max(0, int(service.title_maxlen)),
        }
    return _send(services, service, job)


def _is_installed() -> bool:
    if find_spec("apprise") is None:
        return False
    import apprise

    return hasattr(apprise.NotifyBase, "resolve_format")  # since version 2


def _trust(ca_file: str | None) -> None:
    """Trust the system's authorities, where it has some, and those in the file."""
    from certifi import where

    paths = [Path(ssl.get_default_verify_paths().cafile or where())]
    if ca_file is not None:
        paths.append(Path(ca_file))
    if len(paths) > 1:
        file = os.memfd_create("authorities")
        os.write(file, b"\n".join(path.read_bytes() for path in paths))
        paths = [Path(f"/proc/self/fd/{file}")]
    os.environ["REQUESTS_CA_BUNDLE"] = str(paths[0])


def _open(url: str) -> "tuple[apprise.Apprise, apprise.NotifyBase]":
    """Raises ``_InvalidUrl``."""
    import apprise

    logger = logging.getLogger("apprise")
    logger.handlers[:], logger.propagate = [logging.NullHandler()], False
    # Without pictures from apprise's own repository, files, or the URL's own emoji.
    asset = apprise.AppriseAsset(
        app_id="Penpot",
        app_desc="Penpot",
        app_url="https://penpot.app",
        image_url_mask="",
        image_url_logo="",
        interpret_emojis=False,
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
    services = apprise.Apprise(asset=asset)
    try:
        is_valid = bool(services.add(url)) and len(services.services) == 1
    except Exception:  # noqa: BLE001 - of a plugin that can't read it
        is_valid = False
    if not is_valid:
        raise _InvalidUrl(_INVALID)
    (service,) = services.services
    if not isinstance(service, apprise.NotifyBase) or not _uses_http(service):
        raise _InvalidUrl(_NOT_HTTP)
    if not service.verify_certificate:
        raise _InvalidUrl(_UNVERIFIED)
    # A redirect gets the secrets, an optional service's failure counts as a success, and the queue
    # retries by itself.
    service.redirects = service.optional = False
    service.retry = 0
    service.socket_connect_timeout = service.socket_read_timeout = _SOCKET_TIMEOUT
    service.request_rate_per_sec = min(service.request_rate_per_sec, _MAX_PAUSE)
    return services, service


def _uses_http(service: "apprise.NotifyBase") -> bool:
    """Whether its plugin posts with requests; others open files, sockets, or a desktop's bus."""
    import requests

    modules = (sys.modules[base.__module__] for base in type(service).__mro__)
    return any(getattr(module, "requests", None) is requests for module in modules)


def _send(services: "apprise.Apprise", service: "apprise.NotifyBase", job: Json) -> Json:
    """The text is plain. Where apprise would turn it into Markdown, it would put backslashes into
    its addresses; the text has nothing that Markdown formats."""
    import apprise

    text = apprise.NotifyFormat.TEXT
    form = None if service.resolve_format(text) == apprise.NotifyFormat.MARKDOWN else text
    logger, reasons = logging.getLogger("apprise"), _Reasons()
    logger.handlers[:] = [reasons]
    try:
        sent = bool(services.notify(body=job["body"], title=job["title"], body_format=form))
    except Exception:  # noqa: BLE001 - of any plugin; MemoryError is one
        sent = False
    return {"sent": sent, "reason": reasons.reason}


if __name__ == "__main__":
    main()
