"""What connections to providers have in common: by which URL, until when, and why one failed."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit


def http_connection(url: str, timeout: float) -> http.client.HTTPConnection:
    """A connection to the host of an http or https URL, not opened yet; `timeout` is in seconds of silence."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout)


def reason_of(error: Exception) -> str:
    """The reason of an error in a few words, such as `Connection refused`."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@contextmanager
def ended_at(deadline: float, find_line: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Cut the line that is in use when the deadline, in seconds of `time.monotonic`, passes inside of this.

    It holds for a whole exchange, however many bytes drip in: a socket's own time-out begins anew with each.
    """

    def end() -> None:
        line = find_line()
        if line is not None:
            with suppress(OSError):
                # The socket's own shutdown, not that of TLS: that one would let the rest of a mail leave in clear.
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    watchdog = threading.Timer(max(deadline - time.monotonic(), 0), end)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
