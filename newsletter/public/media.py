"""The pictures of editions: the same address for every reader, for ever, and no record of who looked."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from newsletter.editions.queries import find_picture
from newsletter.public.pages import show_page
from newsletter.site import site_of

_NAME = re.compile(r"([0-9a-f]{64})\.[a-z]{3,4}")


def show(request: Request) -> Response:
    """A picture by the SHA-256 of its bytes."""
    site = site_of(request)
    found = _NAME.fullmatch(request.path_params["name"])
    with site.database.read() as session:
        picture = find_picture(session, found[1]) if found else None
        if picture is None or picture.name != request.path_params["name"]:
            return show_page(request, "not_found.html", status=404)
        return Response(
            picture.content,
            media_type=picture.media_type,
            headers={
                "Cache-Control": "public, max-age=31536000, immutable",
                "Cross-Origin-Resource-Policy": "cross-origin",
                "Content-Security-Policy": "default-src 'none'",
            },
        )
