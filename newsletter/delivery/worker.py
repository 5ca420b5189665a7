"""Sends a batch, the next or a certain one: claim, build, commit as in flight, hand over, record.

The only caller of a transport for editions. Alone among the parts it commits by itself, because nothing may be handed
over inside a transaction, and nothing before it is on record.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.orm import Session

from newsletter.clock import Clock
from newsletter.database.audit import SCHEDULER
from newsletter.database.session import DATABASE_AWAY, Database, DatabaseUnusable
from newsletter.delivery import batches, pacing, plan, steering
from newsletter.delivery.model import (
    Claim,
    ContentChanged,
    Flight,
    Limits,
    LostClaim,
    Slot,
    TakeOff,
    Variant,
    delivery_id,
)
from newsletter.delivery.queries import list_recipients
from newsletter.editions.tables import Edition
from newsletter.errors import Refused
from newsletter.log import get_log
from newsletter.mail import Mailbox, leaving_by_mail, one_click_headers
from newsletter.providers.contract import Outcome, OutgoingBatch, PersonalMail, Receipt, Transport
from newsletter.rendering.model import LinkTag
from newsletter.subscribers.tokens import Purpose, Tokens

_log = get_log(__name__)

WRITE_AGAIN_AFTER = 0.5
"""Seconds between two tries to write down what only this worker knows; it is tried until it succeeds."""


class Step(StrEnum):
    """What `send_next_batch` or `send_batch` did."""

    NOTHING_TO_DO = "nothing to do"
    SENT = "sent"
    GAVE_UP = "gave up"
    """The batch was not this worker's any more, had nobody left, had to wait, or was paused; nothing was sent."""


@dataclass(frozen=True)
class Worker:
    """What a worker needs; `name` tells it from others in the record, `lease` is how long it may build a batch."""

    name: str
    database: Database
    transport: Transport
    tokens: Tokens
    clock: Clock
    lease: timedelta = plan.LEASE
    limits: Limits = field(default_factory=Limits)
    inbound_address: str = ""
    """Where mails to leave are taken, if anywhere."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the process is about to end: nobody waits for a slot any more."""


def send_next_batch(worker: Worker) -> Step:
    """Send one batch of any running send, whatever the provider answers.

    Raises only what a database that is away raises before anything is handed over; then the batch is claimed again
    later. A batch that cannot be built pauses its send.
    """
    return _send(worker)


def send_batch(worker: Worker, edition: int, number: int) -> Step:
    """Send this batch if it may go now, else nothing; as `send_next_batch`."""
    return _send(worker, only=(edition, number))


def _send(worker: Worker, only: tuple[int, int] | None = None) -> Step:
    with worker.database.write() as session:
        claim = batches.claim(
            session,
            worker=worker.name,
            transport=worker.transport.name,
            actor=SCHEDULER,
            now=worker.clock.now(),
            lease=worker.lease,
            only=only,
            daily=worker.limits.daily,
        )
        slot = _reserve_slot(worker, session) if claim else None
    if claim is None:
        return Step.NOTHING_TO_DO
    if slot and not slot.reserved:
        _give_back(worker, claim, not_before=slot.at)
        return Step.GAVE_UP
    try:
        people = _build(worker, claim)
    except DATABASE_AWAY:
        raise
    except Exception as error:
        # By its name alone: its words may hold an address.
        _pause(worker, claim, f"batch {claim.batch} could not be built: {type(error).__name__}")
        return Step.GAVE_UP
    if slot and worker.stopping.wait((slot.at - worker.clock.now()).total_seconds()):
        _give_back(worker, claim, not_before=None)
        return Step.GAVE_UP
    try:
        began = _seconds_awake_or_asleep()
        with worker.database.write() as session:
            flight = batches.put_in_flight(session, claim, actor=SCHEDULER, now=worker.clock.now())
    except LostClaim:
        return Step.GAVE_UP
    except ContentChanged as error:
        _pause(worker, claim, str(error))
        return Step.GAVE_UP
    except DatabaseUnusable:
        # Certainly nothing was changed.
        raise
    except DATABASE_AWAY:
        # The commit may have come through all the same.
        _take_back(worker, claim)
        return Step.GAVE_UP
    if flight is None:
        return Step.GAVE_UP
    receipt = _hand_over(worker, _outgoing(flight, people), began)
    _record(worker, flight, receipt)
    return Step.SENT


def _build(worker: Worker, claim: Claim) -> tuple[PersonalMail, ...]:
    """What is each person's own in a claimed batch."""
    with worker.database.read() as session:
        recipients = list_recipients(session, claim.edition, claim.batch)
    return tuple(_personal(worker, claim, recipients))


def _outgoing(flight: TakeOff, people: tuple[PersonalMail, ...]) -> OutgoingBatch:
    """The request for a batch that took off, to those people of it who were not dropped."""
    claim, content = flight.claim, flight.content
    if flight.dropped:
        gone = {delivery_id(claim.edition, number) for number in flight.dropped}
        people = tuple(person for person in people if person.delivery not in gone)
    return OutgoingBatch(
        attempt=claim.attempt,
        sender=content.sender,
        reply_to=Mailbox(content.reply_to),
        subject=content.subject,
        html=None if claim.variant is Variant.TEXT else content.html,
        text=content.text,
        date=claim.opened_at,
        people=people,
    )


def _personal(worker: Worker, claim: Claim, recipients: Mapping[int, str]) -> Iterator[PersonalMail]:
    # What is the same for everybody is made once: this is where most of the time of a send goes.
    to_leave = LinkTag.UNSUBSCRIBE.link(claim.base_url).removesuffix(LinkTag.UNSUBSCRIBE.value)
    leave_tag, choose_tag = LinkTag.UNSUBSCRIBE.value, LinkTag.PREFERENCES.value
    by_mail = leaving_by_mail(worker.inbound_address) if worker.inbound_address else ""
    signed = worker.tokens.sign_each(Purpose.UNSUBSCRIBE, Purpose.PREFERENCES, recipients, claim.edition)
    for (number, address), (leave, choose) in zip(recipients.items(), signed, strict=True):
        name = delivery_id(claim.edition, number)
        yield PersonalMail(
            delivery=name,
            recipient=Mailbox(address),
            substitutions={leave_tag: leave, choose_tag: choose},
            headers=one_click_headers(to_leave + leave, by_mail and by_mail + leave),
            custom_args={"newsletter_delivery": name, "newsletter_attempt": claim.attempt},
        )


def _reserve_slot(worker: Worker, session: Session) -> Slot | None:
    """When the request of a batch that was just claimed may go; None when there is no pace to keep."""
    if worker.limits.rate is None or not worker.transport.paced:
        return None
    now = worker.clock.now()
    return pacing.reserve_slot(
        session, worker.transport.name, worker.limits.rate, now=now, latest=now + worker.lease / 2
    )


def _give_back(worker: Worker, claim: Claim, *, not_before: datetime | None) -> None:
    with worker.database.write() as session:
        batches.give_back(session, claim, actor=SCHEDULER, now=worker.clock.now(), not_before=not_before)


def _hand_over(worker: Worker, batch: OutgoingBatch, began: float) -> Receipt:
    # A machine that slept since the commit may wake when others have long settled what became of this batch.
    if _seconds_awake_or_asleep() - began > plan.PATIENCE.total_seconds():
        return batches.never_begun(worker.clock.now())
    try:
        return worker.transport.send(batch)
    except Exception as error:
        # A transport answers with a receipt; what it raises is a defect of it, and tells nothing of what got through.
        return Receipt(Outcome.UNCERTAIN, f"the transport failed: {type(error).__name__}")


def _record(worker: Worker, flight: Flight, receipt: Receipt) -> None:
    def record(session: Session) -> None:
        batches.record_answer(
            session,
            flight,
            receipt,
            actor=SCHEDULER,
            now=worker.clock.now(),
            brake=worker.limits.brake,
            idempotent=worker.transport.idempotent,
        )

    _write_until_it_succeeds(worker, flight.attempt, record)


def _take_back(worker: Worker, claim: Claim) -> None:
    def take_back(session: Session) -> None:
        batches.take_back(session, claim, actor=SCHEDULER, now=worker.clock.now())

    _write_until_it_succeeds(worker, claim.attempt, take_back)


def _write_until_it_succeeds(worker: Worker, attempt: str, write: Callable[[Session], None]) -> None:
    # A busy, restarting or unreachable database must not make uncertain what this worker knows.
    pause = threading.Event()
    while True:
        try:
            with worker.database.write() as session:
                write(session)
            return
        except DATABASE_AWAY as error:
            _log.warning("answer not recorded yet", attempt=attempt, error=type(error).__name__)
            pause.wait(WRITE_AGAIN_AFTER)


def _pause(worker: Worker, claim: Claim, note: str) -> None:
    now = worker.clock.now()
    with worker.database.write() as session:
        batches.give_back(session, claim, actor=SCHEDULER, now=now, not_before=None)
        edition = session.get_one(Edition, claim.edition).id
        # A person may have paused or stopped it first: then there is nothing to do.
        with suppress(Refused):
            steering.pause(session, edition, actor=SCHEDULER, now=now, note=note)


def _seconds_awake_or_asleep() -> float:
    # The boot clock goes on while the machine sleeps; systems without it have only the one that stands still.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
