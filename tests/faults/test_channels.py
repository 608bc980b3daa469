"""All faults of channel servers at once: their queues wait, the others continue, and after the
repair all messages are delivered, in order."""

import re
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.account import Ledger, Line
from tests.faults.places import Place, Places
from tests.faults.stage import Load, account, dead, drained, service
from tests.servers.faulty import Fault, FaultyProxy
from tests.servers.fixtures import Authority
from tests.service import Service, wait_until

pytestmark = pytest.mark.timeout(300)
Report = Callable[[str, list[Line]], None]
PROXY = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: 9\r\n%s\r\n<h1>No</h1"


def http(status: str, header: str = "") -> Fault:
    return Fault(answer=PROXY % (status.encode(), header.encode()))


HTTP = {
    "refusing": Fault(refuse=True),
    "cutting": Fault(cut=b""),
    "limited-2s": http("429 Slow Down", "Retry-After: 2\r\n"),
    "limited": http("429 Slow Down"),
    "failing": http("500 No"),
    "garbling": Fault(answer=b"\x00\x01\x02 no protocol at all\r\n\r\n"),
    "endless": Fault(answer=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", endless=True),
    "hanging": Fault(hang=True),
}
MAIL = {
    "refusing": Fault(refuse=True),
    "cutting": Fault(cut=b"\r\n.\r\n"),
    "limited": Fault(answer=b"421 4.3.2 too many connections\r\n"),
    "garbling": Fault(answer=b"\x00\x01\x02 no protocol at all\r\n\r\n"),
    "endless": Fault(answer=b"220 ", endless=True),
}
# To a webhook and to apprise a 200 is a delivery, whatever follows, once the answer has an end.
WEBHOOK = {name: fault for name, fault in HTTP.items() if name != "endless"}
# Each has a process of its own.
APPRISE = {name: HTTP[name] for name in ("cutting", "limited")}
# Relay waits 30 s for a mail server: only in the long run.
SLOW = {"hanging": Fault(hang=True)}


@dataclass
class Setup:
    """Places with faults, their proxies, and healthy places."""

    proxies: dict[str, FaultyProxy] = field(default_factory=dict)
    faulty: list[Place] = field(default_factory=list)
    healthy: list[Place] = field(default_factory=list)

    @property
    def places(self) -> list[Place]:
        return [*self.faulty, *self.healthy]

    def repair(self, names: Collection[str], authority: Authority) -> dict[str, int]:
        """End the faults; the number of attempts at each before."""
        tries = {name: self.proxies[name].tries for name in names}
        for name in names:
            proxy = self.proxies[name]
            proxy.change(tls=authority.certificate() if proxy.tls else None)
        return tries


def setup(places: Places, authority: Authority, *, long: bool) -> Setup:
    """Every kind of channel with every fault, and a healthy one of each kind."""
    found = Setup()
    mail = MAIL | SLOW if long else MAIL
    for kind, faults in (
        ("slack", HTTP),
        ("matrix", HTTP),
        ("mattermost", HTTP),
        ("rocketchat", HTTP),
        ("discord", HTTP),
        ("teams", HTTP),
        ("email", mail),
        ("webhook", WEBHOOK),
        ("apprise", APPRISE),
    ):
        for name, fault in faults.items():
            place = places.make(kind, f"{kind}-{name}")
            found.proxies[place.name] = places.faulty(place, fault)
            found.faulty.append(place)
        place = places.make(kind, f"{kind}-expired")
        yesterday = datetime.now(UTC) - timedelta(days=1)
        expired = authority.certificate(not_after=yesterday)
        found.proxies[place.name] = places.faulty(
            place, Fault(), tls=expired, ca_file=authority.ca_file
        )
        found.faulty.append(place)
        found.healthy.append(places.make(kind, f"{kind}-healthy"))
    return found


def test_queues_survive_every_fault_of_a_server_and_do_not_delay_others(
    tmp_path: Path,
    places: Places,
    running: ExitStack,
    authority: Authority,
    report: Report,
    long: bool,
) -> None:
    faulty = setup(places, authority, long=long)
    relay = service(tmp_path / "relay", faulty.places)
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    with Load([relay.hook], ledger, senders=2, most=10) as load:
        load.join()
    assert len(ledger.acknowledged) == 20
    drained(relay, within=120, but=faulty.proxies)
    assert account(relay, ledger, faulty.healthy)
    hanging = {name for name in faulty.proxies if name.endswith("hanging")}
    wait_until(lambda: failing(relay) >= faulty.proxies.keys() - hanging, 60)
    tries = faulty.repair(set(faulty.proxies) - hanging, authority)
    drained(relay, within=120, but=hanging)
    wait_until(lambda: failing(relay) >= hanging, 45)
    faulty.repair(hanging, authority)
    drained(relay, within=120)
    assert not dead(relay)
    assert "\x00" not in relay.log.read_text()
    doubles = {
        f"{kind}-cutting": tries[f"{kind}-cutting"]
        for kind in ("slack", "mattermost", "rocketchat", "discord", "teams", "apprise")
    }
    report("every fault at once", account(relay, ledger, faulty.places, doubles=doubles))


def failing(relay: Service) -> set[str]:
    """The queues whose first message failed at least once."""
    return set(re.findall(r"queue acme/([\w-]+): delivery \d+ failed", relay.log.read_text()))


def test_a_host_name_that_is_not_resolved_is_retried(
    tmp_path: Path, places: Places, running: ExitStack, report: Report
) -> None:
    """The service has a separate /etc/hosts, and no name server."""
    names = tmp_path / "hosts"
    names.write_text("127.0.0.1 localhost\n")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
    channels = [places.make(kind, kind) for kind in ("slack", "matrix", "email")]
    for place in channels:
        place.host = f"{place.kind}.faults.test"
    relay = service(tmp_path / "relay", channels)
    mounts = (
        f"mount --bind {names} /etc/hosts && mount --bind {tmp_path}/resolv.conf /etc/resolv.conf"
    )
    relay.command = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'{mounts} && exec "$@"',
        "-",
        *relay.command,
    ]
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    with Load([relay.hook], ledger, most=5) as load:
        load.join()
    wait_until(lambda: failing(relay) == {"slack", "matrix", "email"}, 60)
    assert relay.log.read_text().count("(dns: the host name of") >= 3
    with names.open("a") as hosts:
        hosts.write("127.0.0.1 slack.faults.test matrix.faults.test email.faults.test\n")
    drained(relay, within=120)
    report("no names", account(relay, ledger, channels))


def test_relay_resend_delivers_dead_messages_after_the_repair(
    tmp_path: Path, places: Places, running: ExitStack, report: Report
) -> None:
    """A server that rejects the messages themselves for a while."""
    slack, matrix, mail = channels = [
        places.make(kind, kind) for kind in ("slack", "matrix", "email")
    ]
    blocks = answer(b'{"ok": false, "error": "invalid_blocks"}')
    large = answer(b'{"errcode": "M_TOO_LARGE", "error": "no"}', b"413 No")
    proxies = [
        places.faulty(slack, Fault(answer=blocks)),
        places.faulty(matrix, Fault(answer=large)),
    ]
    mail.replies["DATA"] = "554 5.7.1 looks like spam"
    relay = service(tmp_path / "relay", channels)
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    with Load([relay.hook], ledger, most=6) as load:
        load.join()
    drained(relay, within=120)
    lines = account(relay, ledger, channels)
    assert [(line.delivered, line.dead) for line in lines] == [(0, 6)] * 3
    for proxy in proxies:
        proxy.change()
    mail.replies.clear()
    with Load([relay.hook], ledger, first=1, most=6) as load:
        load.join()
    assert relay.run("resend", "--dead").returncode == 0
    drained(relay, within=120)
    lines = account(relay, ledger, channels, resent=range(6))
    assert [line.dead for line in lines] == [0] * 3
    report("resend --dead", lines)


def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    return head % (status, len(body)) + b"Connection: close\r\n\r\n" + body
