"""Whatever SendGrid posts is read into our words; what is unknown passes, what is broken is counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.providers.contract import DropCause, EventKind, ProviderEvent
from newsletter.providers.sendgrid.events import Unreadable, read_post

AT = 1_600_112_492
COMMON = {
    "email": "ana@example.org",
    "timestamp": AT,
    "sg_event_id": "an-id",
    "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "newsletter_delivery": "nd1x2",
    "newsletter_attempt": "na00",
}


def read_one(**fields: Any) -> ProviderEvent:
    reading = read_post(json.dumps([{**COMMON, **fields}]).encode() + b"\r\n")
    assert (len(reading.events), reading.unreadable, reading.unread) == (1, 0, 0)
    return reading.events[0]


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"event": "processed", "smtp-id": "<1@x>", "pool": {"name": "a", "id": 1}}, EventKind.PROCESSED),
        ({"event": "delivered", "response": "250 OK", "ip": "192.0.2.1", "tls": 1}, EventKind.DELIVERED),
        ({"event": "deferred", "response": "400 try again", "attempt": "5"}, EventKind.DEFERRED),
        ({"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "unknown"}, EventKind.HARD_BOUNCE),
        ({"event": "bounce", "status": "5.0.0", "reason": "unknown"}, EventKind.HARD_BOUNCE),
        ({"event": "bounce", "type": "blocked", "reason": "busy"}, EventKind.SOFT_BOUNCE),
        ({"event": "dropped", "reason": "Spam Content"}, EventKind.DROPPED),
        ({"event": "spamreport"}, EventKind.COMPLAINT),
        ({"event": "unsubscribe"}, EventKind.LEFT),
        ({"event": "group_unsubscribe", "asm_group_id": 10, "useragent": "x"}, EventKind.LEFT_GROUP),
        ({"event": "group_resubscribe", "asm_group_id": 10}, EventKind.JOINED_GROUP),
        ({"event": "account_status_change", "type": "compliance_suspend"}, EventKind.ACCOUNT),
        ({"event": "levitated", "height": [1, 2]}, EventKind.OTHER),
    ],
)
@pytest.mark.parametrize("category", [{}, {"category": "news"}, {"category": ["news", "month"]}])
def test_every_event_has_a_word_of_ours(fields: dict[str, Any], kind: EventKind, category: dict[str, Any]) -> None:
    event = read_one(**fields, **category)
    assert event.kind is kind
    assert (event.address, event.delivery, event.attempt) == ("ana@example.org", "nd1x2", "na00")
    assert event.at == datetime.fromtimestamp(AT, UTC)
    assert event.reference == "LRzXl_NHStOGhQ4kofSm_A"


@pytest.mark.parametrize("timestamp", [AT, AT * 1_000, float(AT), str(AT)])
def test_a_time_may_come_in_seconds_or_milliseconds(timestamp: object) -> None:
    assert read_one(event="delivered", timestamp=timestamp).at == datetime.fromtimestamp(AT, UTC)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Bounced Address", DropCause.BOUNCED),
        ("Spam Reporting Address", DropCause.COMPLAINED),
        ("Invalid", DropCause.INVALID),
        ("Unsubscribed Address", DropCause.LEFT),
        ("Recipient List over Package Quota", DropCause.OTHER),
        ("", DropCause.OTHER),
    ],
)
def test_a_drop_says_what_it_tells_of_the_address(reason: str, cause: DropCause) -> None:
    assert read_one(event="dropped", reason=reason).cause is cause


def test_what_a_bounce_says_is_read() -> None:
    said = {"reason": "550 no\x00such box", "status": "5.1.1", "bounce_classification": "Invalid Address"}
    event = read_one(event="bounce", type="bounce", **said)
    assert (event.reason, event.status, event.classification) == ("550 no such box", "5.1.1", "Invalid Address")


def test_opens_and_clicks_are_dropped_unread() -> None:
    posted = [{**COMMON, "event": name, "url": "https://example.org", "ip": "192.0.2.1"} for name in ("open", "click")]
    assert read_post(json.dumps(posted).encode()).unread == 2


def test_what_no_event_can_be_made_of_is_counted_and_keeps_no_other_from_being_read() -> None:
    broken: list[Any] = [7, None, "x", [], {}, {"event": "delivered"}, {"event": 3, "timestamp": AT}]
    times: list[Any] = [None, "soon", -1, 1e400, 10**30, {}, ""]
    broken += [{"event": "delivered", "timestamp": at} for at in times]
    reading = read_post(json.dumps([*broken, {**COMMON, "event": "delivered"}]).replace("Infinity", "1e300").encode())
    assert (len(reading.events), reading.unreadable) == (1, len(broken))


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b"\xff\xfe", b'"[]"', b"[" * 5_000])
def test_what_is_no_list_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_post(body)


@pytest.mark.parametrize(
    "rest",
    [
        b'"event":"bounce","reason":"cut off \\ud83d"',
        b'"event":"bounce","reason":"gr\xfcn"',
        b'"event":"a new one","half a letter":"\\ud83d"',
        b'"event":"a new one","number":1' + b"0" * 400,
        b'"event":"a new one","lists":' + b"[" * 300 + b"]" * 300,
    ],
)
def test_an_entry_that_is_hardly_json_keeps_no_other_from_being_heard(rest: bytes) -> None:
    post = b'[{"event":"delivered","timestamp":1},{"timestamp":1,%s}]' % rest
    reading = read_post(post)
    assert (len(reading.events), reading.unreadable) == (2, 0)
    assert read_post(post) == reading
    assert "".join(event.reason + event.apart for event in reading.events).encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "event",
        "email",
        "timestamp",
        "type",
        "reason",
        "status",
        "newsletter_attempt",
        "newsletter_delivery",
        "sg_message_id",
    ]
)
WORDS = st.sampled_from(["processed", "delivered", "bounce", "dropped", "unsubscribe", "new"])


@given(entries=st.lists(st.dictionaries(FIELDS, JSON | WORDS, max_size=9) | JSON, max_size=5))
def test_any_list_is_read_whole(entries: list[Any]) -> None:
    reading = read_post(json.dumps(entries, ensure_ascii=False).encode("utf-8"))
    assert len(reading.events) + reading.unreadable + reading.unread == len(entries)
