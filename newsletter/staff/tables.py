"""Rows about staff."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from newsletter.database.base import Base, Instant, Serial, words
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
