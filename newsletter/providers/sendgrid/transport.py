"""Hands batches to SendGrid: one request each, on a connection that is kept, tried once.

The `sendgrid` package opens a new TLS connection for every request, has no time-out, follows redirects with the key in
hand and repeats nothing knowingly; a send needs to know whether its request had left whole. So this speaks HTTP itself.
"""

from __future__ import annotations

import http.client
import select
import ssl
import threading
import time
from urllib.parse import urlsplit

from newsletter.clock import Clock
from newsletter.providers.connections import ended_at, reason_of
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt
from newsletter.providers.sendgrid.answer import read_answer
from newsletter.providers.sendgrid.request import request_body

TIMEOUT = 30.0
"""Seconds for the whole exchange: connecting, sending and the answer."""
CONNECT_TIMEOUT = 10.0
"""Seconds for each address of the host."""
KEPT_FOR = 15.0
"""Seconds that an idle connection is trusted; one that the other end has closed would make a good batch uncertain."""
ANSWER_LIMIT = 1_000_000


class SendGridTransport:
    """SendGrid as a transport; threads may share one, each gets a connection of its own."""

    name = "sendgrid"
    batch_limit = 1_000
    idempotent = False
    paced = True

    def __init__(self, key: str, host: str, clock: Clock, *, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(host)
        self._https = parts.scheme == "https"
        self._where = (parts.hostname or "", parts.port)
        self._path = f"{parts.path.rstrip('/')}/v3/mail/send"
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._clock = clock
        self._timeout = timeout
        self._tls = ssl.create_default_context() if self._https else None
        self._kept = threading.local()

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Hand over a batch; see `contract.Transport`."""
        body = request_body(batch)
        deadline = time.monotonic() + self._timeout
        try:
            connection = self._connection()
        except OSError as error:
            return Receipt(Outcome.TRY_AGAIN, f"SendGrid cannot be reached: {reason_of(error)}.")
        # With too little time left for an answer, it is better begun anew.
        if time.monotonic() > deadline - self._timeout / 3:
            self.close()
            return Receipt(Outcome.TRY_AGAIN, "connecting to SendGrid took too long to begin.")
        line = connection.sock
        with ended_at(deadline, lambda: line):
            return self._exchange(connection, batch, body)

    def _exchange(self, connection: http.client.HTTPConnection, batch: OutgoingBatch, body: bytes) -> Receipt:
        try:
            connection.request("POST", self._path, body, self._headers)
        except OSError as error:
            # Not all of it had left, so it cannot have been accepted; but the reason may have come early.
            return self._early_answer(connection, batch) or Receipt(
                Outcome.TRY_AGAIN,
                f"the connection to SendGrid broke before the batch had left: {reason_of(error)}.",
            )
        except (http.client.HTTPException, ValueError) as error:
            self.close()
            return Receipt(Outcome.ACCOUNT_TROUBLE, f"no request can be made with these settings: {reason_of(error)}.")
        try:
            return self._answer(connection, batch)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return Receipt(
                Outcome.UNCERTAIN, f"the batch had left and SendGrid gave no clear answer: {reason_of(error)}."
            )

    def close(self) -> None:
        """Close this thread's connection; the next batch opens another."""
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is not None:
            kept.close()
        self._kept.connection = None

    def _answer(self, connection: http.client.HTTPConnection, batch: OutgoingBatch) -> Receipt:
        response = connection.getresponse()
        body = response.read(ANSWER_LIMIT)
        if response.will_close or not response.isclosed():
            self.close()
        else:
            self._kept.since = time.monotonic()
        return read_answer(batch, response.status, dict(response.getheaders()), body, self._clock.now())

    def _early_answer(self, connection: http.client.HTTPConnection, batch: OutgoingBatch) -> Receipt | None:
        # A server that dislikes the key or the size may answer and close while we still write. A "yes" to half a
        # request does not exist.
        try:
            if connection.sock is not None:
                connection.sock.settimeout(2)
            receipt = self._answer(connection, batch)
        except (OSError, http.client.HTTPException):
            receipt = None
        self.close()
        return receipt if receipt and receipt.outcome not in (Outcome.ACCEPTED, Outcome.UNCERTAIN) else None

    def _connection(self) -> http.client.HTTPConnection:
        kept: http.client.HTTPConnection | None = getattr(self._kept, "connection", None)
        if kept is not None and kept.sock is not None:
            idle = time.monotonic() - self._kept.since
            if idle < KEPT_FOR and not select.select([kept.sock], [], [], 0)[0]:
                kept.sock.settimeout(self._timeout)
                return kept
            self.close()
        host, port = self._where
        fresh = (
            http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT, context=self._tls)
            if self._https
            else http.client.HTTPConnection(host, port, timeout=CONNECT_TIMEOUT)
        )
        fresh.connect()
        fresh.sock.settimeout(self._timeout)
        self._kept.connection, self._kept.since = fresh, time.monotonic()
        return fresh
