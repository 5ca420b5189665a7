"""What every transport promises, asked of each: the mailbox, SendGrid through its double, and an SMTP server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from newsletter.clock import SystemClock
from newsletter.providers.contract import Outcome, Transport
from newsletter.providers.mailbox import MailboxTransport, OpenedMail, list_mails, read_mail
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.providers.smtp.transport import SmtpTransport
from tests.providers.batches import make_batch
from tests.providers.smtp.running import running_smtp
from tests.sendgrid_double.running import running_double


@dataclass(frozen=True)
class Carrier:
    """A transport, and the folder in which its readers find their mails."""

    transport: Transport
    mailbox: Path

    def arrived(self) -> dict[str, OpenedMail]:
        """The mails that arrived, by address; one who got two would be seen."""
        mails = [read_mail(self.mailbox, kept.name) for kept in list_mails(self.mailbox)]
        by_address = {mail.kept.recipient: mail for mail in mails}
        assert len(by_address) == len(mails)
        return by_address


@pytest.fixture(params=["mailbox", "sendgrid", "smtp"])
def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Carrier]:
    if request.param == "mailbox":
        yield Carrier(MailboxTransport(tmp_path / "mailbox"), tmp_path / "mailbox")
        return
    if request.param == "smtp":
        with (
            running_smtp(tmp_path / "kept") as smtp,
            closing(SmtpTransport(smtp.address(), SystemClock())) as to_smtp,
        ):
            yield Carrier(to_smtp, smtp.record.folder)
        return
    with (
        running_double(tmp_path) as double,
        closing(SendGridTransport(double.key, double.host, SystemClock())) as transport,
    ):
        yield Carrier(transport, double.mailbox)


def test_everybody_gets_one_mail_with_links_of_their_own(carrier: Carrier) -> None:
    batch = make_batch(3)
    assert carrier.transport.send(batch).outcome is Outcome.ACCEPTED
    arrived = carrier.arrived()
    assert set(arrived) == {person.recipient.address for person in batch.people}
    for number, person in enumerate(batch.people, start=1):
        mail = arrived[person.recipient.address]
        link = f"https://news.clinic.example.org/a&b/unsubscribe/token{number}"
        assert link in mail.text
        assert mail.html is not None
        assert link.replace("&", "&amp;") in mail.html
        assert "-token-" not in mail.html + mail.text
        headers = dict(mail.headers)
        assert headers["List-Unsubscribe"] == f"<{link}>"
        assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert headers["Subject"] == batch.subject
        assert batch.sender.address in headers["From"]
        assert headers["Reply-To"] == batch.reply_to.address


def test_a_text_only_batch_arrives_as_text_alone(carrier: Carrier) -> None:
    assert carrier.transport.send(make_batch(2, html=False)).outcome is Outcome.ACCEPTED
    assert all(mail.html is None for mail in carrier.arrived().values())


def test_a_batch_of_the_limit_is_taken_whole(carrier: Carrier) -> None:
    assert carrier.transport.send(make_batch(carrier.transport.batch_limit)).outcome is Outcome.ACCEPTED
    assert len(carrier.arrived()) == carrier.transport.batch_limit


def test_several_batches_go_one_after_another(carrier: Carrier) -> None:
    for number in range(1, 6):
        assert carrier.transport.send(make_batch(number, attempt=f"na{number}")).outcome is Outcome.ACCEPTED
