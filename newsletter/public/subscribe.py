"""Signing up: GET shows the form, POST answers every address alike, from a form or from a script.

The form may stand on the clinic's own site too, as `newsletter subscribers form` writes it. What a page shows can be
posted at once or by a program; what follows from it is limited by `subscribers.sign_up`, whoever asks.
"""

from __future__ import annotations

import asyncio
import time

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from newsletter.database.session import DATABASE_AWAY
from newsletter.languages import for_readers
from newsletter.public import form_script, origins, posts
from newsletter.public.pages import language_of, show_page
from newsletter.public.posts import PostRefused
from newsletter.public.sign_up_form import (
    FILLED_IN_AT_LEAST,
    HOLDS_FOR,
    Filled,
    Outcome,
    choices_of,
    find_faults,
    form_values,
    from_form,
    make_stamp,
    shown_at,
)
from newsletter.public.visitors import trace_of, visitors_of
from newsletter.site import PRIVATE, Site, site_of
from newsletter.staff.model import NoticeKind
from newsletter.staff.notices import want_notice
from newsletter.subscribers.model import Evidence
from newsletter.subscribers.sign_up import Answer, sign_up
from newsletter.wiring import make_answer_limits

TRY_AGAIN_AFTER = 3_600
"""Seconds for which sign-ups are counted."""


def show(request: Request) -> Response:
    """The form; for a script, what a form of its own must show."""
    site = site_of(request)
    stamp = make_stamp(site.tokens, site.clock.now())
    if form_script.wants_json(request):
        return form_script.show_offer(request, stamp)
    if not site.offer.wordings:
        return show_page(request, "sign_up_closed.html", status=404)
    return _show_form(request, Filled(stamp=stamp), {}, status=200)


def preflight(request: Request) -> Response:
    """What a browser asks before a script of another site may post."""
    headers = {"Allow": "GET, HEAD, POST, OPTIONS", **origins.cross_origin_headers(request)}
    return Response(status_code=204, headers=headers)


async def take(request: Request) -> Response:
    """Take one sign-up. It takes the same time for every address, whatever there is to do."""
    started = time.monotonic()
    if origins.is_from_elsewhere(request) and not origins.form_origin(request):
        return origins.from_elsewhere(request)
    if not visitors_of(request).may_post(request, "subscribe"):
        return form_script.too_many(request) if form_script.sends_json(request) else posts.too_many(request)
    try:
        body = await posts.read_body(request, posts.LIMIT)
    except ClientDisconnect:
        return PlainTextResponse("The post broke off.\n", 400)
    answer = await run_in_threadpool(_take, request, body)
    await asyncio.sleep(max(0.0, site_of(request).even_answer - (time.monotonic() - started)))
    return answer


def _take(request: Request, body: bytes | None) -> Response:
    if form_script.sends_json(request):
        return form_script.answer(request, body, _act)
    try:
        filled = from_form(posts.read_form(request, body))
        outcome = _act(request, filled)
    except PostRefused as error:
        return posts.refused(request, error)
    except DATABASE_AWAY:
        return posts.not_now(request)
    if outcome.faults:
        status = 409 if "wording" in outcome.faults else 422
        return _show_form(request, _to_be_sent_again(site_of(request), filled), outcome.faults, status=status)
    if outcome.answer is Answer.TOO_MANY:
        headers = {**PRIVATE, "Retry-After": str(TRY_AGAIN_AFTER)}
        return show_page(request, "sign_ups_full.html", status=503, headers=headers)
    return show_page(request, "asked.html", {"address": filled.address.strip()}, headers=PRIVATE)


def _act(request: Request, filled: Filled) -> Outcome:
    """Do what the form says, unless something is wrong with it; raises what the database raises."""
    site = site_of(request)
    now = site.clock.now()
    age_statement = site.offer.page.words(language_of(request).code).age_statement
    shown = shown_at(site.tokens, filled.stamp, now=now)
    if filled.comments or (shown and now - shown < FILLED_IN_AT_LEAST):
        # A program, which is not told that it was noticed.
        return Outcome(Answer.TAKEN)
    faults = find_faults(filled, site.offer, age_statement=age_statement)
    # A form on another page has no stamp: its text does not change from hour to hour.
    if (filled.stamp or not origins.form_origin(request)) and not (shown and now - shown < HOLDS_FOR):
        faults["stamp"] = for_readers("This page was open for long. Please send it once more.")
    return Outcome(faults=faults) if faults else Outcome(_sign_up(request, site, filled, age_statement))


def _sign_up(request: Request, site: Site, filled: Filled, age_statement: str) -> Answer:
    clinic, notice = site.settings.clinic, site.offer.page.privacy_notice
    origin = origins.form_origin(request) if origins.is_from_elsewhere(request) else ""
    evidence = Evidence(
        source=f"form on {origin}" if origin else f"{site.settings.machine.base_url}/subscribe",
        wording=site.offer.find_wording(filled.wording),
        controller=f"{clinic.name}, {clinic.postal_address}",
        privacy_notice=notice.version if notice else "",
        age_statement=age_statement,
        trace=trace_of(request),
    )
    now = site.clock.now()
    limit = site.settings.sending.sign_ups_an_hour
    with site.database.write() as session:
        answer = sign_up(
            session,
            filled.address,
            choices_of(filled),
            evidence,
            limits=make_answer_limits(site.settings),
            suppression_key=site.suppression_key,
            now=now,
        )
        if answer is Answer.TOO_MANY:
            day = now.astimezone(clinic.zone).date().isoformat()
            reason = f"sign-ups have caused as many mails as may go ({limit}, half of them to one domain)"
            want_notice(session, NoticeKind.MANY_SIGN_UPS, "", cause=day, reason=reason, now=now)
    return answer


def _to_be_sent_again(site: Site, filled: Filled) -> Filled:
    """What was typed, for the form that is shown once more. Whoever was slow need not wait before sending it again."""
    now = site.clock.now()
    shown = shown_at(site.tokens, filled.stamp, now=now)
    kept = filled.stamp if shown and now - shown < HOLDS_FOR else ""
    stamp = kept or make_stamp(site.tokens, now - FILLED_IN_AT_LEAST if shown else now)
    seen = site.offer.find_wording(filled.wording) is not None
    return filled.model_copy(update={"stamp": stamp, "consent": filled.consent and seen})


def _show_form(request: Request, filled: Filled, faults: dict[str, str], *, status: int) -> Response:
    values = form_values(site_of(request).offer, language_of(request), filled, faults)
    # Its stamp is of this moment.
    return show_page(request, "subscribe.html", values, status=status, headers={"Cache-Control": "no-store"})
