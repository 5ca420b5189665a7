"""Leaving by mail: SendGrid posts each mail that came to the address in List-Unsubscribe, and who asks for it leaves.

The signed token in a mail is the authority, as in a link. Nothing of a mail is kept. What was read is answered with
2xx, whatever was in it: SendGrid would only post it again. While the database is busy or away it shall.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from newsletter.database.audit import Actor
from newsletter.database.session import DATABASE_AWAY
from newsletter.log import get_log
from newsletter.providers.sendgrid.inbound import LIMIT, InboundMail, InboundReader, UnreadableMail
from newsletter.providers.sendgrid.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, SignedStream
from newsletter.site import Site, site_of
from newsletter.subscribers.actions import unsubscribe
from newsletter.subscribers.address import AddressRefused
from newsletter.subscribers.leaving_by_mail import asks_to_leave, find_tokens, is_automatic_reply, is_vouched_for
from newsletter.subscribers.queries import find_subscriber
from newsletter.subscribers.tokens import Bearer, LinkRefused, Purpose

_log = get_log(__name__)

SOURCE = "mail to the unsubscribe address"

_NOT_SIGNED = "This is not signed with the key that is set. Nothing was done."
_TOO_LARGE = f"A post has at most {LIMIT:,} bytes. Nothing was done."


async def receive(request: Request) -> Response:
    """Take one mail that came in."""
    site = site_of(request)
    stream = SignedStream(
        site.inbound_key, request.headers.get(SIGNATURE_HEADER, ""), request.headers.get(TIMESTAMP_HEADER, "")
    )
    try:
        reader = InboundReader(request.headers.get("content-type", ""))
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > LIMIT:
                return _answer(413, _TOO_LARGE)
            stream.feed(chunk)
            reader.feed(chunk)
        if site.inbound_key is not None and not stream.is_genuine():
            return _answer(403, _NOT_SIGNED)
        mail = reader.finish()
    except ClientDisconnect:
        return _answer(400, "The post broke off.")
    except UnreadableMail as error:
        return _answer(400, f"This cannot be read: {error}. Nothing was done.")
    return await run_in_threadpool(_act, request, site, mail)


def _act(request: Request, site: Site, mail: InboundMail) -> Response:
    try:
        outcome = _leave(site, mail)
    except DATABASE_AWAY:
        return PlainTextResponse("Not now; post it again.\n", 503, {"Retry-After": "60"})
    _log.info("mail came in", outcome=outcome)
    request.app.state.measurements.count_inbound(outcome)
    return Response(status_code=204)


def _leave(site: Site, mail: InboundMail) -> str:
    """Let whoever asks for it leave; gives what became of the mail, in words that name nobody."""
    if is_automatic_reply(mail.headers, return_path=mail.return_path):
        return "automatic reply"
    bearer = _bearer(site, mail)
    if bearer is None:
        if not asks_to_leave(mail.subject, mail.first_lines):
            return "asks nothing"
        # Who vouches is said by the post, so the post must be SendGrid's.
        if site.inbound_key is None or not is_vouched_for(mail.sender, mail.vouched_domains):
            return "sender not proved"
        bearer = _by_address(site, mail.sender)
        if bearer is None:
            return "nobody here"
    with site.database.write() as session:
        left = unsubscribe(
            session,
            bearer.subscriber,
            source=SOURCE,
            actor=Actor.subscriber(bearer.subscriber),
            now=site.clock.now(),
            edition=bearer.edition,
        )
    return "left" if left else "had left"


def _bearer(site: Site, mail: InboundMail) -> Bearer | None:
    local_parts = [address.rpartition("@")[0].rpartition("+")[2] for address in mail.recipients]
    for token in find_tokens([mail.subject, *local_parts, *mail.first_lines]):
        try:
            return site.tokens.read(Purpose.UNSUBSCRIBE, token, now=site.clock.now())
        except LinkRefused:
            continue
    return None


def _by_address(site: Site, address: str) -> Bearer | None:
    try:
        with site.database.read() as session:
            person = find_subscriber(session, address)
            return Bearer(person.number) if person else None
    except AddressRefused:
        return None


def _answer(status: int, words: str) -> Response:
    return PlainTextResponse(f"{words}\n", status)
