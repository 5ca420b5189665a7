"""Erasing: GET shows a page that asks once more and says what is kept, POST acts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from newsletter.database.audit import Actor
from newsletter.public.pages import show_page
from newsletter.public.posts import Form
from newsletter.public.preferences import SOURCE, show_little
from newsletter.public.reader_links import ReaderLink, find_person, link_refused, masked, nobody, read_link
from newsletter.site import PRIVATE, site_of
from newsletter.subscribers.actions import erase
from newsletter.subscribers.tokens import LinkRefused


def show(request: Request) -> Response:
    """What is erased, and what stays and why."""
    try:
        link = read_link(request)
    except LinkRefused as error:
        return link_refused(request, error)
    if not link.fresh:
        return show_little(request, link, status=403)
    with site_of(request).database.read() as session:
        person = find_person(session, link)
    if person is None:
        return nobody(request)
    values = {"address": masked(person), "back": f"/preferences/{request.path_params['token']}"}
    return show_page(request, "erase.html", values, reads=person.language, headers=PRIVATE)


def act(request: Request, link: ReaderLink, form: Form) -> Response:
    """Erase the person, for ever."""
    site = site_of(request)
    with site.database.write() as session:
        person = find_person(session, link)
        if person is None:
            return nobody(request)
        language, number = person.language, person.number
        erase(session, number, source=SOURCE, actor=Actor.subscriber(number), now=site.clock.now())
    return show_page(request, "erased.html", reads=language, headers=PRIVATE)
