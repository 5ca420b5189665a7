"""Rows about people: who they are, what they agreed to, and which addresses must not be mailed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant, Serial, words
from newsletter.subscribers.model import ConsentAct, ReaderNoticeKind, SubscriberState, SuppressionReason

_UNSENT = text("sent_at IS NULL")


class Subscriber(Base):
    """One person. `address` is as typed, `address_key` the form in which two spellings of it are one.

    `address_hash` is keyed, so that a suppression still holds when the person's address has been erased.
    `joined_at` is when the subscription began to count: the confirmation, or the import. `paused_until` is when a
    pause ends, and is empty for everybody who is not paused.
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
    paused_until: Mapped[datetime | None] = mapped_column(Instant)


class SubscriberTopic(Base):
    """A topic that a person chose; somebody without a row hears about everything."""

    __tablename__ = "subscriber_topic"
    __table_args__ = ({"sqlite_with_rowid": False},)

    subscriber: Mapped[int] = mapped_column(ForeignKey("subscriber.number"), primary_key=True)
    topic: Mapped[str] = mapped_column(Text, primary_key=True)


class ConsentWording(Base):
    """A text that somebody was shown, word for word and once, under the SHA-256 of it."""

    __tablename__ = "consent_wording"

    hash: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    language: Mapped[str] = mapped_column(Text)
    text: Mapped[str] = mapped_column(Text)


class Consent(Base):
    """What a person agreed to, changed or withdrew, and how that is known.

    Rows are only ever added: the database itself refuses to change one, and to delete one of anybody but of people who
    never confirmed their sign-up. `by` is who acted: `subscriber:17`, `staff:3`, `shell`. `tracking` says whether they
    agreed to be tracked, which this product never asks.
    """

    __tablename__ = "consent"

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    subscriber: Mapped[int] = mapped_column(ForeignKey("subscriber.number"), index=True)
    act: Mapped[ConsentAct] = mapped_column(words(ConsentAct))
    at: Mapped[datetime] = mapped_column(Instant)
    by: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)
    method: Mapped[str] = mapped_column(Text)
    wording: Mapped[str | None] = mapped_column(Text)
    wording_hash: Mapped[str | None] = mapped_column(ForeignKey("consent_wording.hash"))
    language: Mapped[str | None] = mapped_column(Text)
    topics: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    controller: Mapped[str] = mapped_column(Text)
    privacy_notice: Mapped[str] = mapped_column(Text)
    age_statement: Mapped[str] = mapped_column(Text)
    given_at: Mapped[datetime | None] = mapped_column(Instant)
    tracking: Mapped[bool]
    details: Mapped[dict[str, str | int] | None] = mapped_column(JSON(none_as_null=True))


class ConsentTrace(Base):
    """Where the request of an act of consent came from; deleted after weeks."""

    __tablename__ = "consent_trace"

    consent: Mapped[int] = mapped_column(ForeignKey("consent.number", ondelete="CASCADE"), primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant, index=True)
    ip: Mapped[str] = mapped_column(Text)
    user_agent: Mapped[str] = mapped_column(Text)


class SignUp(Base):
    """Somebody asked for the newsletter with an address, and a link was mailed to it; what they chose waits here.

    It never changes until it is confirmed, once. `source` is the page that was used.
    """

    __tablename__ = "sign_up"
    # Their numbers stand in links and must never come again.
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    subscriber: Mapped[int] = mapped_column(ForeignKey("subscriber.number"), index=True)
    asked_at: Mapped[datetime] = mapped_column(Instant)
    expires_at: Mapped[datetime] = mapped_column(Instant, index=True)
    confirmed_at: Mapped[datetime | None] = mapped_column(Instant)
    language: Mapped[str] = mapped_column(Text)
    topics: Mapped[list[str]] = mapped_column(JSON)
    text_only: Mapped[bool]
    wording_hash: Mapped[str] = mapped_column(ForeignKey("consent_wording.hash"))
    source: Mapped[str] = mapped_column(Text)
    controller: Mapped[str] = mapped_column(Text)
    privacy_notice: Mapped[str] = mapped_column(Text)
    age_statement: Mapped[str] = mapped_column(Text)


class ReaderNotice(Base):
    """A mail of a reader's own that is wanted; its links are made as it is mailed, so that nothing secret lies here.

    `cause` lets each be wanted once, whoever asks at the same time. `mailbox_hash` is the same for all spellings that
    reach one mailbox, `domain_hash` for its domain: both are keyed, and are what limits count by. `sent_at` is set
    before the mail is handed over, and taken back when it was certainly not accepted; `trouble` says why.
    """

    __tablename__ = "reader_notice"
    __table_args__ = (
        Index("ix_reader_notice_mailbox_hash", "mailbox_hash", "wanted_at"),
        Index("ix_reader_notice_domain_hash", "domain_hash", "wanted_at"),
        Index("ix_reader_notice_waiting", "not_before", sqlite_where=_UNSENT, postgresql_where=_UNSENT),
    )

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    cause: Mapped[str] = mapped_column(Text, unique=True)
    subscriber: Mapped[int] = mapped_column(ForeignKey("subscriber.number"), index=True)
    kind: Mapped[ReaderNoticeKind] = mapped_column(words(ReaderNoticeKind))
    sign_up: Mapped[int | None] = mapped_column(ForeignKey("sign_up.number"), index=True)
    language: Mapped[str] = mapped_column(Text)
    mailbox_hash: Mapped[str] = mapped_column(Text)
    domain_hash: Mapped[str] = mapped_column(Text)
    wanted_at: Mapped[datetime] = mapped_column(Instant, index=True)
    not_before: Mapped[datetime] = mapped_column(Instant)
    sent_at: Mapped[datetime | None] = mapped_column(Instant)
    tries: Mapped[int] = mapped_column(default=0)
    trouble: Mapped[str] = mapped_column(Text, default="")


class Suppression(Base):
    """An address that must not be mailed, kept as its keyed hash alone."""

    __tablename__ = "suppression"

    address_hash: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[SuppressionReason] = mapped_column(words(SuppressionReason))
    source: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)
