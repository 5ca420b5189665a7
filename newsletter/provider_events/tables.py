"""Rows of what the provider posted: the posts as they came, and the events in them that are worth a row."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant, Serial, words
from newsletter.provider_events.model import PostState
from newsletter.providers.contract import EventKind


class ReceivedPost(Base):
    """One post to the webhook whose signature was right.

    `body` is its bytes while it waits, and nothing from then on: they hold addresses. `events` counts what was applied,
    `foreign` what is about mail of others, `unreadable` what no event could be made of, `unread` opens and clicks.
    """

    __tablename__ = "received_post"
    __table_args__ = (Index("ix_received_post_state_number", "state", "number"),)

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    received_at: Mapped[datetime] = mapped_column(Instant, index=True)
    state: Mapped[PostState] = mapped_column(words(PostState))
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    problem: Mapped[str] = mapped_column(Text, default="")
    applied_at: Mapped[datetime | None] = mapped_column(Instant)
    events: Mapped[int] = mapped_column(default=0)
    foreign: Mapped[int] = mapped_column(default=0)
    unreadable: Mapped[int] = mapped_column(default=0)
    unread: Mapped[int] = mapped_column(default=0)


class KeptEvent(Base):
    """A provider event that tells more than a delivery can hold; no address is in it.

    The fingerprint is the same however often and under whatever number the provider repeats the event. `edition` is
    empty while nobody knows which mail it is about, `subscriber` when nobody here has the address. `attempt` is the
    name that went with the mail, of an attempt or of a notice.
    """

    __tablename__ = "provider_event"
    __table_args__ = (
        Index("ix_provider_event_subscriber_at", "subscriber", "at"),
        Index("ix_provider_event_edition_kind", "edition", "kind"),
        Index("ix_provider_event_kind_at", "kind", "at"),
        {"sqlite_with_rowid": False},
    )

    fingerprint: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[EventKind] = mapped_column(words(EventKind))
    at: Mapped[datetime] = mapped_column(Instant)
    edition: Mapped[int | None] = mapped_column(Serial)
    subscriber: Mapped[int | None] = mapped_column(Serial)
    attempt: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    classification: Mapped[str] = mapped_column(Text)
