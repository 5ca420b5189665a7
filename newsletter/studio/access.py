"""The only door to the studio: as long as there are no accounts, only this machine may come in."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from newsletter.site import Site, is_local_peer
from newsletter.studio.pages import PAGES

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class LoopbackOnly:
    """Lets requests from this machine through, asked for by a local name, and refuses all others.

    The name matters too: a page elsewhere can make a browser here ask this machine under a name of its own.
    """

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        if scope["type"] == "http" and not (is_local_peer(scope) and _is_local_name(scope)):
            page = PAGES.show(self._site, "staff_only.html", {}, status=403)
            await page(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_local_name(scope: Scope) -> bool:
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower() in LOCAL_NAMES
