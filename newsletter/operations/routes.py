"""What machines ask that watch over the newsletter: /healthz, /readyz, /metrics."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Message, Receive, Scope, Send

from newsletter.operations.health import check_readiness
from newsletter.operations.metrics import Measurements
from newsletter.operations.model import State
from newsletter.site import PRIVATE, Site, is_local_peer, site_of


async def healthz(request: Request) -> Response:
    """The process answers; nothing else is asked, and no thread is waited for."""
    return PlainTextResponse("ok\n", headers=PRIVATE)


def readyz(request: Request) -> Response:
    """How each part stands, 503 when one keeps editions from being sent."""
    site = site_of(request)
    checks = check_readiness(site.database, site.settings, site.clock.now())
    ready = all(check.state is not State.STOP for check in checks)
    # To others only the state: why a database does not answer may name where it is.
    own = is_local_peer(request.scope)
    told = {c.name: {"state": c.state.value, **({"told": c.told} if own else {})} for c in checks}
    return JSONResponse({"ready": ready, "checks": told}, 200 if ready else 503, headers=PRIVATE)


def metrics(request: Request) -> Response:
    """The measurements as Prometheus reads them, for this machine and for whoever shows METRICS_TOKEN."""
    token = site_of(request).settings.machine.metrics_token.get_secret_value()
    shown = request.headers.get("authorization", "").encode()
    if not (is_local_peer(request.scope) or (token and hmac.compare_digest(shown, f"Bearer {token}".encode()))):
        return PlainTextResponse("Only for this machine, or with the bearer token of METRICS_TOKEN.\n", 403)
    measured: Measurements = request.app.state.measurements
    return Response(generate_latest(measured.registry), media_type=CONTENT_TYPE_LATEST, headers=PRIVATE)


ROUTES = (
    Route("/healthz", healthz, methods=["GET"]),
    Route("/readyz", readyz, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
)


def create_health_app(site: Site) -> Starlette:
    """These three alone, for processes that have no web of their own."""
    app = Starlette(routes=ROUTES)
    app.state.site = site
    app.state.measurements = Measurements(site.database, site.clock)
    return app


class CountAnswers:
    """Counts every answer under the template of its route."""

    def __init__(self, app: Starlette, measurements: Measurements) -> None:
        self._app = app
        self._measurements = measurements
        self._templates = dict(_list_templates(app.routes))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does, and count it."""

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                template = self._templates.get(scope.get("endpoint"), "none")
                self._measurements.count_answer(_method(scope), template, message["status"])
            await send(message)

        await self._app(scope, receive, counting if scope["type"] == "http" else send)


def _list_templates(routes: Iterable[BaseRoute], under: str = "") -> Iterator[tuple[object, str]]:
    for route in routes:
        if isinstance(route, Route):
            yield route.endpoint, under + route.path
        elif isinstance(route, Mount):
            yield route.app, f"{under}{route.path}/…"
            yield from _list_templates(route.routes, under + route.path)


def _method(scope: Scope) -> str:
    # Whoever asks may write any word there.
    return scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
