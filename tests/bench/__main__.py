"""Measures the figures of ``tests/bench/README.md``, each in one run on this machine.

    make bench                    all of them
    python -m tests.bench NAME    one of BENCHES below

Loopback only, bounded in count and time. To exclude the disk, set
``RELAY_BENCH_FOLDER=/dev/shm``. ``RELAY_BENCH_SIZES`` and ``RELAY_BENCH_QUEUES`` are lists of other
sizes for ``backlog`` and ``queues``, such as ``1000,10000,100000``; ``RELAY_BENCH_TEAMS`` of
numbers of teams for ``sync``, ``RELAY_BENCH_EVENTS`` is the number of events for ``inspector``.
"""

import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from tests.bench.capacity import backlog, backlog_postgres, queues, retention, shrink
from tests.bench.inspector import inspector, inspector_postgres
from tests.bench.lookups import lookups
from tests.bench.rendering import rendering
from tests.bench.replicas import accepts_postgres, replicas, takeover
from tests.bench.speed import accepts, fanout, latency, memory
from tests.bench.sync import sync

BENCHES: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "memory": memory,
    "accepts": accepts,
    "accepts-postgres": accepts_postgres,
    "latency": latency,
    "lookups": lookups,
    "fanout": fanout,
    "rendering": rendering,
    "backlog": backlog,
    "backlog-postgres": backlog_postgres,
    "queues": queues,
    "retention": retention,
    "shrink": shrink,
    "replicas": replicas,
    "takeover": takeover,
    "sync": sync,
    "inspector": inspector,
    "inspector-postgres": inspector_postgres,
}


def main() -> None:
    for name in sys.argv[1:] or BENCHES:
        uvloop.run(BENCHES[name]())


if __name__ == "__main__":
    main()
