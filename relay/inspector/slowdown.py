"""The slow-down on wrong passwords: for each client and account, and for all of them together."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

FREE = 3
"""Tries of one client at an account that nobody need wait for."""
LONGEST = 300.0
"""Seconds between two tries of one client, at the most."""
FORGIVEN = 3600.0
"""Seconds without a try after which a client's wrong ones are forgotten."""
CLIENTS = 1024
"""Clients that are remembered."""
TOGETHER = 30
"""Tries that all clients together have at once, before they share ``EVERY``."""
EVERY = 2.0
"""Seconds that bring all clients together one more."""


class LoginThrottle:
    """Counts tries. A try is counted before its password is looked at, so that many at once gain
    nothing, and taken back where the password was right. An account is what a password is for: who
    has one does not begin anew with another by it. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._clients: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._next = 0.0

    def begin(self, address: str, now: float, account: str = "") -> float:
        """Count a try of a client. The seconds that it has to wait; then it did not count."""
        client = _network(address), account
        tries, last = self._clients.get(client, (0, 0.0))
        if now - last > FORGIVEN:
            tries = 0
        pause = min(LONGEST, 2.0 ** (tries - FREE)) if tries >= FREE else 0.0
        wait = max(last + pause - now, self._next - EVERY * (TOGETHER - 1) - now)
        if wait > 0:
            return wait
        self._next = max(self._next, now) + EVERY
        self._clients[client] = tries + 1, now
        self._clients.move_to_end(client)
        if len(self._clients) > CLIENTS:
            self._clients.popitem(last=False)
        return 0.0

    def right(self, address: str, account: str = "") -> None:
        """The client's try was right."""
        self._clients.pop((_network(address), account), None)
        self._next -= EVERY


def _network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the 64 bits that one has of IPv6."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else str(int(ip) >> 64)
    return address
