"""The web as one application: public pages and the studio, with the headers that every answer carries."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from newsletter.addresses import is_loopback
from newsletter.operations.metrics import Measurements
from newsletter.operations.routes import ROUTES as OPERATIONS
from newsletter.operations.routes import CountAnswers
from newsletter.public.origins import OwnPagesOnly
from newsletter.public.pages import show_page
from newsletter.public.routes import POSTED_TO_FROM_ELSEWHERE
from newsletter.public.routes import ROUTES as PUBLIC
from newsletter.public.unsubscribe import LEAVING_AT_ONCE
from newsletter.public.visitors import Visitors
from newsletter.settings import Settings
from newsletter.site import STRICT, Site
from newsletter.studio.access import LoopbackOnly
from newsletter.studio.routes import ROUTES as STUDIO

HEADERS = {
    "Content-Security-Policy": STRICT,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def create_app(site: Site, *, public_only: bool = False) -> ASGIApp:
    """The application over the parts of one site; `public_only` leaves the studio out.

    Until there are accounts, the studio is there only with a BASE_URL on this machine: behind a proxy, a request from
    the internet can look like one from here.
    """
    # One application, so that every page finds the same parts; the door stands before the studio's routes.
    base_url = site.settings.machine.base_url
    studio = Mount("/studio", routes=STUDIO, middleware=[Middleware(LoopbackOnly, site=site)])
    app = Starlette(
        routes=[*OPERATIONS, *PUBLIC, *([studio] if has_studio(site.settings, public_only=public_only) else [])],
        middleware=[Middleware(OwnPagesOnly, elsewhere=POSTED_TO_FROM_ELSEWHERE)],
        exception_handlers={404: _not_found, 500: _failed},
    )
    app.state.site = site
    app.state.measurements = Measurements(site.database, site.clock)
    app.state.visitors = Visitors()
    app.state.leaving_at_once = asyncio.Semaphore(LEAVING_AT_ONCE)
    # Around all of it: Starlette answers 500 from outside its own middleware.
    return SafeHeaders(CountAnswers(app, app.state.measurements), https=base_url.startswith("https:"))


def has_studio(settings: Settings, *, public_only: bool = False) -> bool:
    """Whether the studio answers: only where BASE_URL is on this machine, until there are accounts."""
    return not public_only and is_loopback(urlsplit(settings.machine.base_url).hostname or "")


class SafeHeaders:
    """Adds to every answer the headers that keep browsers careful, unless the page has set its own."""

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self._app = app
        self._headers = {**HEADERS, **({"Strict-Transport-Security": "max-age=31536000"} if https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, with the headers added."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def _not_found(request: Request, error: Exception) -> Response:
    return show_page(request, "not_found.html", status=404)


def _failed(request: Request, error: Exception) -> Response:
    return show_page(request, "failed.html", status=500)
