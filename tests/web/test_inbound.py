"""Leaving by mail: a signed token is enough, nobody leaves for somebody else, and nothing breaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from email.message import EmailMessage
from email.parser import BytesParser
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from starlette.testclient import TestClient

from newsletter.mail import leaving_by_mail, one_click_headers
from newsletter.providers.mailbox import MailboxTransport
from newsletter.providers.sendgrid.inbound import LIMIT
from newsletter.schedule.jobs import run_until_idle
from newsletter.sendgrid_double.inbound import InboundPost, write_inbound
from newsletter.site import Site
from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.tables import Consent, Subscriber
from newsletter.subscribers.tokens import Purpose
from newsletter.web import create_app
from tests.factories import RULES, StillClock, find_cast, scheduled_edition, snapshot, worker
from tests.provider_events.signing import PRIVATE
from tests.web.conftest import Running

PATH = "/webhooks/sendgrid/inbound"
FIELDS = ["headers", "envelope", "charsets", "subject", "text", "email", "from", "SPF", "dkim"]
ADDRESS = "leave@inbound.clinic.example.org"
ANN = "reader1@example.org"


def mail(
    subject: str,
    text: str = "",
    *,
    sender: str = ANN,
    attachment: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> EmailMessage:
    """A mail to the address at which one leaves."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"Ann <{sender}>", ADDRESS, subject
    for name, value in (headers or {}).items():
        message[name] = value
    message.set_content(text or "\n")
    if attachment:
        message.add_attachment(attachment, maintype="image", subtype="png", filename="a.png")
    return message


def post_of(message: EmailMessage, *, whole: bool = False, signed: bool = False, **said: str) -> InboundPost:
    """What SendGrid posts of it."""
    given_back = {"return_path": ANN, "recipient": ADDRESS, **said}
    key = PRIVATE if signed else None
    return write_inbound(message.as_bytes(), whole=whole, key=key, **given_back)


def send(site: Site, post: InboundPost) -> int:
    """Post it; gives the status of the answer."""
    client = TestClient(create_app(site, public_only=True), base_url="https://news.example.org")
    return client.post(PATH, content=post.body, headers=dict(post.headers)).status_code


def left(site: Site) -> list[str]:
    """Who has left."""
    with site.database.read() as session:
        rows = select(Subscriber.address).where(Subscriber.state == SubscriberState.UNSUBSCRIBED)
        return [str(address) for address in session.scalars(rows.order_by(Subscriber.number))]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "subject", ["unsubscribe {}", "unsubscribe%20{}", "Re: unsubscribe {}", "AW: Grüße {}!", "{}", "退订{}を解除"]
)
def test_a_token_in_the_subject_lets_its_owner_leave_at_once_and_once(
    running: Running, whole: bool, subject: str
) -> None:
    token = running.token(Purpose.UNSUBSCRIBE)
    post = post_of(mail(subject.format(token), attachment=b"x" * 200_000), whole=whole)
    assert [send(running.site, post) for _ in range(2)] == [204, 204]
    assert left(running.site) == [ANN]
    with running.site.database.read() as session:
        (row,) = session.scalars(select(Consent).where(Consent.act == "withdrawn"))
    assert (row.source, row.details) == ("mail to the unsubscribe address", {"edition": 1, "reason": ""})


def test_the_address_in_a_mailed_letter_is_one_by_which_its_reader_leaves(running: Running) -> None:
    site, clock = running.site, StillClock()
    clock.go(days=1)
    with site.database.write() as session:
        cast = find_cast(session)
    scheduled_edition(site.database, cast, clock.now(), snapshot(mailing="later", send_at=clock.now()))
    sender = worker(site.database, MailboxTransport(site.settings.mailbox), clock)
    run_until_idle(replace(sender, inbound_address=ADDRESS), RULES)
    letters = [BytesParser().parsebytes(file.read_bytes()) for file in site.settings.mailbox.glob("nd2x*.eml")]
    assert len(letters) == 3
    for letter in letters:
        web, by_mail = letter["List-Unsubscribe"].split(", ")
        assert web.startswith("<https://")
        assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        parts = urlsplit(by_mail.strip("<>"))
        assert (parts.scheme, parts.path) == ("mailto", ADDRESS)
        subject = parse_qs(parts.query)["subject"][0]
        assert send(site, post_of(mail(subject, sender="other@example.com"))) == 204
    assert len(left(site)) == 3


def test_the_header_keeps_within_a_line_with_the_longest_addresses() -> None:
    token, base_url = "k" * 60, "https://" + "n" * 240 + ".example.org"
    address = "l" * 64 + "@" + "d" * 180 + ".org"
    value = one_click_headers(f"{base_url}/unsubscribe/{token}", leaving_by_mail(address) + token)["List-Unsubscribe"]
    assert len("List-Unsubscribe: " + value) < 998


@pytest.mark.parametrize(
    ("subject", "text", "recipient"),
    [
        ("", "{}\n", ADDRESS),
        ("Re: news", "Please take me off\n\n{}\n\n> quoted\n", ADDRESS),
        ("", "", "leave+{}@inbound.clinic.example.org"),
    ],
)
def test_a_token_may_also_stand_in_the_first_lines_or_in_the_address(
    running: Running, subject: str, text: str, recipient: str
) -> None:
    token = running.token(Purpose.UNSUBSCRIBE)
    post = post_of(mail(subject, text.format(token)), recipient=recipient.format(token))
    assert send(running.site, post) == 204
    assert left(running.site) == [ANN]


def test_a_token_that_somebody_quotes_lets_nobody_leave(running: Running) -> None:
    token = running.token(Purpose.UNSUBSCRIBE)
    below = "\n".join(f"line {n}" for n in range(9)) + f"\n{token}\n"
    for text in (f"See:\n> {token}\n", f"Hello\n----- Original Message -----\n{token}\n", below):
        assert send(running.site, post_of(mail("Fwd: the letter", text))) == 204
    assert left(running.site) == []


@pytest.mark.parametrize("purpose", [one for one in Purpose if one is not Purpose.UNSUBSCRIBE])
def test_a_token_for_anything_else_lets_nobody_leave(running: Running, purpose: Purpose) -> None:
    assert send(running.site, post_of(mail(f"unsubscribe {running.token(purpose)}"))) == 204
    assert left(running.site) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto-Submitted": "auto-replied"},
        {"Auto-Submitted": "auto-replied; owner-email=x"},
        {"X-Autoreply": "yes"},
        {"Precedence": "bulk"},
    ],
)
def test_an_absence_note_lets_nobody_leave(running: Running, headers: dict[str, str]) -> None:
    message = mail(f"Out of office: unsubscribe {running.token(Purpose.UNSUBSCRIBE)}", headers=headers)
    for whole in (False, True):
        assert send(running.site, post_of(message, whole=whole)) == 204
    assert send(running.site, post_of(mail(running.token(Purpose.UNSUBSCRIBE)), return_path="")) == 204
    assert left(running.site) == []


@pytest.mark.parametrize(
    ("said", "goes"),
    [
        ({"spf": "pass"}, [ANN]),
        ({"dkim": "{@example.org : pass}"}, [ANN]),
        ({"dkim": "{@other.example.com : pass, @org : pass, @xexample.org : pass}"}, []),
        ({"dkim": "{@mail.example.org : pass}"}, []),
        ({"spf": "softfail", "dkim": "{@example.org : fail}"}, []),
        ({"spf": "pass", "return_path": "mallory@evil.example.com"}, []),
    ],
)
def test_without_a_token_only_a_sender_whose_own_domain_vouches_for_the_mail_leaves(
    running: Running, said: dict[str, str], goes: Sequence[str]
) -> None:
    site = replace(running.site, inbound_key=PRIVATE.public_key())
    message = mail("Unsubscribe!")
    assert send(site, post_of(message, signed=True, whole=False, **said)) == 204
    assert left(site) == goes


def test_without_a_key_nobody_can_say_who_vouches(running: Running) -> None:
    assert send(running.site, post_of(mail("unsubscribe"), spf="pass", dkim="{@example.org : pass}")) == 204
    assert left(running.site) == []


@pytest.mark.parametrize("subject", ["How do I unsubscribe my aunt?", "Lovely letter", "unsubscribe from what?"])
def test_a_mail_that_only_speaks_of_leaving_changes_nothing(running: Running, subject: str) -> None:
    site = replace(running.site, inbound_key=PRIVATE.public_key())
    assert send(site, post_of(mail(subject), signed=True, spf="pass")) == 204
    assert left(site) == []


def test_where_a_key_is_set_only_what_is_signed_with_it_counts(running: Running) -> None:
    site = replace(running.site, inbound_key=PRIVATE.public_key())
    message = mail(f"unsubscribe {running.token(Purpose.UNSUBSCRIBE)}")
    good = post_of(message, signed=True)
    assert send(site, post_of(message)) == 403
    assert send(site, replace(good, body=good.body.replace(b"Ann", b"Bob"))) == 403
    assert left(site) == []
    assert send(site, good) == 204
    assert left(site) == [ANN]


def test_other_charsets_are_read(running: Running) -> None:
    token = running.token(Purpose.UNSUBSCRIBE)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ANN, ADDRESS, "Abmeldung"
    message.set_content(f"Grüße\n{token}\n", charset="iso-8859-1")
    assert [send(running.site, post_of(message, whole=whole)) for whole in (False, True)] == [204, 204]
    assert left(running.site) == [ANN]


def test_a_huge_mail_is_read_in_pieces_and_one_that_is_too_large_is_refused(running: Running) -> None:
    token = running.token(Purpose.UNSUBSCRIBE)
    boundary = "xYzZY"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="subject"\r\n\r\n{token}\r\n'.encode()
    head += f'--{boundary}\r\nContent-Disposition: form-data; name="headers"\r\n\r\nX: y\n\r\n'.encode()
    text = f'--{boundary}\r\nContent-Disposition: form-data; name="text"\r\n\r\n'.encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert send(running.site, InboundPost(kind, head + text + b"a" * (LIMIT + 1) + end)) == 413
    assert left(running.site) == []
    assert send(running.site, InboundPost(kind, head + text + b"a" * 5_000_000 + end)) == 204
    assert left(running.site) == [ANN]


EMAIL = b'Content-Disposition: form-data; name="email"\r\n\r\n'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("", b""),
        ("application/json", b"{}"),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="subject"\r\n\r\nhalf'),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A" * 1_000 + b": b\r\n\r\n\r\n--x--\r\n"),
        (f"multipart/form-data; boundary={'x' * 1_000}", b"--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\n" + EMAIL + b"Content-Type: message/rfc822\n\n" * 2_000 + b"\r\n--x--",
        ),
    ],
)
def test_what_is_no_post_of_a_mail_is_refused_clearly(running: Running, kind: str, body: bytes) -> None:
    assert send(running.site, InboundPost({"Content-Type": kind}, body)) == 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.sampled_from(FIELDS), st.binary(max_size=300)))
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whatever_stands_in_a_mail_the_answer_is_never_a_failure(running: Running, content: dict[str, bytes]) -> None:
    site = replace(running.site, inbound_key=None)
    parts = (
        f'--xYzZY\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in content.items()
    )
    post = InboundPost({"Content-Type": "multipart/form-data; boundary=xYzZY"}, b"".join(parts) + b"--xYzZY--\r\n")
    assert send(site, post) in (204, 400)
    assert left(site) == []


def test_what_became_of_mails_is_counted_and_names_nobody(running: Running) -> None:
    app = create_app(running.site, public_only=True)
    client = TestClient(app, base_url="https://news.example.org", client=("127.0.0.1", 5))
    for subject in ("unsubscribe", "hello", f"x {running.token(Purpose.UNSUBSCRIBE)}"):
        post = post_of(mail(subject))
        client.post(PATH, content=post.body, headers=dict(post.headers))
    counted = [
        line for line in client.get("/metrics").text.splitlines() if line.startswith("newsletter_inbound_mails_t")
    ]
    assert sorted(counted) == [
        'newsletter_inbound_mails_total{outcome="asks nothing"} 1.0',
        'newsletter_inbound_mails_total{outcome="left"} 1.0',
        'newsletter_inbound_mails_total{outcome="sender not proved"} 1.0',
    ]
