"""An SMTP server in a thread of the test: keeps what it takes, and says or does what it is told to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from newsletter.addresses import Security, SmtpServer

USER, PASSWORD = "clinic@example.org", "p%ss /word"
HANG_UP = "hang up"
"""Instead of a reply: the line ends."""
TAKE_AND_HANG_UP = "take and hang up"
"""Instead of a reply to a mail: it is taken, and the line ends."""

Say = Callable[[str, str], str | None]
"""What to say at a step (EHLO, MAIL, RCPT, DOT) to a recipient, empty before there is one; None: yes."""


@dataclass
class Record:
    """What a server has seen and taken."""

    folder: Path
    connections: int = 0
    logged_in: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    taken: list[str] = field(default_factory=list)
    """The names of the deliveries, in order; who got two is in it twice."""


@dataclass
class RunningSmtp:
    """Where it listens, what it has taken; `say` may be changed at any time."""

    port: int
    record: Record
    say: Say = lambda step, recipient: None
    delay: float = 0.0
    """Seconds before each reply to a mail."""

    def address(self, security: Security = Security.NONE, *, password: str = "") -> SmtpServer:
        """As SMTP_URL would name it; with a password, to log in."""
        return SmtpServer("localhost", self.port, security, USER if password else "", password)

    def answer(self, **replies: str) -> None:
        """Give a reply at each step of a name, once."""
        left = dict(replies)
        self.say = lambda step, recipient: left.pop(step, None)


@contextmanager
def running_smtp(
    folder: Path, *, port: int = 0, implicit_tls: ssl.SSLContext | None = None, **options: Any
) -> Iterator[RunningSmtp]:
    """A server on a port, or a free one; `options` are those of aiosmtpd's SMTP."""
    loop = asyncio.new_event_loop()
    smtp = RunningSmtp(0, Record(folder))
    folder.mkdir(exist_ok=True)
    lines: set[asyncio.BaseTransport] = set()

    def log_in(server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        right = given == LoginPassword(USER.encode(), PASSWORD.encode())
        smtp.record.logged_in += right
        return AuthResult(success=right, handled=right)

    def new_line() -> SMTP:
        smtp.record.connections += 1
        return _Line(_Handler(smtp), lines, loop=loop, authenticator=log_in, **options)

    listening = loop.run_until_complete(loop.create_server(new_line, "127.0.0.1", port, ssl=implicit_tls))
    smtp.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield smtp
    finally:
        asyncio.run_coroutine_threadsafe(_end(listening, lines), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(listening: asyncio.Server, lines: set[asyncio.BaseTransport]) -> None:
    listening.close()
    for line in lines:
        line.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Line(SMTP):
    def __init__(self, handler: _Handler, lines: set[asyncio.BaseTransport], **options: Any) -> None:
        super().__init__(handler, **options)
        self._lines = lines

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._lines.add(transport)
        super().connection_made(transport)


@dataclass
class _Handler:
    smtp: RunningSmtp

    async def handle_EHLO(  # noqa: N802 - aiosmtpd looks for it by this name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        said = self._said(server, "EHLO", "")
        return [said] if said else responses

    async def handle_MAIL(  # noqa: N802 - aiosmtpd looks for it by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        said = self._said(server, "MAIL", "")
        if said:
            return said
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd looks for it by this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        said = self._said(server, "RCPT", address)
        if said:
            return said
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        [recipient] = envelope.rcpt_tos
        self.smtp.record.steps["DOT"] += 1
        said = self.smtp.say("DOT", recipient)
        await asyncio.sleep(self.smtp.delay)
        if said in (None, TAKE_AND_HANG_UP):
            self._keep(envelope)
        return self._play(server, said) or "250 2.0.0 taken"

    def _said(self, server: SMTP, step: str, recipient: str) -> str | None:
        self.smtp.record.steps[step] += 1
        return self._play(server, self.smtp.say(step, recipient))

    def _play(self, server: SMTP, said: str | None) -> str | None:
        if said in (HANG_UP, TAKE_AND_HANG_UP):
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return said

    def _keep(self, envelope: Envelope) -> None:
        content = envelope.content
        assert isinstance(content, bytes)
        head = content.partition(b"\r\n\r\n")[0]
        [name] = [line[13:].partition(b"@")[0] for line in head.split(b"\r\n") if line.startswith(b"Message-ID: <")]
        self.smtp.record.taken.append(name.decode())
        (self.smtp.record.folder / f"{name.decode()}-{len(self.smtp.record.taken)}.eml").write_bytes(content)
