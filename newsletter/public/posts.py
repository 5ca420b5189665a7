"""What is posted to the public pages: read whole or refused, in one way for all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from newsletter.database.session import DATABASE_AWAY
from newsletter.languages import for_readers
from newsletter.public.pages import show_page
from newsletter.public.visitors import WINDOW, visitors_of
from newsletter.site import PRIVATE

LIMIT = 8_000
"""Bytes that a form may have; one with every topic and the longest address has less than two thousand."""

_MOST_FIELDS = 200

Form = Mapping[str, Sequence[str]]
Handler = Callable[[Request, Form], Response]
Endpoint = Callable[[Request], Awaitable[Response]]


class PostRefused(Exception):
    """What was posted is no form of ours: the answer's status, and the reason in words that pages show translated."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def takes_form(handler: Handler, kind: str) -> Endpoint:
    """An endpoint for a form of our pages, whose fields the handler gets; posts of a `kind` are counted together.

    Answers 4xx to what is no such form, 429 when too much comes from one network, 503 while the database is away.
    """

    async def endpoint(request: Request) -> Response:
        if not visitors_of(request).may_post(request, kind):
            return too_many(request)
        try:
            body = await read_body(request, LIMIT)
            return await run_in_threadpool(_handle, handler, request, body)
        except ClientDisconnect:
            return PlainTextResponse("The post broke off.\n", 400)

    return endpoint


async def read_body(request: Request, limit: int) -> bytes | None:
    """The bytes of a post, or None as soon as they are known to be too many; raises ClientDisconnect."""
    told = request.headers.get("content-length", "")
    if told.isdecimal() and int(told) > limit:
        return None
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def media_type_of(request: Request) -> str:
    """What a body is said to be, without parameters: `application/json`."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_form(request: Request, body: bytes | None) -> Form:
    """The fields of a form, as browsers post it; raises PostRefused.

    Its grammar: https://url.spec.whatwg.org/#application/x-www-form-urlencoded
    """
    if body is None:
        raise PostRefused(413, for_readers("This is more than the form can hold."))
    if not body:
        return {}
    if media_type_of(request) != "application/x-www-form-urlencoded":
        raise PostRefused(415, for_readers("This was not sent as a form."))
    fields: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        ):
            fields.setdefault(name, []).append(value)
    except ValueError:
        raise PostRefused(400, for_readers("This form cannot be read.")) from None
    return fields


def refused(request: Request, error: PostRefused) -> Response:
    """The page for what is no form of ours."""
    return show_page(request, "post_refused.html", {"problem": str(error)}, status=error.status, headers=PRIVATE)


def too_many(request: Request) -> Response:
    """The page for a network from which too much comes."""
    headers = {**PRIVATE, "Retry-After": str(WINDOW * 60)}
    return show_page(request, "too_many.html", {"minutes": WINDOW}, status=429, headers=headers)


def not_now(request: Request) -> Response:
    """The page for whoever wants something changed while the database is away."""
    return show_page(request, "not_now.html", status=503, headers={**PRIVATE, "Retry-After": "60"})


def _handle(handler: Handler, request: Request, body: bytes | None) -> Response:
    try:
        return handler(request, read_form(request, body))
    except PostRefused as error:
        return refused(request, error)
    except DATABASE_AWAY:
        return not_now(request)
