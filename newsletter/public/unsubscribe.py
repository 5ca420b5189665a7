"""Leaving: GET shows a page with one button, POST acts at once (RFC 8058; no cookie, no login, no redirect).

Mail scanners open every link of a mail, so a GET must change nothing; mailbox providers send a POST of their own, with
either kind of form body, which is not even read: the signed address says who leaves.
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from newsletter.database.audit import Actor
from newsletter.database.session import DatabaseBusy
from newsletter.public.pages import mask, show_page
from newsletter.site import PRIVATE, Site, site_of
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Bearer, LinkRefused, Purpose

SOURCE = "unsubscribe link"


def show(request: Request) -> Response:
    """The page with the one button."""
    site = site_of(request)
    try:
        bearer = _bearer(site, request.path_params["token"])
    except LinkRefused as error:
        return link_refused(request, error)
    with site.database.read() as session:
        subscriber = session.get(Subscriber, bearer.subscriber)
        address = mask(subscriber.address) if subscriber and subscriber.address else ""
        reads = subscriber.language if subscriber else None
    return show_page(request, "unsubscribe.html", {"address": address}, reads=reads, headers=PRIVATE)


def leave(request: Request) -> Response:
    """Leave, at once; asking twice is as good as once.

    While something else keeps the database for long, this waits for it, and answers 503 when that does not end.
    """
    site = site_of(request)
    try:
        bearer = _bearer(site, request.path_params["token"])
    except LinkRefused as error:
        return link_refused(request, error)
    give_up = time.monotonic() + site.patience
    while True:
        try:
            reads = _leave(site, bearer)
            break
        except DatabaseBusy:
            if time.monotonic() > give_up:
                headers = {**PRIVATE, "Retry-After": "60"}
                return show_page(request, "busy.html", status=503, headers=headers)
    return show_page(request, "left.html", reads=reads, headers=PRIVATE)


def _leave(site: Site, bearer: Bearer) -> str | None:
    """Gives the language that they read."""
    with site.database.write() as session:
        unsubscribe(
            session,
            bearer.subscriber,
            source=SOURCE,
            actor=Actor.subscriber(bearer.subscriber),
            now=site.clock.now(),
            edition=bearer.edition,
        )
        subscriber = session.get(Subscriber, bearer.subscriber)
        return subscriber.language if subscriber else None


def link_refused(request: Request, error: LinkRefused) -> Response:
    """The page for a link that is not ours, is damaged, or has expired."""
    return show_page(request, "link_refused.html", {"problem": str(error)}, status=404, headers=PRIVATE)


def _bearer(site: Site, token: str) -> Bearer:
    return site.tokens.read(Purpose.UNSUBSCRIBE, token, now=site.clock.now())
