"""Where SendGrid posts what became of mails: verified, kept as it came, answered at once.

Any answer but 2xx makes SendGrid repeat a post for 24 hours, so whatever it has signed is taken, also what nobody can
read; and whatever it has not signed leaves nothing behind.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from newsletter.database.session import DATABASE_AWAY
from newsletter.provider_events.inbox import LIMIT, is_genuine, keep_post
from newsletter.providers.sendgrid.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, PublicKey
from newsletter.public.posts import read_body
from newsletter.site import Site, site_of

_NO_KEY = "No key is set that could verify this; set SENDGRID_WEBHOOK_PUBLIC_KEY. Nothing was kept."
_NOT_SIGNED = "This is not signed with the key that is set. Nothing was kept."
_TOO_LARGE = f"A post has at most {LIMIT:,} bytes. Nothing was kept."


async def receive(request: Request) -> Response:
    """Take in one post of events."""
    site = site_of(request)
    if site.webhook_key is None:
        return _answer(403, _NO_KEY)
    if not (request.headers.get(SIGNATURE_HEADER) and request.headers.get(TIMESTAMP_HEADER)):
        return _answer(403, _NOT_SIGNED)
    try:
        body = await read_body(request, LIMIT)
    except ClientDisconnect:
        return _answer(400, "The post broke off.")
    if body is None:
        return _answer(413, _TOO_LARGE)
    return await run_in_threadpool(_keep, request, site, site.webhook_key, body)


def _keep(request: Request, site: Site, key: PublicKey, body: bytes) -> Response:
    if not is_genuine(key, body, request.headers[SIGNATURE_HEADER], request.headers[TIMESTAMP_HEADER]):
        return _answer(403, _NOT_SIGNED)
    try:
        with site.database.write() as session:
            keep_post(session, body, now=site.clock.now())
    except DATABASE_AWAY:
        # SendGrid posts it again.
        return PlainTextResponse("Not now; post it again.\n", 503, {"Retry-After": "60"})
    return Response(status_code=204)


def _answer(status: int, words: str) -> Response:
    return PlainTextResponse(f"{words}\n", status)
