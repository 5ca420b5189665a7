"""The archive: what was sent, for everybody to read and to follow; nothing of any reader is in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from newsletter.delivery.archive import ArchivedEdition, list_archived
from newsletter.editions.queries import get_content
from newsletter.languages import direction_of, spell_date
from newsletter.public.caching import cached
from newsletter.public.pages import language_of, show_file, show_page
from newsletter.rendering.web_page import put_on_the_web
from newsletter.site import site_of

NEWEST = 24
"""Letters on the first page; each year has a page with all of its own."""
IN_FEED = 50
BEFORE_ANY = datetime(1970, 1, 1, tzinfo=UTC)
"""When a feed without a letter last changed: it must say some instant, and always the same."""

POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""The policy of a letter's page: its inline styles and its pictures, and nothing that runs."""


def enter(request: Request) -> Response:
    """The archive has a slash at its end."""
    return RedirectResponse("/archive/", 308)


def show_newest(request: Request) -> Response:
    """The newest letters, and the way to those of each year."""
    letters = _read(request)
    return _list(request, letters, letters[:NEWEST], year=None)


def show_year(request: Request) -> Response:
    """All letters of one year."""
    letters = _read(request)
    year = request.path_params["year"]
    of_year = [one for one in letters if _year(one) == year]
    if not of_year:
        return show_page(request, "not_found.html", status=404)
    return _list(request, letters, of_year, year=year)


def show(request: Request) -> Response:
    """A letter that went out, by its month and mailing: `2026-11-opening`."""
    site = site_of(request)
    with site.database.read() as session:
        letters = list_archived(session)
        at = next((at for at, one in enumerate(letters) if one.slug == request.path_params["slug"]), None)
        if at is None:
            return show_page(request, "not_found.html", status=404)
        edition = letters[at]
        content = get_content(session, edition.serial)
    letter = put_on_the_web(content.html, base_url=content.base_url, path=edition.path)
    base_url = site.settings.machine.base_url
    values = {
        "edition": edition,
        "direction": direction_of(edition.language),
        "letter": letter,
        "address": f"{base_url}{edition.path}",
        "picture": f"{base_url}{letter.picture}" if letter.picture else "",
        "spell": _speller(request, edition.language),
        "later": letters[at - 1] if at else None,
        "earlier": letters[at + 1] if at + 1 < len(letters) else None,
    }
    return cached(request, show_page(request, "letter.html", values, reads=edition.language, policy=POLICY))


def show_feed(request: Request) -> Response:
    """The newest letters as an Atom feed (RFC 4287)."""
    letters = _read(request)[:IN_FEED]
    changed_at = max((one.updated_at for one in letters), default=BEFORE_ANY)
    values = {"letters": letters, "changed_at": changed_at, "tag": _tag}
    answer = show_file(request, "feed.xml", values, media_type="application/atom+xml")
    return cached(request, answer, changed_at=changed_at)


def _read(request: Request) -> list[ArchivedEdition]:
    with site_of(request).database.read() as session:
        return list_archived(session)


def _list(
    request: Request, letters: Sequence[ArchivedEdition], shown: Sequence[ArchivedEdition], *, year: str | None
) -> Response:
    values = {
        "year": year,
        "years": [(name, list(of_year)) for name, of_year in groupby(shown, key=_year)],
        "all_years": sorted({_year(one) for one in letters}, reverse=True),
        "spell": _speller(request),
    }
    return cached(request, show_page(request, "archive.html", values))


def _year(edition: ArchivedEdition) -> str:
    return edition.month[:4]


def _speller(request: Request, reads: str | None = None) -> Callable[[datetime], str]:
    """Writes the day of an instant, at the clinic, in the language of a page."""
    zone, language = site_of(request).settings.clinic.zone, language_of(request, reads)
    return lambda instant: spell_date(instant.astimezone(zone).date(), language.code)


def _tag(edition: ArchivedEdition) -> str:
    """The name of a letter for ever, also when the site moves (RFC 4151)."""
    return f"tag:{urlsplit(edition.base_url).hostname},{edition.month}:{edition.mailing}"
