"""A send of which one batch was accepted, one is uncertain and one in flight, and the events that may follow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from newsletter.database.audit import SCHEDULER
from newsletter.database.session import Database
from newsletter.delivery import batches
from newsletter.delivery.model import delivery_id
from newsletter.delivery.tables import Attempt, Batch, Delivery
from newsletter.delivery.worker import send_next_batch
from newsletter.provider_events.inbox import keep_post
from newsletter.provider_events.queries import reconcile
from newsletter.provider_events.tables import KeptEvent
from newsletter.providers.contract import Outcome, Receipt
from newsletter.schedule import jobs
from newsletter.schedule.event_jobs import apply_waiting
from newsletter.subscribers.tables import Subscriber, Suppression
from tests.factories import EVENT_RULES, NOON, RULES, FakeTransport, StillClock, edition_for, worker

PEOPLE = 7
EDITION = "2026-11-opening-1"

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Mail:
    """One person's mail, by the names that went with it."""

    subscriber: int
    delivery: str
    attempt: str

    def event(self, name: str, at: datetime = NOON + timedelta(minutes=5), **fields: Any) -> dict[str, Any]:
        """An event of SendGrid about it."""
        return {
            "email": f"reader{self.subscriber}@example.org",
            "event": name,
            "timestamp": int(at.timestamp()),
            "sg_event_id": f"{name}-{self.delivery}-{at.timestamp()}",
            "sg_message_id": f"{self.attempt}ref.filter-1",
            "newsletter_delivery": self.delivery,
            "newsletter_attempt": self.attempt,
            **fields,
        }


def begin_send(database: Database) -> list[Mail]:
    """Three batches of three, three and one: accepted, uncertain, in flight; gives everybody's mail."""
    transport, clock = FakeTransport(batch_limit=3), StillClock()
    transport.answers = [Receipt(Outcome.ACCEPTED), Receipt(Outcome.UNCERTAIN, "no answer")]
    edition_for(database, PEOPLE)
    sender = worker(database, transport, clock)
    jobs.reconcile(sender, RULES)
    send_next_batch(sender)
    send_next_batch(sender)
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=SCHEDULER, now=clock.now())
        assert claim is not None
    with database.write() as session:
        assert batches.put_in_flight(session, claim, actor=SCHEDULER, now=clock.now())
    with database.read() as session:
        rows = session.execute(
            select(Delivery.edition, Delivery.subscriber, Batch.attempt)
            .join(Batch, (Batch.edition == Delivery.edition) & (Batch.number == Delivery.batch))
            .order_by(Delivery.subscriber)
        )
        return [Mail(number, delivery_id(edition, number), str(attempt)) for edition, number, attempt in rows]


def post(database: Database, *entries: Entry, now: datetime = NOON + timedelta(hours=1)) -> None:
    """Let the provider post events, and apply them."""
    with database.write() as session:
        keep_post(session, json.dumps(entries).encode() + b"\r\n", now=now)
    apply_waiting(database, StillClock(now), EVENT_RULES)


def post_all(database: Database, posts: Iterable[Iterable[Entry]]) -> None:
    """Let the provider post several times."""
    for entries in posts:
        post(database, *entries)


def all_that_matters(database: Database) -> dict[str, Any]:
    """The end state of whatever events may change, without what only tells when it was written."""
    with database.read() as session:
        return {
            "deliveries": session.execute(
                select(
                    Delivery.subscriber,
                    Delivery.batch,
                    Delivery.state,
                    Delivery.reason,
                    Delivery.attempt,
                    Delivery.event_at,
                ).order_by(Delivery.subscriber)
            ).all(),
            "attempts": session.execute(
                select(Attempt.id, Attempt.state, Attempt.people, Attempt.reference).order_by(Attempt.id)
            ).all(),
            "batches": session.execute(
                select(
                    Batch.number,
                    Batch.state,
                    Batch.people,
                    Batch.handed_over,
                    Batch.refused,
                    Batch.left_out,
                    Batch.uncertain,
                ).order_by(Batch.number)
            ).all(),
            "suppressions": session.execute(
                select(Suppression.address_hash, Suppression.reason).order_by(Suppression.address_hash)
            ).all(),
            "people": session.execute(select(Subscriber.number, Subscriber.state).order_by(Subscriber.number)).all(),
            "kept": session.execute(
                select(KeptEvent.fingerprint, KeptEvent.kind, KeptEvent.edition, KeptEvent.subscriber).order_by(
                    KeptEvent.fingerprint
                )
            ).all(),
            "sums": reconcile(session, EDITION, now=NOON + timedelta(hours=1)),
        }
