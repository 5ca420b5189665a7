"""A send as values: the states of a send, its batches, their attempts and each delivery, and how far it is."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from newsletter.editions.model import Content
from newsletter.errors import Refused
from newsletter.subscribers.model import LeftOut


class SendState(StrEnum):
    """Where a send stands."""

    PLANNING = "planning"
    """Finding out who gets it; nothing goes out yet."""
    WAITING = "waiting"
    """Sent by hand a moment ago; it can still be undone."""
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"


class BatchState(StrEnum):
    """Where a batch stands."""

    PLANNED = "planned"
    CLAIMED = "claimed"
    """A worker builds it; when the worker dies, it is planned again."""
    IN_FLIGHT = "in flight"
    """Handed to the transport; when the worker dies now, nobody knows."""
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    """Not sent, and it will not be until a person has mended something and resumes."""
    UNCERTAIN = "uncertain"
    EMPTY = "empty"
    """Nobody is left in it: everybody left before it went, or went into other batches."""


class AttemptState(StrEnum):
    """What became of one try of a batch."""

    IN_FLIGHT = "in flight"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_SENT = "not sent"
    """Certainly not accepted; the batch may be tried again."""
    UNCERTAIN = "uncertain"


class DeliveryState(StrEnum):
    """Where one edition to one person stands."""

    PLANNED = "planned"
    LEFT_OUT = "left out"
    REFUSED = "refused"
    """The provider will not take this one person's mail."""
    HANDED_OVER = "handed over"
    UNCERTAIN = "uncertain"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    DROPPED = "dropped"
    DEFERRED = "deferred"


class Variant(StrEnum):
    """Which form of the mail a batch is of."""

    HTML = "html"
    TEXT = "text"


_SEND, _BATCH, _DELIVERY = SendState, BatchState, DeliveryState

SEND_MOVES: Mapping[SendState, frozenset[SendState]] = {
    _SEND.PLANNING: frozenset({_SEND.WAITING, _SEND.RUNNING, _SEND.STOPPED}),
    _SEND.WAITING: frozenset({_SEND.RUNNING, _SEND.STOPPED}),
    _SEND.RUNNING: frozenset({_SEND.PAUSED, _SEND.STOPPED, _SEND.FINISHED}),
    _SEND.PAUSED: frozenset({_SEND.RUNNING, _SEND.STOPPED}),
    _SEND.STOPPED: frozenset(),
    _SEND.FINISHED: frozenset(),
}

BATCH_MOVES: Mapping[BatchState, frozenset[BatchState]] = {
    # What was thought not to be sent may turn out to be accepted: a worker that everybody took for dead answers.
    _BATCH.PLANNED: frozenset({_BATCH.CLAIMED, _BATCH.EMPTY, _BATCH.ACCEPTED, _BATCH.UNCERTAIN}),
    _BATCH.CLAIMED: frozenset({_BATCH.IN_FLIGHT, _BATCH.PLANNED, _BATCH.EMPTY, _BATCH.ACCEPTED, _BATCH.UNCERTAIN}),
    _BATCH.IN_FLIGHT: frozenset({_BATCH.ACCEPTED, _BATCH.REJECTED, _BATCH.UNCERTAIN, _BATCH.PLANNED, _BATCH.EMPTY}),
    _BATCH.ACCEPTED: frozenset(),
    _BATCH.REJECTED: frozenset({_BATCH.PLANNED, _BATCH.EMPTY, _BATCH.ACCEPTED, _BATCH.UNCERTAIN}),
    # An event, a person or the late answer of its own worker settles it; nothing else does. Only a person may say that
    # it goes out again, or that worker, when it knows that nothing was accepted.
    _BATCH.UNCERTAIN: frozenset({_BATCH.ACCEPTED, _BATCH.REJECTED, _BATCH.PLANNED, _BATCH.EMPTY}),
    _BATCH.EMPTY: frozenset({_BATCH.ACCEPTED}),
}

BEFORE_RUNNING = (_SEND.PLANNING, _SEND.WAITING)
"""The states of a send of which nothing has gone yet."""

EVENT_ORDER = (_DELIVERY.DEFERRED, _DELIVERY.DROPPED, _DELIVERY.DELIVERED, _DELIVERY.BOUNCED)
"""The states that provider events lead to; a later one in this row is never left for an earlier one.

Events come in any order, so the order of their states decides and not that of their coming. A mailbox may take a mail
and return it later; who was dropped once and delivered another time has it.
"""

_CAME_BACK = frozenset(EVENT_ORDER)
_PROVED = frozenset({_DELIVERY.HANDED_OVER})
DELIVERY_MOVES: Mapping[DeliveryState, frozenset[DeliveryState]] = {
    _DELIVERY.PLANNED: frozenset({_DELIVERY.LEFT_OUT, _DELIVERY.REFUSED, _DELIVERY.HANDED_OVER, _DELIVERY.UNCERTAIN}),
    # Whatever was thought or said of a mail: an event of the provider proves that it went.
    _DELIVERY.LEFT_OUT: _PROVED,
    _DELIVERY.REFUSED: _PROVED,
    _DELIVERY.UNCERTAIN: frozenset(
        {_DELIVERY.HANDED_OVER, _DELIVERY.PLANNED, _DELIVERY.LEFT_OUT, _DELIVERY.REFUSED},
    ),
    _DELIVERY.HANDED_OVER: _CAME_BACK,
    **{state: frozenset(EVENT_ORDER[place + 1 :]) for place, state in enumerate(EVENT_ORDER)},
}


class LostClaim(Refused):
    """A batch is no longer this worker's: its lease ran out, or the send was paused or stopped. Nothing was sent."""


class ContentChanged(Refused):
    """What is stored is not what was approved; nothing of it is sent any more."""


@dataclass(frozen=True)
class Claim:
    """A batch that one worker may build; `fence` tells its claim from every other of the same batch.

    `opened_at` is when its send was opened, `base_url` what the links of its edition begin with. `attempt` is the name
    that its attempt will have, so that it can stand in the request from the start.
    """

    edition: int
    batch: int
    fence: int
    variant: Variant
    opened_at: datetime
    base_url: str
    attempt: str


@dataclass(frozen=True)
class Flight:
    """A batch that was committed as in flight, as its attempt, and how many people are in it."""

    claim: Claim
    people: int

    @property
    def attempt(self) -> str:
        """The name of the attempt."""
        return self.claim.attempt


@dataclass(frozen=True)
class TakeOff(Flight):
    """A flight that begins: who was dropped from the batch in its commit, and what was on record for it to carry."""

    dropped: frozenset[int]
    content: Content


@dataclass(frozen=True)
class Rate:
    """How fast requests may go: so many a second, after a rest so many at once. Raises ValueError unless both are."""

    requests_per_second: float
    burst: int = 1

    def __post_init__(self) -> None:
        if self.requests_per_second <= 0 or self.burst < 1:
            raise ValueError("A rate is more than 0 requests a second, and a burst at least one request.")

    @property
    def interval(self) -> timedelta:
        """The time between two requests."""
        return timedelta(seconds=1 / self.requests_per_second)

    @property
    def head_start(self) -> timedelta:
        """How far ahead of their even spacing requests may go."""
        return self.interval * (self.burst - 1)


@dataclass(frozen=True)
class Slot:
    """When the next request may go, as an instant; it is only this worker's when it is `reserved`."""

    at: datetime
    reserved: bool


@dataclass(frozen=True)
class DailyLimit:
    """How many people get a mail on one day of the clinic's clock, over all sends of a transport."""

    people: int
    zone: ZoneInfo

    def begin_of_day(self, now: datetime) -> datetime:
        """The midnight with which today began."""
        return datetime.combine(now.astimezone(self.zone).date(), time(), self.zone)

    def next_day(self, opened_at: datetime, now: datetime) -> datetime:
        """When a send goes on: tomorrow, at the time of day at which it was opened, in UTC."""
        tomorrow = now.astimezone(self.zone).date() + timedelta(days=1)
        return datetime.combine(tomorrow, opened_at.astimezone(self.zone).time(), self.zone).astimezone(UTC)


@dataclass(frozen=True)
class Limits:
    """How fast and how far sends go by themselves, as the clinic set it.

    No `rate`: as fast as it goes. No `daily`: as many people as there are. `brake` is the number of failing attempts in
    a row after which a send is paused.
    """

    rate: Rate | None = None
    daily: DailyLimit | None = None
    brake: int = 5


@dataclass(frozen=True)
class Cut:
    """What a batch was cut from: another batch, after the try of it that had this fence."""

    batch: int
    fence: int


def was_in(cuts: Mapping[int, Cut], number: int, batch: int, fence: int) -> bool:
    """Whether everybody in a batch was in that try of a batch that it was cut from, at once or by way of others.

    Whoever is cut off was in all tries of their batch so far, since nobody comes into a batch that was tried.
    """
    while cut := cuts.get(number):
        if cut.batch == batch:
            return cut.fence >= fence
        number = cut.batch
    return False


class Verdict(StrEnum):
    """What a named person says of an uncertain batch."""

    SENT = "sent"
    NOT_SENT = "not sent"
    SEND_AGAIN = "send again"


@dataclass(frozen=True)
class Progress:
    """How far a send is, in people; `left_out` has those left out at planning and since, by reason.

    `batches` counts batches by state; `note` says why it is paused. Until `wait_until` nobody has it and it can be
    undone.
    """

    edition: str
    state: SendState
    note: str
    planned: int
    handed_over: int
    refused: int
    uncertain: int
    left_out: Mapping[LeftOut, int]
    batches: Mapping[BatchState, int]
    opened_at: datetime
    finished_at: datetime | None
    wait_until: datetime | None


@dataclass(frozen=True)
class GoingSend:
    """A running send of which something may go: with what it began, and when it last went or was told to go."""

    edition: str
    transport: str
    base_url: str
    last_moved: datetime


@dataclass(frozen=True)
class PersonInSend:
    """What became of the mail of one person, by their number; `reason` says why they were left out or refused."""

    subscriber: int
    address: str | None
    state: DeliveryState
    reason: str


def new_attempt_id() -> str:
    """A name for an attempt, as a provider sees it: opaque, and never given again."""
    return "na" + secrets.token_hex(12)


def delivery_id(edition: int, subscriber: int) -> str:
    """The name of a delivery outside of the database: opaque, the same for ever, no part of it an address."""
    return f"nd{edition}x{subscriber}"


def read_delivery_id(name: str) -> tuple[int, int]:
    """Edition and subscriber of a name that `delivery_id` gave; raises ValueError for any other text."""
    edition, found, subscriber = name.removeprefix("nd").partition("x")
    if not (name.startswith("nd") and found and edition.isdecimal() and subscriber.isdecimal()):
        raise ValueError(f"`{name}` names no delivery of ours.")
    return int(edition), int(subscriber)
