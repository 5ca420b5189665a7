"""Leaving: GET shows a page with one button, POST acts at once (RFC 8058; no cookie, no login, no redirect).

Mail scanners open every link of a mail, so a GET must change nothing; mailbox providers send a POST of their own, with
either kind of form body, which is not even read: the signed address says who leaves.
"""

from __future__ import annotations

import asyncio
import time

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from newsletter.database.audit import Actor
from newsletter.database.session import DATABASE_AWAY
from newsletter.languages import for_readers
from newsletter.public.pages import mask, show_page
from newsletter.public.posts import Form, PostRefused
from newsletter.public.reader_links import link_refused
from newsletter.site import PRIVATE, Site, site_of
from newsletter.subscribers.actions import tell_why, unsubscribe
from newsletter.subscribers.model import READING
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Bearer, LinkRefused, Purpose

SOURCE = "unsubscribe link"

_AGAIN_AFTER, _AGAIN_AFTER_AT_MOST = 0.2, 2.0
"""Seconds until a database that was away is asked again, each time twice as long."""

LEAVING_AT_ONCE = 10
"""Threads in which people leave: one that waits for a database that is held is of no use to others."""

REASONS = {
    "too often": for_readers("It comes too often"),
    "not for me": for_readers("It is not for me"),
    "too much mail": for_readers("I get too much mail of all kinds"),
    "never asked": for_readers("I never asked for it"),
    "other": for_readers("Something else"),
}
"""Why people leave, as it is kept, and as they read it."""


def show(request: Request) -> Response:
    """The page with the one button."""
    site = site_of(request)
    try:
        bearer = _bearer(site, request.path_params["token"])
    except LinkRefused as error:
        return link_refused(request, error)
    with site.database.read() as session:
        subscriber = session.get(Subscriber, bearer.subscriber)
        # Only where it is true: whoever has left is not told that they get it.
        read = subscriber.address if subscriber and subscriber.state in READING else None
        reads = subscriber.language if subscriber else None
    return show_page(request, "unsubscribe.html", {"address": mask(read) if read else ""}, reads=reads, headers=PRIVATE)


async def leave(request: Request) -> Response:
    """Leave, at once; asking twice is as good as once.

    While the database is kept by something else or restarts, this waits for it, and answers 503 when that does not end.
    Whoever waits keeps no thread, and those who try keep few, so that many at once leave room for everything else.
    """
    give_up = time.monotonic() + site_of(request).patience
    at_once: asyncio.Semaphore = request.app.state.leaving_at_once
    again_after = _AGAIN_AFTER
    while True:
        try:
            async with at_once:
                return await run_in_threadpool(_leave, request)
        except DATABASE_AWAY:
            if time.monotonic() > give_up:
                return show_page(request, "busy.html", status=503, headers={**PRIVATE, "Retry-After": "60"})
        await asyncio.sleep(again_after)
        again_after = min(2 * again_after, _AGAIN_AFTER_AT_MOST)


def tell_reason(request: Request, form: Form) -> Response:
    """Keep why somebody has left, by the button that they pressed; the first one counts."""
    site = site_of(request)
    try:
        bearer = _bearer(site, request.path_params["token"])
    except LinkRefused as error:
        return link_refused(request, error)
    why = next(iter(form.get("why", ())), "")
    if why not in REASONS:
        raise PostRefused(422, for_readers("This form is not as we have sent it. Open the page again."))
    with site.database.write() as session:
        subscriber = session.get(Subscriber, bearer.subscriber)
        if subscriber:
            actor = Actor.subscriber(subscriber.number)
            tell_why(session, subscriber.number, why, actor=actor, now=site.clock.now())
        reads = subscriber.language if subscriber else None
    return _show_left(request, reads, told=True)


def _show_left(request: Request, reads: str | None, *, told: bool) -> Response:
    values = {"token": request.path_params["token"], "reasons": REASONS, "told": told}
    return show_page(request, "left.html", values, reads=reads, headers=PRIVATE)


def _leave(request: Request) -> Response:
    site = site_of(request)
    try:
        bearer = _bearer(site, request.path_params["token"])
    except LinkRefused as error:
        return link_refused(request, error)
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
        reads = subscriber.language if subscriber else None
    return _show_left(request, reads, told=False)


def _bearer(site: Site, token: str) -> Bearer:
    return site.tokens.read(Purpose.UNSUBSCRIBE, token, now=site.clock.now())
