"""The only writers of staff."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record
from newsletter.database.base import insert_or_skip
from newsletter.errors import Refused
from newsletter.staff.model import Person, require
from newsletter.staff.queries import count_with_role, find_person, get_person
from newsletter.staff.roles import Act, Role
from newsletter.staff.tables import StaffMember, StaffRole
from newsletter.subscribers.address import check_address


def add_person(
    session: Session,
    email: str,
    *,
    name: str,
    roles: Collection[Role],
    by: Person | None,
    actor: Actor,
    now: datetime,
) -> Person:
    """Add a member of staff, or give one more roles; raises Refused when `by` may not.

    `by` may be None for somebody at the server's shell while there is no administrator yet.
    """
    address = check_address(email).lower()
    if not roles:
        raise Refused(f"Give {address} at least one role: --role {' | '.join(Role)}")
    if by is not None:
        require(by, Act.PEOPLE)
    elif count_with_role(session, Role.ADMINISTRATOR):
        raise Refused("There is an administrator, who alone may add staff: add --as with their address.")
    elif Role.ADMINISTRATOR not in roles:
        raise Refused("The first member of staff must be an administrator: add --role administrator")
    there = find_person(session, address)
    if there is None:
        session.add(StaffMember(email=address, name=name.strip() or address.partition("@")[0], added_at=now))
        session.flush()
        there = get_person(session, address)
    new = sorted(set(roles) - there.roles)
    if not new:
        raise Refused(f"{address} is here already with that role; nothing was changed.")
    for role in new:
        session.execute(insert_or_skip(session, StaffRole).values(person=there.number, role=role))
    record(session, actor, now, "staff added", f"staff:{there.number}", roles=", ".join(new))
    return Person(there.number, there.email, there.name, there.roles | set(new))
