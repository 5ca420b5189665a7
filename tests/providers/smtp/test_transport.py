"""An SMTP server as a transport, against a real one: what each reply means, and that no mail goes twice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from newsletter.addresses import Security, SmtpServer
from newsletter.clock import SystemClock
from newsletter.mail import Mailbox
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt
from newsletter.providers.mailbox import list_mails, read_mail
from newsletter.providers.smtp.transport import SmtpTransport
from tests.providers.batches import make_batch
from tests.providers.smtp.certificates import Certificates, make_certificates
from tests.providers.smtp.running import HANG_UP, PASSWORD, TAKE_AND_HANG_UP, RunningSmtp, running_smtp


@pytest.fixture
def smtp(tmp_path: Path) -> Iterator[RunningSmtp]:
    with running_smtp(tmp_path / "kept") as smtp:
        yield smtp


@pytest.fixture
def transport(smtp: RunningSmtp) -> Iterator[SmtpTransport]:
    with closing(SmtpTransport(smtp.address(), SystemClock())) as transport:
        yield transport


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def own(receipt: Receipt) -> list[Outcome]:
    """The answers of those who have one of their own, in order."""
    return [receipt.people[name].outcome for name in sorted(receipt.people)]


@pytest.mark.parametrize(
    ("step", "said", "outcome"),
    [
        ("RCPT", "550 5.1.1 no such user", Outcome.REJECTED),
        ("RCPT", "552 5.2.2 mailbox full", Outcome.REJECTED),
        ("RCPT", "450 4.2.0 greylisted, come back", Outcome.TRY_AGAIN),
        ("RCPT", "452 4.2.2 mailbox full", Outcome.TRY_AGAIN),
        ("DOT", "552 5.3.4 too big for the system", Outcome.REJECTED),
        ("DOT", "554 5.7.1 looks like spam", Outcome.REJECTED),
        ("DOT", "451 4.7.1 greylisted, come back", Outcome.TRY_AGAIN),
        ("DOT", "421 4.3.2 going down", Outcome.TRY_AGAIN),
    ],
)
def test_a_refusal_of_one_is_theirs_alone_and_the_rest_goes(
    smtp: RunningSmtp, transport: SmtpTransport, step: str, said: str, outcome: Outcome
) -> None:
    smtp.answer(**{step: said})
    receipt = transport.send(make_batch(3))
    assert (receipt.outcome, own(receipt)) == (Outcome.ACCEPTED, [outcome])
    assert said in receipt.people["nd1x1"].reason
    assert smtp.record.taken == ["nd1x2", "nd1x3"]


@pytest.mark.parametrize(
    ("step", "said", "outcome"),
    [
        ("MAIL", "550 5.7.1 this sender may not", Outcome.ACCOUNT_TROUBLE),
        ("MAIL", "530 5.7.0 log in first", Outcome.ACCOUNT_TROUBLE),
        ("RCPT", "530 5.7.0 log in first", Outcome.ACCOUNT_TROUBLE),
        ("MAIL", "451 4.3.0 ask later", Outcome.TRY_AGAIN),
        ("MAIL", "421 4.3.2 going down", Outcome.TRY_AGAIN),
        ("MAIL", HANG_UP, Outcome.TRY_AGAIN),
        ("RCPT", HANG_UP, Outcome.TRY_AGAIN),
    ],
)
def test_a_refusal_of_us_ends_the_batch_with_nothing_sent(
    smtp: RunningSmtp, transport: SmtpTransport, step: str, said: str, outcome: Outcome
) -> None:
    smtp.say = lambda at, _: said if at == step else None
    receipt = transport.send(make_batch(3))
    assert (receipt.outcome, receipt.people, smtp.record.taken) == (outcome, {}, [])
    smtp.answer()
    assert transport.send(make_batch(3, attempt="na2")).outcome is Outcome.ACCEPTED


def test_who_was_taken_before_the_trouble_is_accepted_and_who_was_not_tried_is_not(
    smtp: RunningSmtp, transport: SmtpTransport
) -> None:
    calls = iter([None, None, "550 5.7.1 quota used up"])
    smtp.say = lambda step, _: next(calls) if step == "MAIL" else None
    receipt = transport.send(make_batch(5))
    assert receipt.outcome is Outcome.ACCOUNT_TROUBLE
    assert {name: answer.outcome for name, answer in receipt.people.items()} == {
        "nd1x1": Outcome.ACCEPTED,
        "nd1x2": Outcome.ACCEPTED,
    }


@pytest.mark.parametrize(("said", "taken"), [(HANG_UP, 2), (TAKE_AND_HANG_UP, 3)])
def test_cut_after_the_final_dot_one_person_is_uncertain_and_no_one_else(
    smtp: RunningSmtp, transport: SmtpTransport, said: str, taken: int
) -> None:
    smtp.say = lambda step, recipient: said if (step, recipient) == ("DOT", "reader3@example.org") else None
    receipt = transport.send(make_batch(5))
    assert receipt.outcome is Outcome.TRY_AGAIN
    assert own(receipt) == [Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.UNCERTAIN]
    assert len(smtp.record.taken) == taken


def test_a_lone_mail_cut_after_the_final_dot_is_uncertain(smtp: RunningSmtp, transport: SmtpTransport) -> None:
    smtp.answer(DOT=TAKE_AND_HANG_UP)
    receipt = transport.send(make_batch(1))
    assert receipt.outcome is Outcome.UNCERTAIN
    assert smtp.record.taken == ["nd1x1"]


def test_one_connection_carries_many_batches(smtp: RunningSmtp, transport: SmtpTransport) -> None:
    for number in range(3):
        assert transport.send(make_batch(4, attempt=f"na{number}")).outcome is Outcome.ACCEPTED
    assert (smtp.record.connections, len(smtp.record.taken)) == (1, 12)


@pytest.mark.parametrize("said", ["421 4.7.0 so many a connection", HANG_UP])
def test_a_connection_that_the_server_ends_between_mails_is_renewed(
    smtp: RunningSmtp, transport: SmtpTransport, said: str
) -> None:
    mails = iter([None, None, said, None, None, said, None, None])
    smtp.say = lambda step, _: next(mails) if step == "MAIL" else None
    receipt = transport.send(make_batch(6))
    assert (receipt.outcome, receipt.people) == (Outcome.ACCEPTED, {})
    assert smtp.record.taken == [f"nd1x{n}" for n in range(1, 7)]
    assert smtp.record.connections == 3


def test_a_server_that_was_started_again_is_connected_to_anew(tmp_path: Path) -> None:
    with running_smtp(tmp_path / "kept") as first:
        transport = SmtpTransport(first.address(), SystemClock())
        assert transport.send(make_batch(1)).outcome is Outcome.ACCEPTED
        port = first.port
    assert transport.send(make_batch(1)).outcome is Outcome.TRY_AGAIN
    with running_smtp(tmp_path / "kept", port=port) as second, closing(transport):
        assert transport.send(make_batch(1)).outcome is Outcome.ACCEPTED
        assert second.record.taken == ["nd1x1"]


def test_a_server_that_refuses_everybody_means_us(smtp: RunningSmtp, transport: SmtpTransport) -> None:
    smtp.say = lambda step, _: "554 5.7.1 relay access denied" if step == "RCPT" else None
    receipt = transport.send(make_batch(6))
    assert (receipt.outcome, receipt.people) == (Outcome.REJECTED, {})
    assert "relay access denied" in receipt.reason


def test_many_addresses_that_do_not_exist_are_each_refused(smtp: RunningSmtp, transport: SmtpTransport) -> None:
    smtp.say = lambda step, _: "550 5.1.1 no such user" if step == "RCPT" else None
    receipt = transport.send(make_batch(6))
    assert own(receipt) == [Outcome.REJECTED] * 6


@pytest.mark.parametrize("line", [".", "..", ".hidden", "From here"])
def test_a_line_that_begins_with_a_dot_arrives_as_it_was(
    smtp: RunningSmtp, transport: SmtpTransport, line: str
) -> None:
    batch = replace(make_batch(1, html=False), text=f"Hello\n{line}\nagain\n")
    assert transport.send(batch).outcome is Outcome.ACCEPTED
    [kept] = list_mails(smtp.record.folder)
    assert read_mail(smtp.record.folder, kept.name).text == f"Hello\n{line}\nagain\n"


def with_address(address: str) -> OutgoingBatch:
    batch = make_batch(2)
    first = batch.people[0]._replace(recipient=Mailbox(address))
    return replace(batch, people=(first, batch.people[1]))


def test_an_address_beyond_ascii_goes_where_the_server_takes_it(tmp_path: Path) -> None:
    with (
        running_smtp(tmp_path / "kept", enable_SMTPUTF8=True) as smtp,
        closing(SmtpTransport(smtp.address(), SystemClock())) as transport,
    ):
        assert transport.send(with_address("jürgen@example.org")) == Receipt(Outcome.ACCEPTED)
        assert {mail.recipient for mail in list_mails(tmp_path / "kept")} == {
            "jürgen@example.org",
            "reader2@example.org",
        }


def test_an_address_beyond_ascii_is_refused_where_the_server_takes_none(
    smtp: RunningSmtp, transport: SmtpTransport
) -> None:
    receipt = transport.send(with_address("jürgen@example.org"))
    assert (receipt.outcome, own(receipt)) == (Outcome.ACCEPTED, [Outcome.REJECTED])
    assert "letters beyond ASCII" in receipt.people["nd1x1"].reason
    assert smtp.record.taken == ["nd1x2"]


def test_what_cannot_be_written_is_not_sent(smtp: RunningSmtp, transport: SmtpTransport) -> None:
    receipt = transport.send(replace(make_batch(2), subject="two\r\nlines"))
    assert receipt.outcome is Outcome.REJECTED
    assert smtp.record.connections == 0


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_with_tls_and_a_password_mails_go(tmp_path: Path, certificates: Certificates, security: Security) -> None:
    with tls_server(tmp_path, certificates, security) as smtp:
        server = smtp.address(security, password=PASSWORD)
        with closing(SmtpTransport(server, SystemClock(), tls=certificates.client)) as transport:
            assert transport.send(make_batch(2)).outcome is Outcome.ACCEPTED
        assert len(smtp.record.taken) == 2
        assert smtp.record.logged_in == 1


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_a_wrong_password_pauses_and_is_not_told(
    tmp_path: Path, certificates: Certificates, security: Security
) -> None:
    with tls_server(tmp_path, certificates, security) as smtp:
        server = smtp.address(security, password="hunter2")
        with closing(SmtpTransport(server, SystemClock(), tls=certificates.client)) as transport:
            receipt = transport.send(make_batch(2))
        assert receipt.outcome is Outcome.ACCOUNT_TROUBLE
        assert "SMTP_URL" in receipt.reason
        assert "hunter2" not in f"{receipt}{server}"
        assert smtp.record.steps["MAIL"] == 0


@pytest.mark.parametrize("security", [Security.TLS, Security.STARTTLS])
def test_a_certificate_that_nobody_vouches_for_stops_everything(
    tmp_path: Path, certificates: Certificates, security: Security
) -> None:
    with tls_server(tmp_path, certificates, security) as smtp:
        server = smtp.address(security, password=PASSWORD)
        receipt = SmtpTransport(server, SystemClock()).send(make_batch(2))
        assert receipt.outcome is Outcome.ACCOUNT_TROUBLE
        assert "certificate" in receipt.reason
        assert smtp.record.steps["MAIL"] == 0


def test_a_certificate_of_another_name_stops_everything(tmp_path: Path) -> None:
    other = make_certificates(tmp_path, "other.example.org")
    with running_smtp(tmp_path / "kept", implicit_tls=other.server) as smtp:
        transport = SmtpTransport(smtp.address(Security.TLS), SystemClock(), tls=other.client)
        assert transport.send(make_batch(2)).outcome is Outcome.ACCOUNT_TROUBLE


def test_where_starttls_was_stripped_nothing_goes_in_clear(smtp: RunningSmtp, certificates: Certificates) -> None:
    server = smtp.address(Security.STARTTLS, password=PASSWORD)
    with closing(SmtpTransport(server, SystemClock(), tls=certificates.client)) as transport:
        receipt = transport.send(make_batch(2))
    assert receipt.outcome is Outcome.ACCOUNT_TROUBLE
    assert "STARTTLS" in receipt.reason
    assert (smtp.record.steps["MAIL"], smtp.record.taken) == (0, [])


def test_a_server_without_a_log_in_is_told(smtp: RunningSmtp) -> None:
    with closing(SmtpTransport(smtp.address(password=PASSWORD), SystemClock())) as transport:
        receipt = transport.send(make_batch(1))
    assert receipt.outcome is Outcome.ACCOUNT_TROUBLE
    assert "no log-in that we know" in receipt.reason


def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    receipt = SmtpTransport(SmtpServer("localhost", port, Security.NONE), SystemClock()).send(make_batch(1))
    assert receipt.outcome is Outcome.TRY_AGAIN
    assert "cannot be reached" in receipt.reason


def test_a_server_that_is_slow_with_its_answer_leaves_one_uncertain(smtp: RunningSmtp) -> None:
    smtp.delay = 5
    with closing(SmtpTransport(smtp.address(), SystemClock(), timeout=1)) as transport:
        receipt = transport.send(make_batch(2))
    assert receipt.outcome is Outcome.TRY_AGAIN
    assert own(receipt) == [Outcome.UNCERTAIN]


def test_a_slow_server_gets_the_rest_of_a_batch_later(smtp: RunningSmtp) -> None:
    smtp.delay = 0.3
    with closing(SmtpTransport(smtp.address(), SystemClock(), timeout=2)) as transport:
        receipt = transport.send(make_batch(20))
    assert receipt.outcome is Outcome.TRY_AGAIN
    assert set(own(receipt)) == {Outcome.ACCEPTED}
    assert 0 < len(receipt.people) < 20
    assert smtp.record.taken == [f"nd1x{n}" for n in range(1, len(receipt.people) + 1)]


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ([b"554 go away\r\n"], Outcome.ACCOUNT_TROUBLE),
        ([b"421 too many of you\r\n"], Outcome.TRY_AGAIN),
        ([b"SSH-2.0-OpenSSH_9.2\r\n"], Outcome.TRY_AGAIN),
        ([b""], Outcome.TRY_AGAIN),
        ([b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b""], Outcome.TRY_AGAIN),
        ([b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"250 what\r\n"], Outcome.TRY_AGAIN),
        ([b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"what\r\n"], Outcome.TRY_AGAIN),
        ([b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n", b""], Outcome.UNCERTAIN),
        (
            [b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n", b"what\r\n"],
            Outcome.UNCERTAIN,
        ),
        (
            [b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n", b"x" * 9_000],
            Outcome.UNCERTAIN,
        ),
    ],
)
def test_what_is_no_smtp_is_never_taken_for_a_yes(replies: list[bytes], outcome: Outcome) -> None:
    with scripted(replies) as server, closing(SmtpTransport(server, SystemClock())) as transport:
        assert transport.send(make_batch(1, html=False)).outcome is outcome


def test_a_mail_of_which_not_all_had_left_was_not_sent() -> None:
    script = [b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"]
    long = replace(make_batch(1), text="a line of a long mail\n" * 1_000_000)
    with scripted(script, cut_in_content=True) as server, closing(SmtpTransport(server, SystemClock())) as transport:
        receipt = transport.send(long)
    assert receipt.outcome is Outcome.TRY_AGAIN


def test_a_greeting_that_drips_in_for_ever_is_given_up() -> None:
    with scripted([b"220-still here\r\n"] * 10_000, drip=0.02) as server:
        receipt = SmtpTransport(server, SystemClock(), timeout=1).send(make_batch(1))
    assert receipt.outcome is Outcome.TRY_AGAIN


@contextmanager
def tls_server(folder: Path, certificates: Certificates, security: Security) -> Iterator[RunningSmtp]:
    """A server with a log-in that wants TLS, of one kind or the other."""
    if security is Security.TLS:
        server = running_smtp(folder / "kept", implicit_tls=certificates.server, auth_require_tls=False)
    else:
        server = running_smtp(folder / "kept", tls_context=certificates.server, require_starttls=True)
    with server as smtp:
        yield smtp


@contextmanager
def scripted(replies: list[bytes], *, cut_in_content: bool = False, drip: float = 0) -> Iterator[SmtpServer]:
    """A server that says one thing after another, whatever it hears, and then hangs up."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            peer, _ = listening.accept()
            with peer:
                try:
                    _play(peer)
                except OSError:
                    return

        def _play(peer: socket.socket) -> None:
            for reply in replies:
                peer.sendall(reply)
                if drip:
                    if ended.wait(drip):
                        return
                    continue
                if reply.startswith(b"354"):
                    heard = b""
                    while not (cut_in_content or heard.endswith(b"\r\n.\r\n")):
                        heard += peer.recv(65536)
                elif reply:
                    peer.recv(65536)

        thread = threading.Thread(target=serve)
        thread.start()
        yield SmtpServer("localhost", listening.getsockname()[1], Security.NONE)
        ended.set()
        thread.join()
