"""Servers of channels in every kind of trouble at once: their queues wait, the others go on, and
after the repair all is delivered, in order."""

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
from tests.servers.faulty import Faulty, Trouble
from tests.servers.fixtures import Authority
from tests.service import Service, wait_until

pytestmark = pytest.mark.timeout(300)
Tell = Callable[[str, list[Line]], None]
PROXY = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: 9\r\n%s\r\n<h1>No</h1"


def http(status: str, header: str = "") -> Trouble:
    return Trouble(answer=PROXY % (status.encode(), header.encode()))


HTTP = {
    "refusing": Trouble(refuse=True),
    "cutting": Trouble(cut=b""),
    "limited-2s": http("429 Slow Down", "Retry-After: 2\r\n"),
    "limited": http("429 Slow Down"),
    "failing": http("500 No"),
    "garbling": Trouble(answer=b"\x00\x01\x02 no protocol at all\r\n\r\n"),
    "endless": Trouble(answer=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", endless=True),
    "hanging": Trouble(hang=True),
}
MAIL = {
    "refusing": Trouble(refuse=True),
    "cutting": Trouble(cut=b"\r\n.\r\n"),
    "limited": Trouble(answer=b"421 4.3.2 too many connections\r\n"),
    "garbling": Trouble(answer=b"\x00\x01\x02 no protocol at all\r\n\r\n"),
    "endless": Trouble(answer=b"220 ", endless=True),
}
# A mail server may take its time, so Relay waits 30 s for it: for the long form.
SLOW = {"hanging": Trouble(hang=True)}


@dataclass
class Street:
    """The places in trouble with their proxies, and those beside them that are well."""

    proxies: dict[str, Faulty] = field(default_factory=dict)
    troubled: list[Place] = field(default_factory=list)
    well: list[Place] = field(default_factory=list)

    @property
    def places(self) -> list[Place]:
        return [*self.troubled, *self.well]

    def repair(self, names: Collection[str], authority: Authority) -> dict[str, int]:
        """Let all be well there; how often each was tried by then."""
        tries = {name: self.proxies[name].tries for name in names}
        for name in names:
            proxy = self.proxies[name]
            proxy.change(tls=authority.certificate() if proxy.tls else None)
        return tries


def street(places: Places, authority: Authority, *, long: bool) -> Street:
    """Every kind of channel in every kind of trouble, and one of each in none."""
    found = Street()
    mail = MAIL | SLOW if long else MAIL
    for kind, troubles in (("slack", HTTP), ("matrix", HTTP), ("email", mail)):
        for name, trouble in troubles.items():
            place = places.make(kind, f"{kind}-{name}")
            found.proxies[place.name] = places.troubled(place, trouble)
            found.troubled.append(place)
        place = places.make(kind, f"{kind}-expired")
        yesterday = datetime.now(UTC) - timedelta(days=1)
        expired = authority.certificate(not_after=yesterday)
        found.proxies[place.name] = places.troubled(
            place, Trouble(), tls=expired, ca_file=authority.ca_file
        )
        found.troubled.append(place)
        found.well.append(places.make(kind, f"{kind}-well"))
    return found


def test_every_trouble_of_a_server_is_waited_out_and_no_other_queue_waits_for_it(
    tmp_path: Path, places: Places, running: ExitStack, authority: Authority, tell: Tell, long: bool
) -> None:
    troubled = street(places, authority, long=long)
    relay = service(tmp_path / "relay", troubled.places)
    running.callback(relay.end)
    relay.start()
    ledger = Ledger()
    with Load([relay.hook], ledger, senders=2, most=10) as load:
        load.join()
    assert len(ledger.acknowledged) == 20
    drained(relay, within=120, but=troubled.proxies)
    assert account(relay, ledger, troubled.well)
    hanging = {name for name in troubled.proxies if name.endswith("hanging")}
    wait_until(lambda: failing(relay) >= troubled.proxies.keys() - hanging, 60)
    tries = troubled.repair(set(troubled.proxies) - hanging, authority)
    drained(relay, within=120, but=hanging)
    wait_until(lambda: failing(relay) >= hanging, 45)
    troubled.repair(hanging, authority)
    drained(relay, within=120)
    assert not dead(relay)
    assert "\x00" not in relay.log.read_text()
    doubles = {"slack-cutting": tries["slack-cutting"]}
    tell("every trouble at once", account(relay, ledger, troubled.places, doubles=doubles))


def failing(relay: Service) -> set[str]:
    """The queues whose first message failed at least once."""
    return set(re.findall(r"queue acme/([\w-]+): delivery \d+ failed", relay.log.read_text()))


def test_a_name_that_is_not_found_is_found_again(
    tmp_path: Path, places: Places, running: ExitStack, tell: Tell
) -> None:
    """The service has an /etc/hosts of its own, and no server of names."""
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
    tell("no names", account(relay, ledger, channels))


def test_what_could_not_be_delivered_is_after_the_repair_by_relay_resend(
    tmp_path: Path, places: Places, running: ExitStack, tell: Tell
) -> None:
    """A server that finds fault with the messages themselves, for a while."""
    slack, matrix, mail = channels = [
        places.make(kind, kind) for kind in ("slack", "matrix", "email")
    ]
    blocks = answer(b'{"ok": false, "error": "invalid_blocks"}')
    large = answer(b'{"errcode": "M_TOO_LARGE", "error": "no"}', b"413 No")
    proxies = [
        places.troubled(slack, Trouble(answer=blocks)),
        places.troubled(matrix, Trouble(answer=large)),
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
    tell("resend --dead", lines)


def answer(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body
