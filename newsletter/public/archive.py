"""The archive: what was sent, for everybody to read; nothing of any reader is in it."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from newsletter.editions.queries import find_sent, get_content
from newsletter.public.pages import show_page
from newsletter.rendering.model import LinkTag
from newsletter.site import letter_response, site_of

_SLUG = re.compile(r"(20[0-9]{2}-[0-9]{2})-([a-z0-9]+(?:-[a-z0-9]+)*)")


def show(request: Request) -> Response:
    """A letter that went out, by its month and mailing: `2026-11-opening`."""
    site = site_of(request)
    named = _SLUG.fullmatch(request.path_params["slug"])
    with site.database.read() as session:
        edition = find_sent(session, month=named[1], mailing=named[2]) if named else None
        content = get_content(session, edition.serial) if edition else None
    if content is None:
        return show_page(request, "not_found.html", status=404)
    # The personal links of a mail have no place here; whoever wants to leave can always write.
    html = content.html.replace(f"{content.base_url}/media/", "/media/")
    for tag in LinkTag:
        html = html.replace(tag.value, f"mailto:{content.reply_to}")
    return letter_response(html)
