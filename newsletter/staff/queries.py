"""Questions about staff; nothing is changed here."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.errors import NotFound
from newsletter.staff.model import Person
from newsletter.staff.roles import MAY, Act, Role
from newsletter.staff.tables import StaffMember, StaffRole


def find_person(session: Session, email: str) -> Person | None:
    """The member of staff with an address."""
    row = session.scalar(select(StaffMember).where(StaffMember.email == email.strip().lower()))
    return _person(row) if row else None


def get_person(session: Session, email: str) -> Person:
    """The member of staff with an address; raises NotFound with what to do."""
    person = find_person(session, email)
    if person is None:
        raise NotFound(f"{email} is not a member of staff. See who is: newsletter staff list")
    return person


def list_people(session: Session) -> list[Person]:
    """All members of staff, in the order in which they were added."""
    return [_person(row) for row in session.scalars(select(StaffMember).order_by(StaffMember.number))]


def list_who_may(session: Session, act: Act) -> list[Person]:
    """The members of staff whose roles let them do something, in the order in which they were added."""
    return [person for person in list_people(session) if not person.roles.isdisjoint(MAY[act])]


def count_with_role(session: Session, role: Role) -> int:
    """How many people have a role."""
    return session.scalar(select(func.count()).select_from(StaffRole).where(StaffRole.role == role)) or 0


def _person(row: StaffMember) -> Person:
    return Person(row.number, row.email, row.name, frozenset(role.role for role in row.roles))
