"""Rows of sends: the record of what was sent, and the only one."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant, Serial, is_one_of, words
from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, SendState, Variant


class Send(Base):
    """One edition going out; its key is the edition's, so an edition can never have two.

    `audience_at` and `highest_subscriber` fix the audience before planning begins; `planned_up_to` and `next_batch`
    are how far planning is; `content_hash` is the approved one. `failing` counts failing attempts in a row. `asked_at`
    is when a person last said that it goes on.
    """

    __tablename__ = "send"

    edition: Mapped[int] = mapped_column(ForeignKey("edition.serial"), primary_key=True, autoincrement=False)
    state: Mapped[SendState] = mapped_column(words(SendState), index=True)
    note: Mapped[str] = mapped_column(Text, default="")
    content_hash: Mapped[str] = mapped_column(Text)
    transport: Mapped[str] = mapped_column(Text)
    batch_limit: Mapped[int]
    audience_at: Mapped[datetime] = mapped_column(Instant)
    highest_subscriber: Mapped[int] = mapped_column(Serial)
    planned_up_to: Mapped[int] = mapped_column(Serial, default=0)
    next_batch: Mapped[int] = mapped_column(default=1)
    wait_until: Mapped[datetime | None] = mapped_column(Instant)
    paused_at: Mapped[datetime | None] = mapped_column(Instant)
    asked_at: Mapped[datetime | None] = mapped_column(Instant)
    failing: Mapped[int] = mapped_column(default=0)
    opened_at: Mapped[datetime] = mapped_column(Instant)
    finished_at: Mapped[datetime | None] = mapped_column(Instant)


class Batch(Base):
    """Some people of a send, all of one variant, in one request to the provider.

    `people` is how many it has; the four counters say what became of them, the rest is still planned. `fence` grows
    with each claim; `failures` counts its failing attempts. `attempt` is the newest one. `deferrals` counts how often
    its people were to be tried again for reasons of their own. `cut_after` is the last attempt of another batch that
    everybody in it was in, before they were cut off from there.
    """

    __tablename__ = "batch"
    __table_args__ = (Index("ix_batch_edition_state", "edition", "state"),)

    edition: Mapped[int] = mapped_column(ForeignKey("send.edition"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    variant: Mapped[Variant] = mapped_column(words(Variant))
    state: Mapped[BatchState] = mapped_column(words(BatchState))
    people: Mapped[int]
    handed_over: Mapped[int] = mapped_column(default=0)
    refused: Mapped[int] = mapped_column(default=0)
    left_out: Mapped[int] = mapped_column(default=0)
    uncertain: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str] = mapped_column(Text, default="")
    lease_until: Mapped[datetime | None] = mapped_column(Instant)
    not_before: Mapped[datetime | None] = mapped_column(Instant)
    failures: Mapped[int] = mapped_column(default=0)
    deferrals: Mapped[int] = mapped_column(default=0, server_default="0")
    attempt: Mapped[str | None] = mapped_column(Text)
    cut_after: Mapped[str | None] = mapped_column(Text)


class Attempt(Base):
    """One try of a batch, written before the provider is called. `answer` is what the provider said, for staff.

    Who is in it: the people of its batch who were planned when it was written; those dropped in the same commit are
    left out by then. `proved_at` is when a provider event showed that it was accepted, while no answer had said so.
    """

    __tablename__ = "attempt"
    __table_args__ = (
        ForeignKeyConstraint(["edition", "batch"], ["batch.edition", "batch.number"]),
        Index("ix_attempt_edition_batch", "edition", "batch"),
        Index("ix_attempt_state_started_at", "state", "started_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    edition: Mapped[int] = mapped_column(Serial)
    batch: Mapped[int]
    fence: Mapped[int]
    worker: Mapped[str] = mapped_column(Text)
    state: Mapped[AttemptState] = mapped_column(words(AttemptState))
    people: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(Instant)
    answered_at: Mapped[datetime | None] = mapped_column(Instant)
    answer: Mapped[str] = mapped_column(Text, default="")
    reference: Mapped[str] = mapped_column(Text, default="")
    proved_at: Mapped[datetime | None] = mapped_column(Instant)


class Delivery(Base):
    """One edition to one person: the key makes a second row impossible, whatever goes wrong elsewhere.

    `batch` is 0 for those left out when the audience was fixed. `attempt` is the one that settled it, or made it
    uncertain. `event_at` is when the provider event happened that the state follows. There are no foreign keys here: a
    million rows are planned in seconds, and rows of people and editions are never deleted.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        is_one_of("state", DeliveryState),
        Index("ix_delivery_edition_batch", "edition", "batch"),
        # Few have a reason, and how far a send is asks for theirs alone: 157 ms without it at a million deliveries.
        Index(
            "ix_delivery_edition_state_reason",
            "edition",
            "state",
            "reason",
            sqlite_where=text("reason IS NOT NULL"),
            postgresql_where=text("reason IS NOT NULL"),
        ),
        # Fewer still are uncertain, and what staff must decide about them was 86 ms without it.
        Index(
            "ix_delivery_edition_attempt",
            "edition",
            "attempt",
            sqlite_where=text("state = 'uncertain'"),
            postgresql_where=text("state = 'uncertain'"),
        ),
        {"sqlite_with_rowid": False},
    )

    edition: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=False)
    subscriber: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=False)
    batch: Mapped[int]
    state: Mapped[DeliveryState] = mapped_column(words(DeliveryState, checked=False))
    reason: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[str | None] = mapped_column(Text)
    event_at: Mapped[datetime | None] = mapped_column(Instant)


class Pace(Base):
    """How far the requests of one provider account are booked, and until when it is closed to all of them.

    In microseconds since 1970 in UTC: numbers and not instants, because both databases reckon with them alike.
    """

    __tablename__ = "pace"

    account: Mapped[str] = mapped_column(Text, primary_key=True)
    busy_until: Mapped[int] = mapped_column(BigInteger)
    closed_until: Mapped[int] = mapped_column(BigInteger)
