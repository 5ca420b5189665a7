"""What a transport takes and answers: the border between a send and whoever carries it.

A transport decides what its provider's answer means, and nobody else does. It tries once: no retries, no redirects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from newsletter.mail import Mailbox


class Outcome(StrEnum):
    """What became of a batch, or of one person's mail in it."""

    ACCEPTED = "accepted"
    """The provider has it and answers for it from now on."""
    TRY_AGAIN = "try again"
    """It was certainly not accepted, and may be later: no connection, asked to slow down."""
    REJECTED = "rejected"
    """It was certainly not accepted, and never will be as it is."""
    TOO_LARGE = "too large"
    """It was certainly not accepted; in smaller batches it would be."""
    UNCERTAIN = "uncertain"
    """It was handed over and no clear answer came; it may or may not have been accepted."""
    ACCOUNT_TROUBLE = "account trouble"
    """The provider refuses the account: a bad key, no credit. Nothing was accepted; a person must act."""


class PersonalMail(NamedTuple):
    """What is one person's own in a batch; a tuple, because a frozen dataclass takes three times as long to make.

    `delivery` names the delivery for ever and is opaque; `substitutions` map a tag to what stands in its place, by
    plain string replacement in HTML and text; `headers` are literal; `custom_args` come back with provider events.
    """

    delivery: str
    recipient: Mailbox
    substitutions: Mapping[str, str]
    headers: Mapping[str, str]
    custom_args: Mapping[str, str]


@dataclass(frozen=True)
class OutgoingBatch:
    """One request to a provider: one mail for everybody, and what is each person's own.

    `html` is None when the batch is of the text-only variant. `attempt` names this try and is opaque. `date` is an
    instant in UTC, the same for every try of a batch, so that a repeat gives the same bytes. `to_who_left` is for a
    mail that people have just asked for themselves: having left before does not keep it from them.
    """

    attempt: str
    sender: Mailbox
    reply_to: Mailbox
    subject: str
    html: str | None
    text: str
    date: datetime
    people: tuple[PersonalMail, ...]
    to_who_left: bool = False


@dataclass(frozen=True)
class PersonalReceipt:
    """What became of one person's mail, where it differs from the batch: accepted, try again, rejected, uncertain.

    TRY_AGAIN is about this person alone, such as a mailbox that is full or asks to come back later.
    """

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Receipt:
    """The answer to a batch. `reason` is for staff; `reference` is the provider's own name for what it accepted.

    `not_before` is the earliest instant for the next request, also when this one was accepted. `people` has, by
    delivery, those whose answer is another one: with ACCEPTED some may be rejected, uncertain or to be tried again;
    with REJECTED or TRY_AGAIN, those who are named REJECTED caused it, and the rest may go without them. Who answers
    for each person may be cut off in the middle: with TRY_AGAIN or ACCOUNT_TROUBLE some may be accepted or uncertain.
    """

    outcome: Outcome
    reason: str = ""
    reference: str = ""
    not_before: datetime | None = None
    people: Mapping[str, PersonalReceipt] = field(default_factory=dict)


class Transport(Protocol):
    """Carries a batch. Everything that can go wrong is a Receipt; whatever it raises counts as uncertain."""

    @property
    def name(self) -> str:
        """What staff call it: mailbox, sendgrid, smtp."""
        ...

    @property
    def batch_limit(self) -> int:
        """How many people one batch may have."""
        ...

    @property
    def idempotent(self) -> bool:
        """Whether handing over a delivery twice is the same as once, so that an uncertain batch may be repeated."""
        ...

    @property
    def paced(self) -> bool:
        """Whether it wants its requests spread over time, as the clinic's rate says."""
        ...

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Hand over a batch, once, within 30 seconds."""
        ...


class EventKind(StrEnum):
    """What a provider tells of a mail, a person or the account after it has accepted a batch."""

    PROCESSED = "processed"
    """The provider has taken the mail into its own queue."""
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    """The mailbox provider asked to wait; it is tried again."""
    HARD_BOUNCE = "hard bounce"
    """The address cannot be reached, now or later."""
    SOFT_BOUNCE = "soft bounce"
    """This mail came back; the next one may arrive."""
    DROPPED = "dropped"
    """The provider did not even try."""
    COMPLAINT = "complaint"
    """The reader said that it is spam."""
    LEFT = "left"
    LEFT_GROUP = "left group"
    JOINED_GROUP = "joined group"
    ACCOUNT = "account"
    """About the account, not about a mail."""
    OTHER = "other"
    """A name that this version does not know."""


class DropCause(StrEnum):
    """What a dropped mail tells of its address."""

    BOUNCED = "bounced"
    COMPLAINED = "complained"
    INVALID = "invalid"
    LEFT = "left"
    OTHER = "other"
    """Nothing: it was about the mail or the account."""


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """One thing that a provider tells, in our words; what it did not say is empty.

    `delivery` and `attempt` are the names that went out with the mail of an edition, `notice` that of a notice;
    `reference` is the provider's name for the batch.
    `at` is when it happened, in UTC. `reason`, `status` and `classification` are the provider's words and may hold an
    address. `apart` tells it from another of the same kind about the same mail at the same second.
    """

    kind: EventKind
    at: datetime
    delivery: str
    attempt: str
    address: str
    reference: str = ""
    reason: str = ""
    status: str = ""
    classification: str = ""
    cause: DropCause | None = None
    apart: str = ""
    notice: str = ""
