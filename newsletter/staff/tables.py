"""Rows about staff."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter.database.base import Base, Instant, Serial, words
from newsletter.staff.model import NoticeKind
from newsletter.staff.roles import Role


class StaffMember(Base):
    """A member of staff; `email` is in lower case."""

    __tablename__ = "staff_member"

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    email: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    added_at: Mapped[datetime] = mapped_column(Instant)
    roles: Mapped[list[StaffRole]] = relationship(lazy="selectin", order_by="StaffRole.role")


class StaffRole(Base):
    """A role that a member of staff has."""

    __tablename__ = "staff_role"

    person: Mapped[int] = mapped_column(ForeignKey("staff_member.number"), primary_key=True)
    role: Mapped[Role] = mapped_column(words(Role), primary_key=True)


class Notice(Base):
    """Something that staff are told by mail, once for each `cause`; wanted in the transaction of what it tells.

    `edition` is the one that it is about, or empty. It holds ids and reasons, and nothing about readers. `sent_at` is
    set before it is handed over, and taken back when it was certainly not accepted; `trouble` says why.
    """

    __tablename__ = "notice"

    number: Mapped[int] = mapped_column(Serial, primary_key=True)
    cause: Mapped[str] = mapped_column(Text, unique=True)
    kind: Mapped[NoticeKind] = mapped_column(words(NoticeKind))
    edition: Mapped[str] = mapped_column(Text, index=True)
    reason: Mapped[str] = mapped_column(Text)
    attempts: Mapped[list[str]] = mapped_column(JSON)
    wanted_at: Mapped[datetime] = mapped_column(Instant)
    not_before: Mapped[datetime] = mapped_column(Instant)
    sent_at: Mapped[datetime | None] = mapped_column(Instant)
    tries: Mapped[int] = mapped_column(default=0)
    trouble: Mapped[str] = mapped_column(Text, default="")
