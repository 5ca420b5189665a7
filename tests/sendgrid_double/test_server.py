"""The double over a real line."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Self

import orjson
import pytest

from newsletter.providers.mailbox import list_mails, read_mail
from newsletter.sendgrid_double.faults import Kind
from newsletter.sendgrid_double.rules import TOO_LARGE
from tests.sendgrid_double.requests import changed, good_request, to_bytes
from tests.sendgrid_double.running import KEY, RunningDouble, running_double

HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
GOOD = to_bytes(good_request())


class Line:
    """One connection to the double."""

    def __init__(self, double: RunningDouble) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", double.port, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(
        self,
        body: bytes = GOOD,
        method: str = "POST",
        path: str = "/v3/mail/send",
        headers: dict[str, str] = HEADERS,
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer, answer.read()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDouble]:
    with running_double(tmp_path_factory.mktemp("double")) as double:
        yield double


@pytest.fixture
def double(shared: RunningDouble) -> RunningDouble:
    """The double of this file, with nothing left of the test before but its mails and its record."""
    shared.reset()
    for mail in shared.mailbox.iterdir():
        mail.unlink()
    shared.record.write_bytes(b"")
    return shared


@pytest.fixture
def line(double: RunningDouble) -> Iterator[Line]:
    with Line(double) as line:
        yield line


def mails(double: RunningDouble) -> list[EmailMessage]:
    parser = BytesParser(policy=policy.default)
    found = [parser.parsebytes(path.read_bytes()) for path in sorted(double.mailbox.glob("*.eml"))]
    return [mail for mail in found if isinstance(mail, EmailMessage)]


def text_of(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    assert isinstance(part, EmailMessage)
    # On the wire every line ends with CRLF.
    return str(part.get_content()).replace("\r\n", "\n")


def errors(body: bytes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = orjson.loads(body)["errors"]
    return found


def test_a_request_is_accepted_without_words_and_with_a_name(double: RunningDouble, line: Line) -> None:
    answer, body = line.ask()
    assert (answer.status, body) == (202, b"")
    (entry,) = double.recorded()
    assert entry.message_id == answer.headers["X-Message-Id"]
    assert entry.accepted
    assert entry.status == 202
    assert entry.fault == "pass"
    assert [person["delivery"] for person in entry.people] == ["1-1", "1-2"]


def test_a_line_serves_many_requests_whatever_their_answers(line: Line) -> None:
    line.connection.connect()
    first = line.connection.sock
    statuses = [
        line.ask()[0].status,
        line.ask(b"{")[0].status,
        line.ask(headers={})[0].status,
        line.ask(path="/v3/mail/batch")[0].status,
        line.ask(method="GET")[0].status,
        line.ask()[0].status,
    ]
    assert statuses == [202, 400, 401, 404, 405, 202]
    assert line.connection.sock is first


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer SG.other", f"Basic {KEY}", f"bearer{KEY}", "Bearer é"])
def test_another_key_is_refused(double: RunningDouble, line: Line, given: str) -> None:
    answer, body = line.ask(headers={**HEADERS, "Authorization": given.encode().decode("latin-1")})
    assert answer.status == 401
    assert errors(body) == [
        {"message": "The provided authorization grant is invalid, expired, or revoked", "field": None, "help": None}
    ]
    assert double.accepted()["requests"] == 0


def test_unknown_places_and_methods_answer_in_json(line: Line) -> None:
    for method, path, status in [("POST", "/v3/mail", 404), ("PUT", "/v3/mail/send", 405)]:
        answer, body = line.ask(method=method, path=path)
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/json"
        assert len(errors(body)) == 1


def test_a_refusal_names_the_culprit_and_keeps_nothing(double: RunningDouble, line: Line) -> None:
    answer, body = line.ask(to_bytes(changed(good_request(), ("personalizations.1.substitutions", {"a": 1}))))
    assert answer.status == 400
    assert errors(body)[0]["field"] == "personalizations.1.substitutions"
    assert mails(double) == []
    assert [(entry.accepted, entry.status, entry.people) for entry in double.recorded()] == [(False, 400, ())]


def test_a_mail_is_what_its_reader_would_get(double: RunningDouble, line: Line) -> None:
    line.ask()
    ana, bashir = mails(double)
    assert str(ana["To"]) == "Ana <ana@example.org>"
    assert str(bashir["To"]) == "bashir@example.org"
    assert str(ana["From"]) == '"The clinic, Münster" <clinic@example.org>'
    assert str(ana["Reply-To"]) == "answers@example.org"
    assert ana["Subject"] == "Pain that was learned"
    assert ana["List-Unsubscribe"] == "<https://news.example.org/unsubscribe/1>"
    assert ana["Message-ID"] != bashir["Message-ID"]
    assert [part.get_content_type() for part in ana.iter_parts()] == ["text/plain", "text/html"]
    assert not any(part.defects for mail in (ana, bashir) for part in mail.walk())
    assert text_of(ana, "plain") == "Hello. leave ana\n"
    assert "href='https://news.example.org/1?a=1&amp;b=2'" in text_of(ana, "html")
    assert "leave bashir" in text_of(bashir, "plain")


def test_long_lines_and_all_letters_arrive_as_they_were(double: RunningDouble, line: Line) -> None:
    long = "<p>" + "Schmerz, der gelernt wurde = 100 % ✓ " * 100 + "</p>\n.\nFrom here\ttrailing \n"
    line.ask(to_bytes(changed(good_request(), ("content.1.value", long), ("subject", "Gelernt ✓ " * 20 + "!"))))
    ana = mails(double)[0]
    assert text_of(ana, "html") == long
    assert ana["Subject"] == "Gelernt ✓ " * 20 + "!"
    raw = next(double.mailbox.glob("*-0.eml")).read_bytes()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.count(b"\n") == raw.count(b"\r\n")


def test_substitutions_reach_subject_reply_to_and_content_alone(double: RunningDouble, line: Line) -> None:
    person = {
        "to": [{"email": "ana@example.org"}],
        "substitutions": {"-x-": "filled"},
        "headers": {"X-Own": "-x-"},
        "custom_args": {"own": "-x-"},
    }
    request = good_request(
        personalizations=[person],
        subject="-x- subject",
        reply_to={"email": "-x-@example.org", "name": "-x-"},
        headers={"X-All": "-x-", "X-Own": "of all"},
        custom_args={"all": "-x-"},
        content=[{"type": "text/plain", "value": "-x- -x-"}, {"type": "text/html", "value": "<p>-x-</p>"}],
    )
    line.ask(to_bytes(request))
    (mail,) = mails(double)
    assert mail["Subject"] == "filled subject"
    assert str(mail["Reply-To"]) == "filled <filled@example.org>"
    assert text_of(mail, "plain").strip() == "filled filled"
    assert text_of(mail, "html").strip() == "<p>filled</p>"
    assert mail.get_all("X-Own") == ["-x-"]
    assert mail["X-All"] == "-x-"
    assert double.recorded()[0].people == ({"all": "-x-", "own": "-x-"},)


def test_everybody_in_to_cc_and_bcc_gets_one(double: RunningDouble, line: Line) -> None:
    person = {
        "to": [{"email": "a@example.org"}, {"email": "b@example.org"}],
        "cc": [{"email": "c@example.org"}],
        "bcc": [{"email": "unseen@example.org"}],
    }
    line.ask(to_bytes(good_request(personalizations=[person])))
    assert [(str(mail["To"]), str(mail["Cc"])) for mail in mails(double)] == [
        ("a@example.org, b@example.org", "c@example.org")
    ] * 4
    assert not any("unseen@example.org" in mail.as_string() for mail in mails(double))


def test_a_file_goes_with_the_mail(double: RunningDouble, line: Line) -> None:
    file = {"content": "aGVsbG8=", "filename": "grüße.txt", "type": "text/plain"}
    line.ask(to_bytes(good_request(attachments=[file])))
    (attached,) = mails(double)[0].iter_attachments()
    assert isinstance(attached, EmailMessage)
    assert attached.get_filename() == "grüße.txt"
    assert attached.get_content() == "hello"
    assert text_of(mails(double)[0], "plain") == "Hello. leave ana\n"


def test_a_second_send_of_the_same_shows_as_second_mails(double: RunningDouble, line: Line) -> None:
    line.ask()
    line.ask()
    kept = list_mails(double.mailbox)
    assert sorted(mail.recipient for mail in kept) == ["Ana <ana@example.org>"] * 2 + ["bashir@example.org"] * 2
    assert read_mail(double.mailbox, kept[0].name).html
    assert double.accepted()["mails"] == 4


def test_sandbox_mode_tries_and_keeps_nothing(double: RunningDouble, line: Line) -> None:
    answer, body = line.ask(to_bytes(good_request(mail_settings={"sandbox_mode": {"enable": True}})))
    assert (answer.status, body) == (200, b"")
    assert mails(double) == []
    assert double.accepted()["requests"] == 0


def test_too_large_a_request_is_refused_as_the_web_server_does(line: Line) -> None:
    answer, body = line.ask(b" " * (TOO_LARGE + 1_000_000))
    assert answer.status == 413
    assert answer.headers["Content-Type"].startswith("text/html")
    assert b"nginx" in body


def test_several_lines_at_once_mix_nothing_up(double: RunningDouble) -> None:
    def send(number: int) -> None:
        with Line(double) as line:
            for turn in range(5):
                person = {"to": [{"email": f"r{number}-{turn}@example.org"}], "custom_args": {"d": f"{number}-{turn}"}}
                assert line.ask(to_bytes(good_request(personalizations=[person])))[0].status == 202

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everybody = {f"{number}-{turn}" for number in range(4) for turn in range(5)}
    assert {entry.people[0]["d"] for entry in double.recorded()} == everybody
    assert {str(mail["To"]) for mail in mails(double)} == {f"r{name}@example.org" for name in everybody}


REFUSING = {
    "429": (429, "too many requests"),
    "429-reset:30": (429, "too many requests"),
    "429-retry-after:5": (429, "too many requests"),
    "401": (401, "The provided authorization grant is invalid, expired, or revoked"),
    "credits": (401, "Maximum credits exceeded"),
    "400:1": (400, "Does not contain a valid address."),
    "500": (500, "Internal Server Error"),
    "503": (503, "Service Unavailable"),
}


@pytest.mark.parametrize("spec", REFUSING)
def test_a_refusing_failure_answers_and_accepts_nothing(double: RunningDouble, line: Line, spec: str) -> None:
    double.fail(spec)
    answer, body = line.ask()
    assert (answer.status, errors(body)[0]["message"]) == REFUSING[spec]
    assert double.accepted()["requests"] == 0
    assert mails(double) == []
    assert [(entry.accepted, entry.fault) for entry in double.recorded()] == [(False, spec)]
    assert line.ask()[0].status == 202, "only the next request fails"


def test_the_413_failure_is_no_json(double: RunningDouble, line: Line) -> None:
    double.fail("413")
    answer, body = line.ask()
    assert answer.status == 413
    assert b"nginx" in body


def test_429_says_when_to_come_back_or_does_not(double: RunningDouble, line: Line) -> None:
    double.fail("429", "429-reset:30", "429-retry-after:5")
    plain, reset, after = (line.ask()[0].headers for _ in range(3))
    assert "X-RateLimit-Reset" not in plain
    assert "Retry-After" not in plain
    assert int(reset["X-RateLimit-Reset"]) > time.time()
    assert after["Retry-After"] == "5"


def test_one_person_can_be_made_the_culprit(double: RunningDouble, line: Line) -> None:
    double.fail("400:1")
    assert errors(line.ask()[1])[0]["field"] == "personalizations.1.to.0.email"


@pytest.mark.parametrize("spec", ["cut-early", "cut-before"])
def test_a_line_that_is_cut_before_accepts_nothing(double: RunningDouble, line: Line, spec: str) -> None:
    double.fail(spec)
    with pytest.raises((http.client.HTTPException, OSError)):
        line.ask()
    assert double.accepted()["requests"] == 0
    assert mails(double) == []
    assert [(entry.accepted, entry.status, entry.fault) for entry in double.recorded()] == [(False, 0, spec)]


def test_a_line_that_is_cut_after_has_accepted_everybody(double: RunningDouble, line: Line) -> None:
    double.fail("cut-after")
    with pytest.raises((http.client.HTTPException, OSError)):
        line.ask()
    (entry,) = double.recorded()
    assert (entry.accepted, entry.status, len(entry.people)) == (True, 0, 2)
    assert double.accepted()["mails"] == 2
    assert len(mails(double)) == 2


@pytest.mark.parametrize(("spec", "status"), [("500-after", 500), ("503-after", 503)])
def test_an_error_can_come_after_everybody_was_accepted(
    double: RunningDouble, line: Line, spec: str, status: int
) -> None:
    double.fail(spec)
    assert line.ask()[0].status == status
    assert [(entry.accepted, entry.status) for entry in double.recorded()] == [(True, status)]
    assert len(mails(double)) == 2


def test_what_is_refused_is_refused_whatever_failure_was_to_follow(double: RunningDouble, line: Line) -> None:
    double.fail("cut-after")
    assert line.ask(b"{")[0].status == 400
    assert double.accepted()["requests"] == 0


def test_a_slow_answer_comes_later_and_was_accepted_before_it(double: RunningDouble) -> None:
    double.fail("slow-after:60")
    with Line(double) as line:
        line.connection.request("POST", "/v3/mail/send", GOOD, HEADERS)
        wait_until(lambda: double.accepted()["requests"] == 1)


def test_what_is_taken_slowly_is_accepted_though_nobody_waits_any_more(double: RunningDouble) -> None:
    double.fail("slow-before:0.3")
    with Line(double) as line:
        line.connection.request("POST", "/v3/mail/send", GOOD, HEADERS)
    wait_until(lambda: double.accepted()["requests"] == 1)


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(0.01)


def test_failures_come_in_a_row_and_as_often_as_told(double: RunningDouble, line: Line) -> None:
    double.fail("503*2", "pass", "429")
    assert [line.ask()[0].status for _ in range(5)] == [503, 503, 202, 429, 202]


def test_failures_by_chance_are_the_same_for_the_same_seed(double: RunningDouble, line: Line) -> None:
    def story(seed: int) -> list[int]:
        double.fail("503@0.3", "429@0.3", seed=seed)
        return [line.ask()[0].status for _ in range(12)]

    assert story(1) == story(1) != story(2)
    assert set(story(1)) == {202, 429, 503}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"faults": 3}', b'{"faults": ["no"]}', b'{"faults": [], "seed": []}']
)
def test_a_failure_that_nobody_knows_is_refused_with_a_hint(line: Line, body: bytes) -> None:
    answer, said = line.ask(body, path="/double/faults")
    assert answer.status == 400
    assert "503*2" in errors(said)[0]["message"]


def test_a_page_in_a_browser_cannot_direct_it(double: RunningDouble, line: Line) -> None:
    answer, _ = line.ask(b"", path="/double/reset", headers={"Origin": "https://elsewhere.example.org"})
    assert answer.status == 403


def test_what_was_accepted_is_listed_and_forgotten_on_demand(double: RunningDouble, line: Line) -> None:
    name = line.ask()[0].headers["X-Message-Id"]
    double.fail("503*5")
    listed = double.accepted()
    assert (listed["requests"], listed["mails"]) == (1, 2)
    assert listed["accepted"][0]["message_id"] == name
    assert listed["accepted"][0]["people"][1] == {"delivery": "1-2", "attempt": "a1"}
    double.reset()
    assert double.accepted()["requests"] == 0
    assert line.ask()[0].status == 202


def test_the_record_outlives_a_kill_and_goes_on(tmp_path: Path) -> None:
    with running_double(tmp_path, faults=("cut-after",)) as double, Line(double) as line:
        with pytest.raises((http.client.HTTPException, OSError)):
            line.ask()
        double.kill()
    with (tmp_path / "record.jsonl").open("ab") as file:
        file.write(b'{"message_id": "half')
    with running_double(tmp_path, port=double.port) as again, Line(again) as line:
        assert line.ask()[0].status == 202
        assert [(entry.accepted, entry.status) for entry in again.recorded()] == [(True, 0), (True, 202)]
        assert again.accepted()["requests"] == 1


def test_the_record_has_no_address(double: RunningDouble, line: Line) -> None:
    line.ask()
    assert b"example.org" not in double.record.read_bytes()


def test_a_sink_counts_and_keeps_nothing(tmp_path: Path) -> None:
    with running_double(tmp_path, "--sink") as sink, Line(sink) as line:
        assert [line.ask()[0].status for _ in range(3)] == [202] * 3
        counted = sink.accepted()
        assert (counted["requests"], counted["mails"], counted["bytes"]) == (3, 6, 3 * len(GOOD))
        assert not sink.mailbox.exists()
        assert sink.recorded() == []
        assert line.ask(headers={})[0].status == 401
        sink.fail("cut-after")
        with pytest.raises((http.client.HTTPException, OSError)):
            line.ask()


def test_without_mails_it_judges_and_records_all_the_same(tmp_path: Path) -> None:
    with running_double(tmp_path, "--no-mails") as double, Line(double) as line:
        assert [line.ask(body)[0].status for body in (GOOD, b"{}")] == [202, 400]
        assert [len(entry.people) for entry in double.recorded()] == [2, 0]
        assert not double.mailbox.exists()


def test_a_taken_port_is_refused_in_a_sentence(double: RunningDouble, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=rf"Cannot listen on 127.0.0.1:{double.port} .*--port"),
        running_double(tmp_path, port=double.port),
    ):
        pass


def test_a_failure_written_wrong_at_the_shell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"`503@2`: a chance is"), running_double(tmp_path, faults=("503@2",)):
        pass


def test_every_kind_of_failure_can_be_told(double: RunningDouble) -> None:
    double.fail(*Kind)


def test_a_client_that_dies_in_the_middle_of_a_request_is_noted_and_no_complaint(double: RunningDouble) -> None:
    with socket.create_connection(("127.0.0.1", double.port)) as line:
        head = f"POST /v3/mail/send HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {double.key}\r\n"
        line.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n{{".encode())
    while not any(entry.status == 0 and not entry.accepted for entry in double.recorded()):
        assert double.process.poll() is None
