"""Preferences: what the holder of a mail may do who proves nothing, and what the holder of a fresh link may."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from newsletter.database.audit import Actor
from newsletter.languages import for_readers, name_of, spell_date
from newsletter.public.pages import show_page
from newsletter.public.posts import Form, PostRefused
from newsletter.public.reader_links import (
    ReaderLink,
    find_person,
    leaving_path,
    link_refused,
    masked,
    nobody,
    not_reading,
    read_link,
    reads,
)
from newsletter.site import PRIVATE, Site, site_of
from newsletter.subscribers.actions import change_choices, pause, resume
from newsletter.subscribers.model import Choices, ReaderNoticeKind, SubscriberState
from newsletter.subscribers.pauses import PAUSES, end_of_pause
from newsletter.subscribers.queries import list_topics_of
from newsletter.subscribers.reader_notices import want_reader_notice
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import LinkRefused

SOURCE = "preferences page"
_FORM_IS_OLD = for_readers("This form is not as we have sent it. Open the page again.")

Handler = Callable[[Request, ReaderLink, Form], Response]


def show(request: Request) -> Response:
    """The page: all that was chosen for a fresh link, else pausing, leaving, and asking for such a link."""
    try:
        link = read_link(request)
    except LinkRefused as error:
        return link_refused(request, error)
    return _show_choices(request, link) if link.fresh else show_little(request, link)


def by_link(handler: Handler, *, fresh: bool) -> Callable[[Request, Form], Response]:
    """A handler for who holds a link; one that wants it `fresh` is not called for another, which leads to asking."""

    def checked(request: Request, form: Form) -> Response:
        try:
            link = read_link(request)
        except LinkRefused as error:
            return link_refused(request, error)
        return handler(request, link, form) if link.fresh or not fresh else show_little(request, link, status=403)

    return checked


def start_pause(request: Request, link: ReaderLink, form: Form) -> Response:
    """Pause for some months from now, by the clinic's clock."""
    site = site_of(request)
    months = {str(one): one for one in PAUSES}.get(_one(form, "months"))
    if months is None:
        raise PostRefused(422, _FORM_IS_OLD)
    now = site.clock.now()
    zone = site.settings.clinic.zone
    until = end_of_pause(now, months, zone)
    with site.database.write() as session:
        number = link.bearer.subscriber
        done = pause(session, number, until, source=SOURCE, actor=Actor.subscriber(number), now=now)
        person = find_person(session, link)
    if person is None:
        return nobody(request)
    if not done:
        return not_reading(request, person)
    values = {
        "day": lambda code: spell_date(until.astimezone(zone).date(), code),
        "leave": leaving_path(site, link),
        "back": f"/preferences/{request.path_params['token']}",
    }
    return show_page(request, "paused.html", values, reads=person.language, headers=PRIVATE)


def end_pause(request: Request, link: ReaderLink, form: Form) -> Response:
    """Read again, before the pause would end by itself."""
    site = site_of(request)
    with site.database.write() as session:
        number = link.bearer.subscriber
        resume(session, number, source=SOURCE, actor=Actor.subscriber(number), now=site.clock.now())
    return _show_choices(request, link, saved=True)


def save(request: Request, link: ReaderLink, form: Form) -> Response:
    """Take over the topics, the language and the form of mail that were chosen."""
    site = site_of(request)
    topics, language = tuple(form.get("topics", ())), _one(form, "language")
    with site.database.write() as session:
        person = find_person(session, link)
        if person is None:
            return nobody(request)
        if not site.offer.topics.keys() >= set(topics) or language not in {*site.offer.wordings, person.language}:
            raise PostRefused(422, _FORM_IS_OLD)
        choices = Choices(language, topics, text_only="text_only" in form)
        actor = Actor.subscriber(person.number)
        change_choices(session, person.number, choices, source=SOURCE, actor=actor, now=site.clock.now())
    return _show_choices(request, link, saved=True)


def mail_link(request: Request, link: ReaderLink, form: Form) -> Response:
    """Have a fresh link mailed; the answer is the same for everybody."""
    site = site_of(request)
    with site.database.write() as session:
        person = find_person(session, link)
        if person:
            want_reader_notice(
                session,
                ReaderNoticeKind.CHOICES,
                person.number,
                str(person.address),
                person.language,
                suppression_key=site.suppression_key,
                now=site.clock.now(),
            )
    language = person.language if person else None
    return show_page(request, "link_on_its_way.html", reads=language, headers=PRIVATE)


def show_little(request: Request, link: ReaderLink, *, status: int = 200) -> Response:
    """The page for a link that opens little; with 403 it says that a fresh one is needed for what was wanted."""
    site = site_of(request)
    with site.database.read() as session:
        person = find_person(session, link)
    if person is None:
        return nobody(request)
    values = {"address": masked(person), "leave": leaving_path(site, link), "token": request.path_params["token"]}
    values |= {"pauses": PAUSES, "wants_fresh": status == 403}
    return show_page(request, "preferences.html", values, reads=person.language, status=status, headers=PRIVATE)


def _show_choices(request: Request, link: ReaderLink, *, saved: bool = False) -> Response:
    site = site_of(request)
    with site.database.read() as session:
        person = find_person(session, link)
        chosen = set(list_topics_of(session, person.number)) if person else set()
    if person is None:
        return nobody(request)
    values = {
        "address": masked(person),
        "token": request.path_params["token"],
        "leave": leaving_path(site, link),
        "is_reading": reads(person),
        "paused_until": _end(site, person),
        "topics": site.offer.topics.values(),
        "chosen": chosen,
        "reading": {code: name_of(code) for code in sorted({*site.offer.wordings, person.language})},
        "language_read": person.language,
        "text_only": person.text_only,
        "pauses": PAUSES,
        "saved": saved,
    }
    return show_page(request, "choices.html", values, reads=person.language, headers=PRIVATE)


def _end(site: Site, person: Subscriber) -> Callable[[str], str] | None:
    """The day on which a pause ends, to be spelt in the language of the page."""
    if person.state is not SubscriberState.PAUSED or person.paused_until is None:
        return None
    day = person.paused_until.astimezone(site.settings.clinic.zone).date()
    return lambda code: spell_date(day, code)


def _one(form: Form, name: str) -> str:
    return next(iter(form.get(name, ())), "")
