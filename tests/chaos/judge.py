"""Holds what the provider has on record against the ledger, and says which promises were broken."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from newsletter.delivery.model import (
    AttemptState,
    BatchState,
    DeliveryState,
    Progress,
    SendState,
    read_delivery_id,
)
from newsletter.delivery.tables import Attempt, Batch, Delivery
from newsletter.provider_events.model import Reconciliation
from newsletter.sendgrid_double.record import read_posts, read_record
from newsletter.subscribers.model import LeftOut

HAS_IT = frozenset(
    {
        DeliveryState.HANDED_OVER,
        DeliveryState.DELIVERED,
        DeliveryState.BOUNCED,
        DeliveryState.DROPPED,
        DeliveryState.DEFERRED,
    }
)
"""The states of a mail that the provider has taken."""
_MAY_STAND = {
    True: HAS_IT | {DeliveryState.UNCERTAIN},
    False: {DeliveryState.UNCERTAIN, DeliveryState.LEFT_OUT, DeliveryState.REFUSED},
}
"""What may stand in the ledger when nothing happens any more: of whom the provider accepted, and of all others."""

Accepted = Mapping[int, Sequence[str]]
"""The names of the attempts in which the provider accepted a mail to each person, by the person's number."""


@dataclass(frozen=True)
class Evidence:
    """What is on record of one send, when nothing happens by itself any more.

    `expected` are the people who were there when the audience was fixed, and had not left. `left` says who left since,
    with an instant at which that was committed already; `given_up` of whom a person said that they do not get it;
    `sent_again` are the attempts of which a person said that their people get it again. `shown` is how many people the
    list of what is uncertain tells of; `status` is how the events add up, and `told_of` are the attempts of which the
    provider told something that was taken in. `repeats`: through this transport a repeat reaches nobody twice.
    """

    accepted: Accepted
    expected: frozenset[int]
    deliveries: Sequence[Delivery]
    attempts: Sequence[Attempt]
    batches: Sequence[Batch]
    progress: Progress
    shown: int
    status: Reconciliation
    told_of: frozenset[str] = frozenset()
    left: Mapping[int, datetime] = field(default_factory=dict)
    given_up: frozenset[int] = frozenset()
    sent_again: frozenset[str] = frozenset()
    repeats: bool = False

    @property
    def states(self) -> Mapping[int, DeliveryState]:
        """Where each person stands in the ledger."""
        return {row.subscriber: row.state for row in self.deliveries}

    def people_in(self, *states: DeliveryState) -> set[int]:
        """Those of whom the ledger says one of these."""
        return {row.subscriber for row in self.deliveries if row.state in states}


def read_accepted(record: Path, edition: int) -> Accepted:
    """What a double accepted of one edition, from its record alone."""
    found: dict[int, list[str]] = defaultdict(list)
    for entry in read_record(record):
        for mail in entry.people:
            number, who = read_delivery_id(mail["newsletter_delivery"])
            if number == edition:
                found[who].append(mail["newsletter_attempt"])
    return found


def read_told_of(record: Path, posts: Path) -> frozenset[str]:
    """The attempts of which a double told something that was taken in, from its two records alone."""
    told = {post.message_id for post in read_posts(posts) if post.events}
    entries = (entry for entry in read_record(record) if entry.message_id in told)
    return frozenset(mail["newsletter_attempt"] for entry in entries for mail in entry.people)


def twice(evidence: Evidence) -> set[int]:
    """Who has it more than once."""
    return {who for who, attempts in evidence.accepted.items() if len(attempts) > 1}


def lost(evidence: Evidence) -> set[int]:
    """Who should have it, has it not, and is not told of: neither uncertain, nor refused, nor given up by a person."""
    told_of = evidence.people_in(DeliveryState.UNCERTAIN, DeliveryState.REFUSED)
    return set(evidence.expected - evidence.accepted.keys() - evidence.left.keys() - evidence.given_up - told_of)


def broken_promises(evidence: Evidence) -> list[str]:
    """Each promise that was broken, as a sentence; none when all is well."""
    return [
        *_of_people(evidence),
        *_of_leaving(evidence),
        *_of_the_ledger(evidence),
        *_of_sums(evidence),
        *_of_repeats(evidence),
        *_of_events(evidence),
    ]


def _of_people(evidence: Evidence) -> Iterator[str]:
    if found := twice(evidence):
        yield f"mailed twice: {sorted(found)}"
    if found := lost(evidence):
        yield f"forgotten: {sorted(found)}"
    if unknown := evidence.accepted.keys() - evidence.states.keys():
        yield f"mailed and not in the ledger: {sorted(unknown)}"
    on_record = {attempt.id for attempt in evidence.attempts}
    if unheard_of := {attempt for attempts in evidence.accepted.values() for attempt in attempts} - on_record:
        yield f"went before they were on record: {sorted(unheard_of)}"
    if apart := evidence.expected ^ {row.subscriber for row in evidence.deliveries if _belongs(row, evidence)}:
        yield f"in the audience and not in the ledger, or the other way round: {sorted(apart)}"


def _is_in_batch(row: Delivery) -> bool:
    return row.batch > 0


def _belongs(row: Delivery, evidence: Evidence) -> bool:
    # Those whom the audience rule left out have a row too, which says why.
    return _is_in_batch(row) or row.subscriber in evidence.expected


def _of_leaving(evidence: Evidence) -> Iterator[str]:
    began = {attempt.id: attempt.started_at for attempt in evidence.attempts}
    for who, left_at in evidence.left.items():
        # It was on record before it left, and nobody was put on record after they had left.
        tried = [attempt for attempt in evidence.accepted.get(who, ()) if attempt in began]
        if late := [attempt for attempt in tried if began[attempt] > left_at]:
            yield f"{who} was mailed after leaving, in {late}"


def _of_the_ledger(evidence: Evidence) -> Iterator[str]:
    for who, state in sorted(evidence.states.items()):
        if state not in _MAY_STAND[who in evidence.accepted]:
            has_it = "has it" if who in evidence.accepted else "has it not"
            yield f"{who} {has_it} and is recorded as {state}"
    for row in evidence.deliveries:
        if row.state is DeliveryState.LEFT_OUT and not row.reason:
            yield f"{row.subscriber} is left out and nobody knows why"
        if row.reason == LeftOut.NOT_SENT and row.subscriber not in evidence.given_up | evidence.left.keys():
            yield f"{row.subscriber} was given up by nobody"
    for batch in evidence.batches:
        if batch.state not in (BatchState.ACCEPTED, BatchState.UNCERTAIN, BatchState.EMPTY):
            yield f"batch {batch.number} is {batch.state} for ever"
    uncertain = evidence.people_in(DeliveryState.UNCERTAIN)
    if evidence.shown != len(uncertain):
        yield f"{len(uncertain)} are uncertain and {evidence.shown} are shown"
    if evidence.progress.state is not (SendState.RUNNING if uncertain else SendState.FINISHED):
        yield f"the send is {evidence.progress.state} with {len(uncertain)} uncertain"


def _of_sums(evidence: Evidence) -> Iterator[str]:
    counted = Counter(row.state for row in evidence.deliveries)
    progress, status = evidence.progress, evidence.status
    told = {
        "planned": (progress.planned, 0),
        "handed over": (progress.handed_over, sum(counted[state] for state in HAS_IT)),
        "refused": (progress.refused, counted[DeliveryState.REFUSED]),
        "uncertain": (progress.uncertain, counted[DeliveryState.UNCERTAIN]),
        "left out": (sum(progress.left_out.values()), counted[DeliveryState.LEFT_OUT]),
        "in batches": (sum(batch.people for batch in evidence.batches), sum(map(_is_in_batch, evidence.deliveries))),
        "accepted": (status.handed_over, progress.handed_over),
        "delivered": (status.delivered, counted[DeliveryState.DELIVERED]),
        "bounced": (status.bounced, counted[DeliveryState.BOUNCED]),
        "dropped": (status.dropped, counted[DeliveryState.DROPPED]),
        "deferred": (status.deferred, counted[DeliveryState.DEFERRED]),
        "not heard of": (status.not_heard_of, counted[DeliveryState.HANDED_OVER]),
    }
    for what, (said, found) in told.items():
        if said != found:
            yield f"{what}: {said} are told and {found} found"


def _of_repeats(evidence: Evidence) -> Iterator[str]:
    if evidence.repeats:
        return
    by_batch: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in evidence.attempts:
        by_batch[attempt.batch].append(attempt)
    for number, attempts in by_batch.items():
        for attempt in attempts[:-1]:
            if attempt.state is AttemptState.UNCERTAIN and attempt.id not in evidence.sent_again:
                yield f"batch {number} was repeated by itself after {attempt.id} had no answer"


def _of_events(evidence: Evidence) -> Iterator[str]:
    for attempt in evidence.attempts:
        if attempt.id in evidence.told_of and attempt.state is not AttemptState.ACCEPTED:
            yield f"{attempt.id} was told of and is {attempt.state}"
    for who, attempts in evidence.accepted.items():
        state = evidence.states.get(who)
        if state not in HAS_IT and not evidence.told_of.isdisjoint(attempts):
            yield f"{who} was told of and is {state}"
    on_record = {attempt for attempts in evidence.accepted.values() for attempt in attempts}
    proved = {attempt.id for attempt in evidence.attempts if attempt.proved_at}
    if never := proved - on_record:
        yield f"proved by events and never accepted: {sorted(never)}"
