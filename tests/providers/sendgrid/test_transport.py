"""SendGrid as a transport, against its double: what each failure means, and that nothing is tried twice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from newsletter.clock import SystemClock
from newsletter.providers.contract import Outcome
from newsletter.providers.sendgrid.transport import SendGridTransport
from tests.providers.batches import make_batch
from tests.sendgrid_double.running import RunningDouble, running_double


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDouble]:
    with running_double(tmp_path_factory.mktemp("double"), "--no-mails") as double:
        yield double


@pytest.fixture
def transport(double: RunningDouble) -> Iterator[SendGridTransport]:
    double.fail()
    double.reset()
    with closing(SendGridTransport(double.key, double.host, SystemClock())) as transport:
        yield transport


def address(server: socket.socket) -> str:
    return f"http://127.0.0.1:{server.getsockname()[1]}"


def accepted(double: RunningDouble) -> int:
    return int(double.accepted()["requests"])


@pytest.mark.parametrize(
    ("fault", "outcome", "taken"),
    [
        ("429", Outcome.TRY_AGAIN, 0),
        ("429-reset:60", Outcome.TRY_AGAIN, 0),
        ("429-retry-after:60", Outcome.TRY_AGAIN, 0),
        ("401", Outcome.ACCOUNT_TROUBLE, 0),
        ("credits", Outcome.ACCOUNT_TROUBLE, 0),
        ("400:1", Outcome.REJECTED, 0),
        ("413", Outcome.TOO_LARGE, 0),
        ("500", Outcome.UNCERTAIN, 0),
        ("503", Outcome.UNCERTAIN, 0),
        ("500-after", Outcome.UNCERTAIN, 1),
        ("503-after", Outcome.UNCERTAIN, 1),
        ("cut-before", Outcome.UNCERTAIN, 0),
        ("cut-after", Outcome.UNCERTAIN, 1),
        ("slow-after:0.2", Outcome.ACCEPTED, 1),
        ("slow-before:0.2", Outcome.ACCEPTED, 1),
    ],
)
def test_each_failure_has_its_meaning_and_the_next_batch_goes(
    double: RunningDouble, transport: SendGridTransport, fault: str, outcome: Outcome, taken: int
) -> None:
    double.fail(fault)
    assert transport.send(make_batch(3)).outcome is outcome
    assert accepted(double) == taken
    assert transport.send(make_batch(3, attempt="na2")).outcome is Outcome.ACCEPTED
    assert accepted(double) == taken + 1


def test_a_line_cut_before_a_large_batch_has_left_was_not_accepted(
    double: RunningDouble, transport: SendGridTransport
) -> None:
    double.fail("cut-early")
    receipt = transport.send(make_batch(1000))
    assert receipt.outcome in (Outcome.TRY_AGAIN, Outcome.UNCERTAIN)
    assert accepted(double) == 0


def test_a_refused_connection_is_tried_again_later() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receipt = SendGridTransport("SG.x", f"http://127.0.0.1:{port}", SystemClock()).send(make_batch(1))
    assert receipt.outcome is Outcome.TRY_AGAIN
    assert "cannot be reached" in receipt.reason


def test_a_name_that_does_not_exist_is_tried_again_later() -> None:
    transport = SendGridTransport("SG.x", "http://double.invalid", SystemClock())
    assert transport.send(make_batch(1)).outcome is Outcome.TRY_AGAIN


def test_a_wrong_key_says_which_setting_to_mend(double: RunningDouble) -> None:
    with closing(SendGridTransport("SG.wrong", double.host, SystemClock())) as transport:
        receipt = transport.send(make_batch(1))
    assert receipt.outcome is Outcome.ACCOUNT_TROUBLE
    assert "SENDGRID_API_KEY" in receipt.reason
    assert "SG.wrong" not in receipt.reason


def test_one_connection_carries_many_batches() -> None:
    connections = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            nonlocal connections
            peer, _ = server.accept()
            connections += 1
            with peer, peer.makefile("rb") as requests:
                for _ in range(3):
                    length = 0
                    while (line := requests.readline()) not in (b"\r\n", b""):
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.partition(b":")[2])
                    requests.read(length)
                    peer.sendall(b"HTTP/1.1 202 Accepted\r\nX-Message-Id: m\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with closing(SendGridTransport("SG.x", address(server), SystemClock())) as transport:
            assert [transport.send(make_batch(2)).outcome for _ in range(3)] == [Outcome.ACCEPTED] * 3
        thread.join()
    assert connections == 1


def test_a_connection_that_the_other_end_has_closed_is_not_used_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = threading.Event()

        def serve() -> None:
            for _ in range(2):
                peer, _ = server.accept()
                with peer:
                    while b"\r\n\r\n" not in (received := peer.recv(65536)):
                        pass
                    while not received.endswith(b"}"):
                        received = peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
                closed.set()

        thread = threading.Thread(target=serve)
        thread.start()
        with closing(SendGridTransport("SG.x", address(server), SystemClock())) as transport:
            assert transport.send(make_batch(1)).outcome is Outcome.ACCEPTED
            closed.wait()
            assert transport.send(make_batch(1)).outcome is Outcome.ACCEPTED
        thread.join()


def test_a_redirect_is_never_followed_with_the_key_in_hand() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen: list[bytes] = []

        def serve() -> None:
            peer, _ = server.accept()
            with peer:
                seen.append(peer.recv(65536))
                here = server.getsockname()[1]
                answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{here}/x\r\nContent-Length: 0\r\n\r\n"
                peer.sendall(answer.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        with closing(SendGridTransport("SG.x", address(server), SystemClock())) as transport:
            receipt = transport.send(make_batch(1))
        thread.join()
    assert receipt.outcome is Outcome.ACCOUNT_TROUBLE
    assert len(seen) == 1


def test_a_key_that_can_stand_in_no_header_is_told_and_nothing_leaves(double: RunningDouble) -> None:
    with closing(SendGridTransport("SG.double\n", double.host, SystemClock())) as transport:
        before = accepted(double)
        for _ in range(2):
            assert transport.send(make_batch(1)).outcome is Outcome.ACCOUNT_TROUBLE
        assert accepted(double) == before


def test_an_answer_that_drips_in_for_ever_is_given_up_as_uncertain() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            peer, _ = server.accept()
            with peer, suppress(OSError):
                peer.recv(65536)
                while True:
                    peer.sendall(b"H")
                    threading.Event().wait(0.05)

        thread = threading.Thread(target=drip)
        thread.start()
        with closing(SendGridTransport("SG.x", address(server), SystemClock(), timeout=1)) as transport:
            assert transport.send(make_batch(1)).outcome is Outcome.UNCERTAIN
        thread.join()
