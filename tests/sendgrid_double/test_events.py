"""What the double tells of accepted mails reaches the webhook, and what it tells is read as SendGrid's words are."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import orjson
import pytest

from newsletter.errors import Refused
from newsletter.providers.contract import EventKind
from newsletter.providers.sendgrid.events import read_post
from newsletter.sendgrid_double.description import MailSend
from newsletter.sendgrid_double.events import (
    EventFaults,
    EventPoster,
    events_of,
    open_key,
    public_key,
    read_event_faults,
    read_fate,
)
from newsletter.sendgrid_double.record import Record, RecordedPost, read_posts

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
    specs = ("lost@0.1", "post-lost@0.2", "repeated@0.5", "without-id@1", "shuffled", "delay:5")
    assert read_event_faults(specs) == EventFaults(0.1, 0.2, 0.5, 1.0, True, 5.0)


class Reluctant(BaseHTTPRequestHandler):
    """A webhook that hangs up first, then is not able to, and takes the third post."""

    posts: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        """Answer one post."""
        self.posts.append(self.rfile.read(int(self.headers["Content-Length"])))
        if len(self.posts) > 1:
            self.send_response(503 if len(self.posts) == 2 else 204)
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_post_that_is_not_taken_is_tried_again_until_it_is(tmp_path: Path) -> None:
    record = tmp_path / "posts.jsonl"
    with HTTPServer(("127.0.0.1", 0), Reluctant) as webhook:
        poster = EventPoster(
            f"http://127.0.0.1:{webhook.server_port}/", open_key(None), EventFaults(repeated=1), record=Record(record)
        )
        poster.tell(request_to("ana@example.org"), "id", NOW)
        for tries in (1, 2, 3):
            assert poster.waiting == 1
            webhook.handle_request()
            assert len(Reluctant.posts) == tries
    while poster.waiting:
        time.sleep(0.01)
    assert len(set(Reluctant.posts)) == 1
    assert read_posts(record) == [RecordedPost("id", events=4, lost=0, repeated=2, tries=3)]


@pytest.mark.parametrize("faults", [EventFaults(post_lost=1), EventFaults(lost=1)])
def test_what_is_lost_as_a_whole_is_not_posted_and_is_on_record(tmp_path: Path, faults: EventFaults) -> None:
    record = tmp_path / "posts.jsonl"
    poster = EventPoster("http://127.0.0.1:9/", open_key(None), faults, record=Record(record))
    poster.tell(request_to("ana@example.org"), "id", NOW)
    assert poster.waiting == 0
    assert read_posts(record) == [RecordedPost("id", events=0, lost=2, repeated=0, tries=0)]


def test_a_key_is_made_once_and_kept_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert public_key(open_key(path)) == public_key(open_key(path))
    assert path.stat().st_mode & 0o077 == 0
    path.write_text("no key")
    with pytest.raises(Refused, match="holds no private key"):
        open_key(path)
