"""Confirming a sign-up: GET shows what was chosen and one button, POST acts; a link works once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from newsletter.languages import name_of
from newsletter.public.pages import mask, show_page
from newsletter.public.posts import Form
from newsletter.public.visitors import trace_of
from newsletter.site import PRIVATE, Site, site_of
from newsletter.subscribers.sign_up import SignUpRefused, confirm, find_open
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Bearer, LinkExpired, LinkRefused, Purpose


def show(request: Request) -> Response:
    """The page with the one button."""
    site = site_of(request)
    try:
        bearer = _bearer(site, request.path_params["token"])
        with site.database.read() as session:
            found = find_open(session, bearer.subscriber, bearer.edition, now=site.clock.now())
            reads = _reads(session.get(Subscriber, bearer.subscriber))
    except (LinkRefused, SignUpRefused) as error:
        return _refused(request, error)
    if found is None:
        return show_page(request, "here_already.html", reads=reads, headers=PRIVATE)
    choices = found.choices
    values = {
        "here": f"/confirm/{request.path_params['token']}",
        "address": mask(found.address),
        "wording": found.wording,
        "topics": [site.offer.topics[topic] for topic in choices.topics if topic in site.offer.topics],
        "reading": name_of(choices.language),
        "text_only": choices.text_only,
    }
    return show_page(request, "confirm.html", values, reads=choices.language, headers=PRIVATE)


def act(request: Request, form: Form) -> Response:
    """Confirm; pressed twice, it is as good as once."""
    site = site_of(request)
    try:
        bearer = _bearer(site, request.path_params["token"])
        with site.database.write() as session:
            confirm(
                session,
                bearer.subscriber,
                bearer.edition,
                trace=trace_of(request),
                suppression_key=site.suppression_key,
                now=site.clock.now(),
            )
            person = session.get_one(Subscriber, bearer.subscriber, populate_existing=True)
            reads = person.language
    except (LinkRefused, SignUpRefused) as error:
        return _refused(request, error)
    return show_page(request, "welcome.html", reads=reads, headers=PRIVATE)


def _bearer(site: Site, token: str) -> Bearer:
    try:
        return site.tokens.read(Purpose.CONFIRM, token, now=site.clock.now())
    except LinkExpired as error:
        # The row of the sign-up says so in words of its own, or that it was confirmed in time.
        return error.bearer


def _reads(person: Subscriber | None) -> str | None:
    return person.language if person else None


def _refused(request: Request, error: LinkRefused | SignUpRefused) -> Response:
    values = {"problem": str(error)}
    return show_page(request, "confirm_refused.html", values, status=404, headers=PRIVATE)
