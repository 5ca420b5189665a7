"""The web ends as it should: what was asked is answered first, and nobody who hangs keeps it from its end."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest

from newsletter.cli.serve import free_port
from tests.schedule.test_several_machines import run

REQUEST = (
    b"POST /webhooks/sendgrid/events HTTP/1.1\r\nHost: news\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_the_web_answers_what_it_was_asked_and_leaves_who_hangs(
    workspace: Path, kind: signal.Signals
) -> None:
    port = free_port()
    process = run(workspace, "web", "--public", "--port", str(port))
    try:
        asking, hanging = _connected(port), _connected(port)
        with asking, hanging:
            asking.sendall(REQUEST + b"Connection: close\r\n\r\n[")
            hanging.sendall(REQUEST)
            # Until the server has begun with both.
            time.sleep(0.5)
            process.send_signal(kind)
            time.sleep(0.5)
            asking.sendall(b"]")
            answer = asking.recv(65_536)
            told, _ = process.communicate(timeout=30)
        assert answer.startswith(b"HTTP/1.1 "), answer
        assert process.returncode == 0, told
        assert "Traceback" not in told
    finally:
        process.kill()
        process.communicate()


def _connected(port: int) -> socket.socket:
    end = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        except ConnectionRefusedError:
            assert time.monotonic() < end, "it does not listen"
            time.sleep(0.05)
