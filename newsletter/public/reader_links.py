"""Whom a link to `/preferences/` is for, and how much it opens.

The link of a mailed edition holds for ever and is forwarded with it, so it opens no more than leaving and pausing do.
All else is opened by a link that was mailed within the last half hour; when that has expired, it opens as little.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from newsletter.public.pages import mask, show_page
from newsletter.site import PRIVATE, Site, site_of
from newsletter.subscribers.model import READING
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Bearer, LinkExpired, LinkRefused, Purpose


@dataclass(frozen=True)
class ReaderLink:
    """Who holds a link, and whether it is a fresh one."""

    bearer: Bearer
    fresh: bool


def read_link(request: Request) -> ReaderLink:
    """The link in the address of a request; raises LinkRefused when it is none of ours."""
    site, token = site_of(request), request.path_params["token"]
    now = site.clock.now()
    try:
        return ReaderLink(site.tokens.read(Purpose.CHOICES, token, now=now), fresh=True)
    except LinkExpired as error:
        return ReaderLink(error.bearer, fresh=False)
    except LinkRefused:
        return ReaderLink(site.tokens.read(Purpose.PREFERENCES, token, now=now), fresh=False)


def find_person(session: Session, link: ReaderLink) -> Subscriber | None:
    """The person of a link, with an address; None for who was erased, or never confirmed and was deleted."""
    person = session.get(Subscriber, link.bearer.subscriber, populate_existing=True)
    return person if person and person.address else None


def reads(person: Subscriber) -> bool:
    """Whether somebody reads the newsletter, now or after a pause."""
    return person.state in READING


def masked(person: Subscriber) -> str:
    """Their address, so that nobody learns it from a forwarded mail."""
    return mask(person.address or "")


def leaving_path(site: Site, link: ReaderLink) -> str:
    """Where the same person leaves."""
    return f"/unsubscribe/{site.tokens.sign(Purpose.UNSUBSCRIBE, link.bearer)}"


def nobody(request: Request) -> Response:
    """The page for the link of somebody of whom nothing is kept."""
    return show_page(request, "nobody.html", status=404, headers=PRIVATE)


def not_reading(request: Request, person: Subscriber) -> Response:
    """The page for who has left, or is not mailed for another reason, with the way back."""
    return show_page(request, "not_reading.html", {"address": masked(person)}, reads=person.language, headers=PRIVATE)


def link_refused(request: Request, error: LinkRefused) -> Response:
    """The page for a link that is not ours, is damaged, or has expired."""
    return show_page(request, "link_refused.html", {"problem": str(error)}, status=404, headers=PRIVATE)
