"""What search engines are told.

Pages that belong to one person are not listed as forbidden: whoever may not fetch a page never sees its `noindex`, and
could still show its address (RFC 9309 keeps from fetching, not from listing). They say `X-Robots-Tag` themselves.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from newsletter.delivery.archive import list_archived
from newsletter.public.caching import cached
from newsletter.public.pages import show_file
from newsletter.site import site_of


def show_robots(request: Request) -> Response:
    """Everything may be fetched; where the public pages are listed (RFC 9309)."""
    base_url = site_of(request).settings.machine.base_url
    text = f"User-agent: *\nAllow: /\n\nSitemap: {base_url}/sitemap.xml\n"
    return cached(request, Response(text, media_type="text/plain"))


def show_sitemap(request: Request) -> Response:
    """The public pages, and when each letter last changed."""
    with site_of(request).database.read() as session:
        letters = list_archived(session)
    return cached(request, show_file(request, "sitemap.xml", {"letters": letters}, media_type="application/xml"))
