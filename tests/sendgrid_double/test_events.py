"""What the double tells of accepted mails reaches the webhook, and what it tells is read as SendGrid's words are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from newsletter.errors import Refused
from newsletter.providers.contract import EventKind
from newsletter.providers.sendgrid.events import read_post
from newsletter.sendgrid_double.description import MailSend
from newsletter.sendgrid_double.events import (
    EventFaults,
    events_of,
    open_key,
    public_key,
    read_event_faults,
    read_fate,
)

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


def request_to(*addresses: str) -> MailSend:
    people = [{"to": [{"email": address}], "custom_args": {"newsletter_attempt": "na1"}} for address in addresses]
    return MailSend.model_validate_json(
        orjson.dumps({"personalizations": people, "from": {"email": "news@example.org"}, "subject": "x"})
    )


def kinds_of(address: str, *fates: str) -> list[EventKind]:
    told = list(events_of(request_to(address), "id", NOW, [read_fate(fate) for fate in fates]))
    reading = read_post(orjson.dumps(told))
    assert (reading.unreadable, {event.attempt for event in reading.events}) in ((0, {"na1"}), (0, set()))
    return [event.kind for event in reading.events]


@pytest.mark.parametrize(
    ("address", "kinds"),
    [
        ("ana@example.org", [EventKind.PROCESSED, EventKind.DELIVERED]),
        ("bounce1@example.org", [EventKind.PROCESSED, EventKind.HARD_BOUNCE]),
        ("blocked@example.org", [EventKind.PROCESSED, EventKind.SOFT_BOUNCE]),
        ("dropped@example.org", [EventKind.DROPPED]),
        ("defer@example.org", [EventKind.PROCESSED, EventKind.DEFERRED]),
        ("spammer@example.org", [EventKind.PROCESSED, EventKind.DELIVERED, EventKind.COMPLAINT]),
        ("unsubscribe@example.org", [EventKind.PROCESSED, EventKind.DELIVERED, EventKind.LEFT]),
        ("silent@example.org", []),
    ],
)
def test_the_address_decides_what_becomes_of_a_mail(address: str, kinds: list[EventKind]) -> None:
    assert kinds_of(address) == kinds


def test_a_fate_for_a_pattern_stands_before_that() -> None:
    assert kinds_of("ana@Example.org", "*@example.org=bounce")[-1] is EventKind.HARD_BOUNCE


@pytest.mark.parametrize("spec", ["lost", "lost@2", "lost@x", "shuffled@1", "slow:1", "delay:-1", ""])
def test_a_failure_that_is_none_is_refused(spec: str) -> None:
    with pytest.raises(Refused, match="is no failure of events"):
        read_event_faults([spec])


def test_failures_are_read_as_they_are_written() -> None:
    specs = ("lost@0.1", "repeated@0.5", "without-id@1", "shuffled", "delay:5")
    assert read_event_faults(specs) == EventFaults(0.1, 0.5, 1.0, True, 5.0)


def test_a_key_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert public_key(open_key(path)) == public_key(open_key(path))
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("no key")
    with pytest.raises(Refused, match="holds no private key"):
        open_key(path)
