"""Rows about people: who they are, what they agreed to, and which addresses must not be mailed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant, Serial, words
from newsletter.subscribers.model import SubscriberState, SuppressionReason


class Subscriber(Base):
    """One person. `address` is as typed, `address_key` the form in which two spellings of it are one.

    `address_hash` is keyed, so that a suppression still holds when the person's address has been erased.
    `joined_at` is when the subscription began to count: the confirmation, or the import.
    """

    __tablename__ = "subscriber"
    # Sign-ups that nobody confirmed are deleted; their numbers stand in links and must never come again.
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    state: Mapped[SubscriberState] = mapped_column(words(SubscriberState))
    address: Mapped[str | None] = mapped_column(Text)
    address_key: Mapped[str | None] = mapped_column(Text, unique=True)
    address_hash: Mapped[str | None] = mapped_column(Text, index=True)
    language: Mapped[str] = mapped_column(Text)
    text_only: Mapped[bool] = mapped_column(default=False)
    added_at: Mapped[datetime] = mapped_column(Instant)
    joined_at: Mapped[datetime | None] = mapped_column(Instant)


class SubscriberTopic(Base):
    """A topic that a person chose; somebody without a row hears about everything."""

    __tablename__ = "subscriber_topic"
    __table_args__ = ({"sqlite_with_rowid": False},)

    subscriber: Mapped[int] = mapped_column(ForeignKey("subscriber.number"), primary_key=True)
    topic: Mapped[str] = mapped_column(Text, primary_key=True)


class Consent(Base):
    """What a person agreed to or withdrew, and how that is known. Rows are only ever added.

    `act` is asked, confirmed, imported or withdrawn; `wording` is the number of the text that was shown: `0001.en`.
    """

    __tablename__ = "consent"

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    subscriber: Mapped[int] = mapped_column(ForeignKey("subscriber.number"), index=True)
    act: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    wording: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)


class Suppression(Base):
    """An address that must not be mailed, kept as its keyed hash alone."""

    __tablename__ = "suppression"

    address_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[SuppressionReason] = mapped_column(words(SuppressionReason))
    source: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)
