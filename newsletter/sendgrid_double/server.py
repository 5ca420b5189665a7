"""The double as a web server on this machine: SendGrid's `POST /v3/mail/send`, its suppression lists and what a key
may do, and `/double/…` to direct it.

`POST /double/faults` takes {"faults": ["503*2", "cut-after@0.1"], "seed": 1} in place of what was set before, and with
"of": "suppressions" for requests about the lists alone. `GET /double/requests` says what was accepted, and how many
posts of events wait; `POST /double/suppressions` fills the lists, and `GET` shows them; `POST /double/reset` forgets
all of it. `POST /double/inbound?url=WEBHOOK&from=ADDRESS&to=ADDRESS` posts the mail in its body as Inbound Parse would,
with `&spf=pass`, `&dkim=…` and `&raw=1` as one likes. These answer to this machine only.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hmac import compare_digest
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from newsletter.clock import Clock
from newsletter.errors import Refused
from newsletter.sendgrid_double.events import EventPoster
from newsletter.sendgrid_double.faults import NONE, Fault, Faults, Kind, read_fault
from newsletter.sendgrid_double.inbound import post_inbound, write_inbound
from newsletter.sendgrid_double.letters import write_letters
from newsletter.sendgrid_double.record import Record, Recorded
from newsletter.sendgrid_double.rules import TOO_LARGE, Error, Verdict, error_body, judge
from newsletter.sendgrid_double.suppressions import LISTS, Lists, Said

LOOPBACK = "127.0.0.1"
SCOPES = (
    "mail.send",
    *(f"suppression.{name}.read" for name in ("bounces", "blocks", "invalid_emails", "spam_reports", "unsubscribes")),
    *(f"asm.groups.{right}" for right in ("read", "suppressions.create", "suppressions.delete")),
    *(f"asm.suppressions.global.{right}" for right in ("create", "delete", "read")),
)
IDLE = 75
"""Seconds after which an unused connection is closed, as nginx does."""

_BAD_KEY = Error("The provided authorization grant is invalid, expired, or revoked")
_REFUSALS = {
    Kind.BAD_KEY: Verdict(401, (_BAD_KEY,)),
    Kind.NO_CREDIT: Verdict(401, (Error("Maximum credits exceeded"),)),
    Kind.TOO_MANY: Verdict(429, (Error("too many requests"),)),
    Kind.TOO_MANY_UNTIL: Verdict(429, (Error("too many requests"),)),
    Kind.TOO_MANY_FOR: Verdict(429, (Error("too many requests"),)),
    Kind.BAD_REQUEST: Verdict(400, (Error("Bad Request"),)),
    Kind.FORBIDDEN: Verdict(403, (Error("The from address does not match a verified Sender Identity."),)),
    Kind.TOO_LARGE: Verdict(413),
    Kind.BROKEN: Verdict(500, (Error("Internal Server Error"),)),
    Kind.OVERLOADED: Verdict(503, (Error("Service Unavailable"),)),
}
_AFTER = {
    Kind.BROKEN_AFTER: _REFUSALS[Kind.BROKEN],
    Kind.OVERLOADED_AFTER: _REFUSALS[Kind.OVERLOADED],
}


@dataclass(frozen=True)
class Options:
    """How a double behaves; without `mailbox` no mail is kept, and a `sink` only counts and judges nothing."""

    key: str = "SG.double"
    mailbox: Path | None = None
    record: Path | None = None
    sink: bool = False
    unique_addresses: bool = True


@dataclass
class Counts:
    """What was accepted since the start or the last reset."""

    requests: int = 0
    mails: int = 0
    bytes: int = 0


class Double:
    """One running double: its options, the failures to come, and what it has accepted."""

    def __init__(self, options: Options, faults: Faults, clock: Clock, events: EventPoster | None = None) -> None:
        self.options = options
        self.faults = faults
        self.clock = clock
        self.lists = Lists()
        self.list_faults = Faults()
        self._events = events
        self.counts = Counts()
        self.accepted: list[Recorded] = []
        self._record = Record(options.record) if options.record else None
        if options.mailbox:
            options.mailbox.mkdir(parents=True, exist_ok=True)

    async def send(self, request: Request) -> Response | None:
        """Answer one request for mails; None when the line is to be cut, or is gone already."""
        try:
            return await self._answer_to(request)
        except ClientDisconnect:
            # Whoever was sending has died in the middle of a request; half of one is never accepted.
            self._note_refused(0)
            return None

    async def _answer_to(self, request: Request) -> Response | None:
        if not self._has_key(request):
            await _read(request)
            self._note_refused(401)
            return _answer(Verdict(401, (_BAD_KEY,)))
        fault = self.faults.next()
        body = b"" if fault.kind is Kind.CUT_EARLY else await _read(request)
        if fault.kind in (Kind.CUT_EARLY, Kind.CUT_BEFORE):
            self._note_refused(0, fault)
            return None
        if refusal := self._refusal(fault):
            self._note_refused(refusal.status, fault)
            return _answer(refusal, self._headers(fault))
        if fault.kind is Kind.SLOW_BEFORE:
            await asyncio.sleep(fault.number)
        return await self._take(body, request.headers.get("content-type", ""), fault)

    async def ask_lists(self, request: Request, act: Callable[[Request, bytes], Said]) -> Response | None:
        """Answer one request about suppression lists; None when the line is to be cut, or is gone already."""
        try:
            body = await _read(request)
        except ClientDisconnect:
            return None
        if not self._has_key(request):
            return _answer(Verdict(401, (_BAD_KEY,)))
        fault = self.list_faults.next()
        if fault.kind in (Kind.CUT_EARLY, Kind.CUT_BEFORE):
            return None
        if refusal := self._refusal(fault):
            return _answer(refusal, self._headers(fault))
        if fault.kind is Kind.SLOW_BEFORE:
            await asyncio.sleep(fault.number)
        said = act(request, body)
        if fault.kind is Kind.CUT_AFTER:
            return None
        if fault.kind is Kind.SLOW_AFTER:
            await asyncio.sleep(fault.number)
        after = _AFTER.get(fault.kind)
        return _answer(after) if after else Response(said.body, said.status, media_type="application/json")

    def scopes(self, request: Request) -> Response:
        """What the key may do: all that the double does."""
        return _json({"scopes": SCOPES}) if self._has_key(request) else _answer(Verdict(401, (_BAD_KEY,)))

    @property
    def signing_key(self) -> EllipticCurvePrivateKey | None:
        """What signs the posts to webhooks; None where none are posted."""
        return self._events.key if self._events else None

    @property
    def events_waiting(self) -> int:
        """How many posts of events were not taken yet."""
        return self._events.waiting if self._events else 0

    def reset(self) -> None:
        """Forget the failures to come, the lists and what was accepted; the record and the mails stay."""
        self.faults = Faults()
        self.list_faults = Faults()
        self.lists = Lists()
        self.counts = Counts()
        self.accepted = []

    async def _take(self, body: bytes, content_type: str, fault: Fault) -> Response | None:
        message_id = secrets.token_hex(11)
        answer = _AFTER.get(fault.kind)
        verdict = self._count(body) if self.options.sink else None
        if verdict is None:
            status = 0 if fault.kind is Kind.CUT_AFTER else answer.status if answer else 202
            verdict = await run_in_threadpool(self._accept, body, content_type, message_id, status, fault)
        if verdict.status != 202:
            return _answer(verdict)
        if fault.kind is Kind.CUT_AFTER:
            return None
        if fault.kind is Kind.SLOW_AFTER:
            await asyncio.sleep(fault.number)
        if answer:
            return _answer(answer)
        return Response(status_code=202, headers={"X-Message-Id": message_id, **self._headers(fault)})

    def _accept(self, body: bytes, content_type: str, message_id: str, status: int, fault: Fault) -> Verdict:
        now = self.clock.now()
        verdict = judge(body, content_type, now, unique_addresses=self.options.unique_addresses)
        if verdict.request is None or verdict.status != 202:
            self._note_refused(verdict.status, fault)
            return verdict
        mail = verdict.request
        people = tuple(mail.custom_args_of(person) for person in mail.personalizations for _ in person.recipients)
        # From this line on it is accepted; the mails follow, so that none is there that the record does not know.
        self._note(Recorded(message_id, now.isoformat(), True, status, str(fault), people))
        if self.options.mailbox:
            for name, content in write_letters(mail, message_id, now):
                _keep(self.options.mailbox / f"{name}.eml", content)
        if self._events:
            self._events.tell(mail, message_id, now)
        return verdict

    def _count(self, body: bytes) -> Verdict:
        # Inside of a string of JSON the quotes would be escaped: this is a key, and everybody has one.
        mails = body.count(b'"to":')
        self.counts = Counts(self.counts.requests + 1, self.counts.mails + mails, self.counts.bytes + len(body))
        return Verdict(202)

    def _refusal(self, fault: Fault) -> Verdict | None:
        if fault.kind is Kind.BAD_PERSON:
            where = f"personalizations.{int(fault.number)}.to.0.email"
            return Verdict(400, (Error("Does not contain a valid address.", where),))
        return _REFUSALS.get(fault.kind)

    def _headers(self, fault: Fault) -> dict[str, str]:
        if fault.kind in (Kind.TOO_MANY_UNTIL, Kind.LAST_OF_WINDOW):
            reset = self.clock.now() + timedelta(seconds=fault.number)
            return {
                "X-RateLimit-Limit": "600",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": str(int(reset.timestamp())),
            }
        return {"Retry-After": str(int(fault.number))} if fault.kind is Kind.TOO_MANY_FOR else {}

    def _note_refused(self, status: int, fault: Fault = NONE) -> None:
        self._note(Recorded("", self.clock.now().isoformat(), False, status, str(fault)))

    def _note(self, entry: Recorded) -> None:
        if self._record:
            self._record.add(entry)
        if entry.accepted:
            self.accepted.append(entry)

    def _has_key(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        return compare_digest(given, f"Bearer {self.options.key}".encode())


def create_app(double: Double) -> Starlette:
    """The application that answers for a double."""

    async def send(request: Request) -> Response:
        return await _or_cut(request, await double.send(request))

    async def scopes(request: Request) -> Response:
        return double.scopes(request)

    async def requests(request: Request) -> Response:
        counts = double.counts
        if not double.options.sink:
            accepted = double.accepted
            counts = Counts(len(accepted), sum(len(entry.people) for entry in accepted))
        listed = [{"message_id": entry.message_id, "people": entry.people} for entry in double.accepted]
        counted = {"requests": counts.requests, "mails": counts.mails, "bytes": counts.bytes}
        return _json({**counted, "accepted": listed, "events_waiting": double.events_waiting})

    async def faults(request: Request) -> Response:
        try:
            wanted = orjson.loads(await request.body())
            set_to = Faults([read_fault(str(spec)) for spec in wanted["faults"]], int(wanted.get("seed", 0)))
            of_lists = wanted.get("of", "") == "suppressions"
        except (ValueError, KeyError, TypeError, AttributeError):
            example = b'{"faults": ["503*2", "cut-after@0.1"], "seed": 1}'
            return Response(error_body(Error(f"Write {example.decode()}.")), 400, media_type="application/json")
        except Refused as error:
            return Response(error_body(Error(str(error))), 400, media_type="application/json")
        if of_lists:
            double.list_faults = set_to
        else:
            double.faults = set_to
        return _json({"faults": wanted["faults"]})

    async def reset(request: Request) -> Response:
        double.reset()
        return _json({"reset": True})

    async def fill(request: Request) -> Response:
        said = double.lists.fill(await request.body()) if request.method == "POST" else double.lists.show()
        return Response(said.body, said.status, media_type="application/json")

    async def inbound(request: Request) -> Response:
        asked = request.query_params
        if not asked.get("url", "").startswith(("http://", "https://")):
            return Response(error_body(Error("Write ?url=WEBHOOK.")), 400, media_type="application/json")
        post = write_inbound(
            await _read(request),
            return_path=asked.get("from", ""),
            recipient=asked.get("to", ""),
            spf=asked.get("spf", "none"),
            dkim=asked.get("dkim", "none"),
            whole="raw" in asked,
            key=double.signing_key,
        )
        return _json({"status": await run_in_threadpool(post_inbound, asked["url"], post)})

    return Starlette(
        routes=[
            Route("/v3/mail/send", send, methods=["POST"]),
            Route("/v3/scopes", scopes, methods=["GET"]),
            *_list_routes(double),
            Route("/double/suppressions", _local(fill), methods=["GET", "POST"]),
            Route("/double/requests", _local(requests), methods=["GET"]),
            Route("/double/faults", _local(faults), methods=["POST"]),
            Route("/double/reset", _local(reset), methods=["POST"]),
            Route("/double/inbound", _local(inbound), methods=["POST"]),
        ],
        exception_handlers={
            404: _failed(404, "not found"),
            405: _failed(405, "method not allowed"),
            500: _failed(500, "Internal Server Error"),
        },
    )


def _list_routes(double: Double) -> list[Route]:
    def route(path: str, method: str, act: Callable[[Request, bytes], Said]) -> Route:
        async def answer(request: Request) -> Response:
            return await _or_cut(request, await double.ask_lists(request, act))

        return Route(path, answer, methods=[method])

    def group_of(request: Request) -> int | None:
        return request.path_params.get("group")

    def add(request: Request, body: bytes) -> Said:
        return double.lists.add(body, int(double.clock.now().timestamp()), group_of(request))

    def remove(request: Request, body: bytes) -> Said:
        return double.lists.remove(request.path_params["email"], group_of(request))

    def page_of(name: str) -> Callable[[Request, bytes], Said]:
        return lambda request, body: double.lists.page(name, request.query_params)

    one_group = "/v3/asm/groups/{group:int}"
    return [
        *(route(f"/v3/suppression/{name}", "GET", page_of(name)) for name in LISTS),
        route("/v3/asm/suppressions/global", "POST", add),
        route(
            "/v3/asm/suppressions/global/{email:path}", "GET", lambda r, _: double.lists.find(r.path_params["email"])
        ),
        route("/v3/asm/suppressions/global/{email:path}", "DELETE", remove),
        route(one_group, "GET", lambda r, _: double.lists.group(r.path_params["group"])),
        route(f"{one_group}/suppressions", "POST", add),
        route(f"{one_group}/suppressions/{{email:path}}", "DELETE", remove),
    ]


def listen(port: int) -> socket.socket:
    """A socket on loopback, at a free port when it is 0; raises Refused when the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        # From here on requests wait, and are not refused.
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise Refused(f"Cannot listen on {LOOPBACK}:{port} ({error.strerror}). Choose another with --port.") from None
    return listening


def serve(double: Double, listening: socket.socket) -> None:
    """Answer requests until the process is asked to end."""
    config = uvicorn.Config(
        create_app(double),
        http=_Line,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listening])


class _Line(H11Protocol):
    """A connection that can be cut: the application finds `cut_line` in the state of its request."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app_state = {**self.app_state, "cut_line": self._cut}

    def _cut(self) -> None:
        self.transport.abort()


async def _read(request: Request) -> bytes:
    # All of it is read, or the sender would meet a broken line instead of the answer; what is too much is not kept.
    chunks, size = [], 0
    async for chunk in request.stream():
        if size < TOO_LARGE:
            chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


async def _or_cut(request: Request, answer: Response | None) -> Response:
    if answer is not None:
        return answer
    request.state.cut_line()
    await _until_gone(request)
    # Nobody is there to read it.
    return Response(status_code=500)


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _keep(path: Path, content: bytes) -> None:
    # A page that lists the mailbox sees whole mails only.
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def _answer(verdict: Verdict, headers: dict[str, str] | None = None) -> Response:
    return Response(verdict.body(), verdict.status, headers, media_type=verdict.content_type)


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _failed(status: int, message: str) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return _answer(Verdict(status, (Error(message),)), getattr(error, "headers", None))

    return answer


def _local(page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The page for programs on this machine; a web page in a browser here says where it is from, and is refused."""

    async def guarded(request: Request) -> Response:
        peer = request.client.host if request.client else ""
        if not peer or not ip_address(peer).is_loopback or "origin" in request.headers:
            return _answer(Verdict(403, (Error("This answers to programs on this machine only."),)))
        return await page(request)

    return guarded
