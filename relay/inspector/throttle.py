"""Throttling of login attempts, per client and account and over all clients."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

FREE_ATTEMPTS_COUNT = 3  # per client and account, without delay
MAX_DELAY = 300.0  # seconds between two attempts of one client
ATTEMPTS_TTL = 3600.0  # seconds since the last attempt
MAX_CLIENTS = 1024  # in memory
SHARED_BURST_LIMIT = 30  # attempts of all clients together without delay
SHARED_INTERVAL = 2.0  # seconds per attempt of all clients after the burst


class LoginThrottle:
    """Counts an attempt before its password is checked, so that concurrent attempts gain nothing,
    and subtracts it if the password is right. A right password resets the count of its own account
    (a team, or all teams) only. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._clients: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._next = 0.0

    def begin(self, address: str, now: float, account: str = "") -> float:
        """Count an attempt. Returns the seconds to wait; if not 0 the attempt was not counted."""
        client = _network(address), account
        attempts, last = self._clients.get(client, (0, 0.0))
        if now - last > ATTEMPTS_TTL:
            attempts = 0
        excess = attempts - FREE_ATTEMPTS_COUNT
        delay = min(MAX_DELAY, 2.0**excess) if excess >= 0 else 0.0
        wait = max(
            last + delay - now, self._next - SHARED_INTERVAL * (SHARED_BURST_LIMIT - 1) - now
        )
        if wait > 0:
            return wait
        self._next = max(self._next, now) + SHARED_INTERVAL
        self._clients[client] = attempts + 1, now
        self._clients.move_to_end(client)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0

    def succeeded(self, address: str, account: str = "") -> None:
        self._clients.pop((_network(address), account), None)
        self._next -= SHARED_INTERVAL


def _network(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, which one client owns whole."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped) if ip.ipv4_mapped else str(int(ip) >> 64)
    return address
