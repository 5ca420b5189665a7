"""What SendGrid's answers mean: a table of statuses, headers and bodies, and the receipt of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import pytest

from newsletter.providers.contract import Outcome, OutgoingBatch
from newsletter.providers.sendgrid.answer import LONGEST_WAIT, SLOW_DOWN, read_answer
from tests.providers.batches import make_batch

NOW = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)


@pytest.fixture
def batch() -> OutgoingBatch:
    return make_batch(3)


def errors(message: str, field: str | None = None) -> bytes:
    return orjson.dumps({"errors": [{"message": message, "field": field, "help": None}]})


@pytest.mark.parametrize(
    ("status", "body", "outcome", "words"),
    [
        (202, b"", Outcome.ACCEPTED, ""),
        (200, b"", Outcome.ACCOUNT_TROUBLE, "sandbox"),
        (301, b"", Outcome.ACCOUNT_TROUBLE, "redirect"),
        (308, b"", Outcome.ACCOUNT_TROUBLE, "redirect"),
        (400, errors("Bad Request"), Outcome.REJECTED, "Bad Request"),
        (401, errors("The provided authorization grant is invalid"), Outcome.ACCOUNT_TROUBLE, "SENDGRID_API_KEY"),
        (401, errors("Maximum credits exceeded"), Outcome.ACCOUNT_TROUBLE, "no credit left"),
        (403, errors("The from address does not match a verified Sender"), Outcome.ACCOUNT_TROUBLE, "verified"),
        (404, b"{}", Outcome.ACCOUNT_TROUBLE, "SENDGRID_HOST"),
        (405, b"{}", Outcome.ACCOUNT_TROUBLE, "SENDGRID_HOST"),
        (413, b"<html><h1>413 Request Entity Too Large</h1></html>", Outcome.TOO_LARGE, "too large"),
        (415, errors("not utf-8"), Outcome.REJECTED, "not utf-8"),
        (429, errors("too many requests"), Outcome.TRY_AGAIN, "slow down"),
        (500, b"", Outcome.UNCERTAIN, "nobody knows"),
        (502, b"<html>", Outcome.UNCERTAIN, "nobody knows"),
        (503, errors("unavailable"), Outcome.UNCERTAIN, "nobody knows"),
        (204, b"", Outcome.UNCERTAIN, "nobody knows"),
        (100, b"", Outcome.UNCERTAIN, "nobody knows"),
    ],
)
def test_each_status_has_its_meaning(
    batch: OutgoingBatch, status: int, body: bytes, outcome: Outcome, words: str
) -> None:
    receipt = read_answer(batch, status, {}, body, NOW)
    assert receipt.outcome is outcome
    assert words in receipt.reason


def test_the_name_of_an_accepted_request_is_kept(batch: OutgoingBatch) -> None:
    assert read_answer(batch, 202, {"X-Message-Id": "abc"}, b"", NOW).reference == "abc"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, NOW + SLOW_DOWN),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 90)}, NOW + timedelta(seconds=90)),
        ({"Retry-After": "7"}, NOW + timedelta(seconds=7)),
        ({"retry-after": "Tue, 03 Nov 2026 09:02:00 GMT"}, NOW + timedelta(minutes=2)),
        ({"X-RateLimit-Reset": "0"}, NOW + timedelta(seconds=1)),
        ({"X-RateLimit-Reset": "99999999999999999999"}, NOW + SLOW_DOWN),
        ({"X-RateLimit-Reset": "soon"}, NOW + SLOW_DOWN),
        ({"Retry-After": "999999"}, NOW + LONGEST_WAIT),
        ({"Retry-After": "never"}, NOW + SLOW_DOWN),
    ],
)
def test_a_429_says_when_to_try_again_or_a_default_holds(
    batch: OutgoingBatch, headers: dict[str, str], expected: datetime
) -> None:
    assert read_answer(batch, 429, headers, b"", NOW).not_before == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 90)}, None),
        ({"X-RateLimit-Remaining": "0"}, None),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 90)}, timedelta(seconds=90)),
    ],
)
def test_the_last_request_of_a_window_says_when_the_next_may_go(
    batch: OutgoingBatch, headers: dict[str, str], expected: timedelta | None
) -> None:
    receipt = read_answer(batch, 202, headers, b"", NOW)
    assert receipt.outcome is Outcome.ACCEPTED
    assert receipt.not_before == (NOW + expected if expected else None)


def test_the_person_that_a_400_names_is_found_by_place(batch: OutgoingBatch) -> None:
    body = orjson.dumps(
        {"errors": [{"message": "Does not contain a valid address.", "field": "personalizations.1.to.0.email"}]}
    )
    receipt = read_answer(batch, 400, {}, body, NOW)
    assert list(receipt.people) == [batch.people[1].delivery]
    assert receipt.people[batch.people[1].delivery].outcome is Outcome.REJECTED


@pytest.mark.parametrize("field", ["personalizations.99.to", "content.1", "", None, 7, "personalizations.x"])
def test_a_400_that_names_nobody_of_the_batch_blames_nobody(batch: OutgoingBatch, field: object) -> None:
    body = orjson.dumps({"errors": [{"message": "no", "field": field}]})
    assert read_answer(batch, 400, {}, body, NOW).people == {}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"errors": 1}', b'{"errors": [1]}', b"\xff", b'{"errors": [{}]}']
)
def test_a_strange_body_is_no_crash(batch: OutgoingBatch, body: bytes) -> None:
    assert read_answer(batch, 400, {}, body, NOW).outcome is Outcome.REJECTED
