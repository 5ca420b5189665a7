"""The front page: what this newsletter is, and the ways to subscribe and to read."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from newsletter.delivery.archive import find_newest_archived, list_archived
from newsletter.public.caching import cached
from newsletter.public.pages import language_of, show_page
from newsletter.site import site_of


def show(request: Request) -> Response:
    """The words of signup.yaml, and the newest letter."""
    site = site_of(request)
    language = language_of(request).code
    page = site.offer.page
    with site.database.read() as session:
        newest = find_newest_archived(session, language=language) or next(iter(list_archived(session)), None)
    values = {
        "words": page.words(language),
        "words_language": language if language in page.translations else site.settings.clinic.language,
        "newest": newest,
    }
    return cached(request, show_page(request, "home.html", values))
