"""Where a request comes from, as browsers tell: no other site may make a reader's browser press our buttons.

Our pages set no cookie, so nothing of a reader could be borrowed; but a page elsewhere could have all its visitors sign
up strangers.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from newsletter.public.pages import show_page
from newsletter.settings import Settings
from newsletter.site import site_of

_SAFE = ("GET", "HEAD", "OPTIONS")


class OwnPagesOnly:
    """Answers 403 to what a page of another site makes a browser post.

    `elsewhere` are the templates of paths that are posted to from elsewhere for a reason, and look for themselves.
    """

    def __init__(self, app: ASGIApp, elsewhere: Iterable[str]) -> None:
        self._app = app
        self._elsewhere = [compile_path(template)[0] for template in elsewhere]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        if scope["type"] == "http" and scope["method"] not in _SAFE and not self._may_come(scope["path"]):
            request = Request(scope)
            if is_from_elsewhere(request):
                await from_elsewhere(request)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _may_come(self, path: str) -> bool:
        return any(pattern.match(path) for pattern in self._elsewhere)


def is_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that a page of another site made it send this.

    Browsers tell by Sec-Fetch-Site (https://www.w3.org/TR/fetch-metadata/), older ones by Origin (RFC 6454). From a
    page that sends no referrer, as ours, these older ones tell `null`: that is nobody, as is no header at all.
    """
    told = request.headers.get("sec-fetch-site")
    if told is not None:
        return told not in ("same-origin", "none")
    origin = request.headers.get("origin", "null")
    own = (request.headers.get("host", ""), urlsplit(site_of(request).settings.machine.base_url).netloc)
    return origin != "null" and origin.partition("://")[2].lower() not in own


def from_elsewhere(request: Request) -> Response:
    """The page for a post that came from another site."""
    return show_page(request, "from_elsewhere.html", status=403)


def form_origin(request: Request) -> str:
    """The site, if any, whose page has our sign-up form and sent this: `https://www.example.org`."""
    origin = request.headers.get("origin", "")
    return origin if origin in _form_origins(site_of(request).settings) else ""


def cross_origin_headers(request: Request) -> dict[str, str]:
    """What lets scripts of the clinic's own sites read an answer (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
    headers = {"Vary": "Origin"}
    if origin := form_origin(request):
        headers |= {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": "GET, POST",
            "Access-Control-Allow-Headers": "Content-Type",
            "Access-Control-Max-Age": "600",
        }
    return headers


def _form_origins(settings: Settings) -> set[str]:
    origins = {one for one in settings.machine.form_origins.split(",") if one}
    if settings.clinic.website:
        parts = urlsplit(settings.clinic.website)
        origins.add(f"{parts.scheme}://{parts.netloc}")
    return origins
