"""A deadline for a whole exchange, however many bytes drip in: a socket's own time-out begins anew with each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def ended_at(deadline: float, find_line: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Cut the line that is in use when the deadline, in seconds of `time.monotonic`, passes inside of this."""

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
