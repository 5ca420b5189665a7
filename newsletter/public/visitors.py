"""Who posts, as far as that matters: how much comes from one network, and what a proof of consent keeps of it."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request

from newsletter.subscribers.model import Trace

WINDOW = 10
"""Minutes over which posts are counted."""

_MANY_NETWORKS = 50_000
"""From so many at once the counting begins anew: it may not fill the memory. What they cause is limited in rows too."""


class Visitors:
    """Counts in memory what each network posts: a whole lecture hall may sign up at once, and no more than that.

    The limits that must hold over all processes, whatever address somebody has, are kept in rows.
    """

    def __init__(self, posts: int = 60) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)
        self._posts = RateLimitItemPerMinute(posts, WINDOW)

    def may_post(self, request: Request, what: str) -> bool:
        """Whether the network of a request has not posted too much of one kind lately; this machine always may."""
        network = network_of(_host(request))
        if len(self._storage.events) > _MANY_NETWORKS:
            self._storage.reset()
        return not network or self._limiter.hit(self._posts, what, network)


def visitors_of(request: Request) -> Visitors:
    """Those of the running site."""
    visitors: Visitors = request.app.state.visitors
    return visitors


def network_of(host: str) -> str:
    """What one household or house has: a /24, or a /64 of IPv6 (RFC 6177); empty for this machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.is_loopback:
        return ""
    return str(ip_network((address, 24 if address.version == 4 else 64), strict=False))


def trace_of(request: Request) -> Trace:
    """From where a request came, to be kept for weeks with what it proves."""
    host = _host(request)
    try:
        ip = str(ip_address(host))
    except ValueError:
        ip = ""
    return Trace(ip, request.headers.get("user-agent", ""))


def _host(request: Request) -> str:
    return request.client.host if request.client else ""
