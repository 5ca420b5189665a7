"""Hands mails to an SMTP server, one for each person, on a connection that is kept.

The standard library speaks the protocol. What is ours is when a mail counts as handed over: from its final dot on.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from newsletter.addresses import Security, SmtpServer
from newsletter.clock import Clock
from newsletter.providers.connections import ended_at, reason_of
from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalMail, PersonalReceipt, Receipt
from newsletter.providers.smtp.answer import Reply, of_everybody, of_mail, of_recipient, read_reply, receipt_of
from newsletter.providers.writing import write_mail

TIMEOUT = 30.0
"""Seconds for a batch. A mail is begun in the first half of them, so that each has the other half for its answer."""
CONNECT_TIMEOUT = 10.0
"""Seconds for each address of the server, and for each of its first replies."""
STILL_THERE_TIMEOUT = 5.0
"""Seconds in which a kept connection must show that it still is one."""
KEPT_FOR = 60.0
"""Seconds that an idle connection is kept; servers close theirs after some minutes."""

_DISCONNECTED = "the connection to the mail server broke: "


class SmtpTransport:
    """An SMTP server as a transport; threads may share one, each gets a connection of its own.

    `tls` is how certificates are verified; None: by those that the machine trusts.
    """

    name = "smtp"
    # A batch whose worker is killed is uncertain as a whole, though some of its mails have gone: so it is small.
    batch_limit = 20
    idempotent = False
    paced = True

    def __init__(
        self, server: SmtpServer, clock: Clock, *, tls: ssl.SSLContext | None = None, timeout: float = TIMEOUT
    ) -> None:
        self._server = server
        self._clock = clock
        self._tls = tls or ssl.create_default_context()
        self._timeout = timeout
        self._kept = threading.local()

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Hand over a batch; see `contract.Transport`."""
        deadline = time.monotonic() + self._timeout
        try:
            mails = [_Mail(batch.sender.address, person, write_mail(batch, person)) for person in batch.people]
        except ValueError as error:
            return Receipt(Outcome.REJECTED, f"the mail cannot be written: {error}")
        answers: dict[str, PersonalReceipt] = {}
        try:
            for mail in mails:
                answers[mail.person.delivery] = self._carry(mail, deadline)
        except _Stopped as stopped:
            self.close()
            return receipt_of(batch, answers, stopped.rest)
        except _Unclear as unclear:
            self.close()
            answers[unclear.delivery] = PersonalReceipt(Outcome.UNCERTAIN, unclear.reason)
            return receipt_of(batch, answers, Receipt(Outcome.TRY_AGAIN, unclear.reason))
        return receipt_of(batch, answers, None)

    def try_out(self) -> str:
        """Connect, log in and say NOOP (RFC 5321, 4.1.1.9); gives why no mail could be handed over, or nothing."""
        deadline = time.monotonic() + self._timeout
        try:
            line = self._open(deadline)
        except _Stopped as stopped:
            return stopped.rest.reason
        try:
            with ended_at(deadline, lambda: line.sock):
                reply = read_reply(*line.noop())
        except OSError as error:
            return _DISCONNECTED + reason_of(error)
        finally:
            line.close()
        return "" if reply.is_yes else str(reply)

    def close(self) -> None:
        """Close this thread's connection; the next mail opens another."""
        line: _Line | None = getattr(self._kept, "line", None)
        if line is not None:
            line.close()
        self._kept.line = None

    def _carry(self, mail: _Mail, deadline: float) -> PersonalReceipt:
        self._require_time(deadline)
        line = self._ready_line(deadline)
        self._require_time(deadline)
        try:
            with ended_at(deadline, lambda: line.sock):
                answer = line.hand_over(mail, self._clock.now())
        except _Stopped as stopped:
            if not (stopped.by_hanging_up and line.carried):
                raise
            # Many servers hang up after so many mails; on a new connection they take more.
            self.close()
            return self._carry(mail, deadline)
        line.carried += 1
        self._kept.since = time.monotonic()
        return answer

    def _require_time(self, deadline: float) -> None:
        if time.monotonic() > deadline - self._timeout / 2:
            raise _Stopped(Receipt(Outcome.TRY_AGAIN, "the mail server is slow; the rest of the batch goes later"))

    def _ready_line(self, deadline: float) -> _Line:
        line: _Line | None = getattr(self._kept, "line", None)
        if line is not None and time.monotonic() - self._kept.since < KEPT_FOR and line.is_still_there():
            return line
        self.close()
        self._kept.line = line = self._open(deadline)
        return line

    def _open(self, deadline: float) -> _Line:
        where = self._server
        try:
            line = (
                _TlsLine(where.host, where.port, deadline, context=self._tls)
                if where.security is Security.TLS
                else _Line(where.host, where.port, deadline)
            )
            try:
                with ended_at(deadline, lambda: line.sock):
                    self._introduce(line)
                assert line.sock is not None
                line.sock.settimeout(self._timeout)
            except BaseException:
                line.close()
                raise
        except ssl.SSLCertVerificationError as error:
            words = f"the certificate of {where.host} cannot be trusted, so nothing was sent: {error.verify_message}"
            raise _Stopped(Receipt(Outcome.ACCOUNT_TROUBLE, words)) from None
        except smtplib.SMTPResponseException as error:
            reply = read_reply(error.smtp_code, error.smtp_error)
            raise _Stopped(of_everybody("the connection", reply, self._clock.now())) from None
        except OSError as error:
            raise _Stopped(
                Receipt(Outcome.TRY_AGAIN, f"the mail server cannot be reached: {reason_of(error)}")
            ) from None
        return line

    def _introduce(self, line: _Line) -> None:
        where = self._server
        line.ehlo_or_helo_if_needed()
        if where.security is Security.STARTTLS:
            # Whoever stands in between can take the offer away (RFC 3207, 6): then nothing is said at all.
            if not line.has_extn("starttls"):
                words = f"{where.host} offers no STARTTLS, so mails could be read on the way; nothing was sent"
                raise _Stopped(Receipt(Outcome.ACCOUNT_TROUBLE, words))
            line.starttls(context=self._tls)
            line.ehlo_or_helo_if_needed()
        if where.user:
            self._log_in(line)

    def _log_in(self, line: _Line) -> None:
        try:
            line.login(self._server.user, self._server.password)
        except smtplib.SMTPAuthenticationError as error:
            reply = read_reply(error.smtp_code, error.smtp_error)
            raise _Stopped(of_everybody("the user and password of SMTP_URL", reply, self._clock.now())) from None
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException:
            words = "the mail server offers no log-in that we know; SMTP_URL has a user and a password"
            raise _Stopped(Receipt(Outcome.ACCOUNT_TROUBLE, words)) from None


class _Stopped(Exception):
    """No further mail goes; `rest` is about all who have no answer yet."""

    def __init__(self, rest: Receipt, *, by_hanging_up: bool = False) -> None:
        super().__init__(rest.reason)
        self.rest = rest
        self.by_hanging_up = by_hanging_up


class _Unclear(Exception):
    """One mail had left and no answer came."""

    def __init__(self, delivery: str, reason: str) -> None:
        super().__init__(reason)
        self.delivery = delivery
        self.reason = reason


@dataclass(frozen=True)
class _Mail:
    sender: str
    person: PersonalMail
    content: bytes

    @property
    def needs_utf8(self) -> bool:
        """Whether it needs a server that takes addresses beyond ASCII (RFC 6531)."""
        return not self.person.recipient.address.isascii()


class _Line(smtplib.SMTP):
    """A connection that knows how many mails it has carried, and whether the one that it carries has left whole."""

    carried = 0
    has_left = False

    def __init__(self, host: str, port: int, deadline: float, **options: Any) -> None:
        with ended_at(deadline, lambda: self.sock):
            super().__init__(host, port, timeout=CONNECT_TIMEOUT, **options)

    def send(self, s: Any) -> None:
        """Send all of it, or raise."""
        super().send(s)
        if isinstance(s, bytes) and s.endswith(b"\r\n.\r\n"):
            self.has_left = True

    def is_still_there(self) -> bool:
        """Whether the other end answers, and has forgotten the mail before."""
        with suppress(OSError), ended_at(time.monotonic() + STILL_THERE_TIMEOUT, lambda: self.sock):
            return read_reply(*self.rset()).is_yes
        return False

    def hand_over(self, mail: _Mail, now: datetime) -> PersonalReceipt:
        """One mail to one person (RFC 5321, 3.3); raises _Stopped or _Unclear where no more can follow."""
        self.has_left = False
        if mail.needs_utf8 and not self.has_extn("smtputf8"):
            return PersonalReceipt(Outcome.REJECTED, "the mail server takes no addresses with letters beyond ASCII")
        try:
            return self._dialogue(mail, now)
        except OSError as error:
            if self.has_left:
                words = f"the mail had left and no answer came: {reason_of(error)}"
                raise _Unclear(mail.person.delivery, words) from None
            rest = Receipt(Outcome.TRY_AGAIN, _DISCONNECTED + reason_of(error))
            raise _Stopped(rest, by_hanging_up=True) from None

    def _dialogue(self, mail: _Mail, now: datetime) -> PersonalReceipt:
        sender = self._heard(self.mail(mail.sender, self._options(mail)), now)
        if not sender.is_yes:
            raise _Stopped(of_everybody("the sender's address", sender, now))
        recipient = self._heard(self.rcpt(mail.person.recipient.address), now)
        if not recipient.is_yes:
            answer = of_recipient(recipient, now)
            if isinstance(answer, Receipt):
                raise _Stopped(answer)
            return answer
        try:
            taken = read_reply(*self.data(mail.content))
        except smtplib.SMTPDataError as error:
            refused = self._heard((error.smtp_code, error.smtp_error), now)
            if refused.is_yes:
                # No mail had left that it could agree to.
                raise _Stopped(Receipt(Outcome.TRY_AGAIN, f"the mail server spoke out of turn: {refused}")) from None
            return of_mail(refused)
        answer = of_mail(taken)
        if answer.outcome is Outcome.UNCERTAIN:
            raise _Unclear(mail.person.delivery, answer.reason)
        return answer

    def _options(self, mail: _Mail) -> list[str]:
        options = [f"SIZE={len(mail.content)}"] if self.has_extn("size") else []
        return [*options, "SMTPUTF8", "BODY=8BITMIME"] if mail.needs_utf8 else options

    @staticmethod
    def _heard(said: tuple[int, bytes | str], now: datetime) -> Reply:
        reply = read_reply(*said)
        if reply.ends_the_line:
            raise _Stopped(of_everybody("to go on", reply, now), by_hanging_up=True)
        return reply


class _TlsLine(_Line, smtplib.SMTP_SSL):
    """The same, with TLS from the first byte (RFC 8314, 3)."""
