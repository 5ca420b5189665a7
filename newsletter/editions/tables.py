"""Rows of editions, their approvals and their pictures. From `submit` on these are the truth, not the files."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text, true
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant, Serial, words
from newsletter.editions.model import OPEN, EditionState

_IS_OPEN = text("state IN ({})".format(", ".join(f"'{state.value}'" for state in sorted(OPEN))))

_NOTHING = text("''")


class Edition(Base):
    """One edition: `id` is how people call it, `serial` how rows do. What `content_hash` covers never changes.

    `planned_at` is the time the campaign named, `send_at` the time it is scheduled for; `note` says why it is
    where it is, when somebody or a rule had a reason. `approved_at` is when the last approval that was needed came.
    `in_archive` says whether everybody may read it once it has gone out.
    """

    __tablename__ = "edition"
    __table_args__ = (
        UniqueConstraint("month", "mailing", "number"),
        # However many people press a button at once, a mailing has one edition that may still go out. Not its folder
        # but its month says which mailing it is: a folder may be renamed, and links name the month.
        Index(
            "ix_edition_one_open",
            "month",
            "mailing",
            unique=True,
            sqlite_where=_IS_OPEN,
            postgresql_where=_IS_OPEN,
        ),
        Index("ix_edition_state_send_at", "state", "send_at"),
    )

    serial: Mapped[int] = mapped_column(Serial, primary_key=True)
    id: Mapped[str] = mapped_column(Text, unique=True)
    campaign: Mapped[str] = mapped_column(Text)
    month: Mapped[str] = mapped_column(Text)
    mailing: Mapped[str] = mapped_column(Text)
    number: Mapped[int]
    state: Mapped[EditionState] = mapped_column(words(EditionState))
    note: Mapped[str] = mapped_column(Text, default="")
    content_hash: Mapped[str] = mapped_column(Text)
    sender_name: Mapped[str] = mapped_column(Text)
    sender_address: Mapped[str] = mapped_column(Text)
    reply_to: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    preheader: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text, deferred=True)
    text: Mapped[str] = mapped_column(Text, deferred=True)
    language: Mapped[str] = mapped_column(Text)
    audience: Mapped[str] = mapped_column(Text)
    base_url: Mapped[str] = mapped_column(Text)
    theme: Mapped[str] = mapped_column(Text, server_default=_NOTHING)
    in_archive: Mapped[bool] = mapped_column(server_default=true())
    planned_at: Mapped[datetime] = mapped_column(Instant)
    send_at: Mapped[datetime | None] = mapped_column(Instant)
    submitted_by: Mapped[int] = mapped_column(ForeignKey("staff_member.number"))
    submitted_at: Mapped[datetime] = mapped_column(Instant)
    approved_at: Mapped[datetime | None] = mapped_column(Instant)
    approved_until: Mapped[datetime | None] = mapped_column(Instant)


class EditionAuthor(Base):
    """Somebody who had a hand in an edition since the last approved one, and so may not approve it."""

    __tablename__ = "edition_author"

    edition: Mapped[int] = mapped_column(ForeignKey("edition.serial"), primary_key=True)
    person: Mapped[int] = mapped_column(ForeignKey("staff_member.number"), primary_key=True)


class Approval(Base):
    """One person's approval of one content."""

    __tablename__ = "approval"

    edition: Mapped[int] = mapped_column(ForeignKey("edition.serial"), primary_key=True)
    person: Mapped[int] = mapped_column(ForeignKey("staff_member.number"), primary_key=True)
    content_hash: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)


class Picture(Base):
    """A picture's bytes under their hash, stored once however many editions show it."""

    __tablename__ = "picture"

    sha256: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(Text)
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    width: Mapped[int]
    height: Mapped[int]


class EditionPicture(Base):
    """A picture that an edition shows, by the file name in its HTML."""

    __tablename__ = "edition_picture"

    edition: Mapped[int] = mapped_column(ForeignKey("edition.serial"), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("picture.sha256"))
