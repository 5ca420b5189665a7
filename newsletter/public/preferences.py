"""Preferences: what the holder of a mail may see and do without proving who they are."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from newsletter.public.pages import mask, show_page
from newsletter.public.unsubscribe import link_refused
from newsletter.site import PRIVATE, site_of
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import LinkRefused, Purpose


def show(request: Request) -> Response:
    """The page with what can be chosen; it leads to leaving, and to a person for everything else."""
    site = site_of(request)
    try:
        bearer = site.tokens.read(Purpose.PREFERENCES, request.path_params["token"], now=site.clock.now())
    except LinkRefused as error:
        return link_refused(request, error)
    with site.database.read() as session:
        subscriber = session.get(Subscriber, bearer.subscriber)
        address = mask(subscriber.address) if subscriber and subscriber.address else ""
        reads = subscriber.language if subscriber else None
    leave = f"/unsubscribe/{site.tokens.sign(Purpose.UNSUBSCRIBE, bearer)}"
    values = {"address": address, "leave": leave}
    return show_page(request, "preferences.html", values, reads=reads, headers=PRIVATE)
