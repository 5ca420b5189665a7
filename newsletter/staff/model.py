"""Members of staff as values: roles, and which role may do what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from newsletter.database.audit import Actor, Source
from newsletter.errors import Refused


class Role(StrEnum):
    """What somebody is trusted with; one person may have several."""

    AUTHOR = "author"
    REVIEWER = "reviewer"
    MANAGER = "manager"
    ADMINISTRATOR = "administrator"


class Act(StrEnum):
    """What is asked of a role, in the words of a refusal: "may not …"."""

    SUBMIT = "submit an edition"
    REVIEW = "approve an edition or send it back"
    SCHEDULE = "schedule, hold or cancel an edition"
    STEER = "pause, resume or stop a send"
    PEOPLE = "add or remove staff"


MAY: Mapping[Act, frozenset[Role]] = {
    Act.SUBMIT: frozenset({Role.AUTHOR, Role.REVIEWER, Role.MANAGER}),
    Act.REVIEW: frozenset({Role.REVIEWER}),
    Act.SCHEDULE: frozenset({Role.MANAGER}),
    # Whoever watches the machine must be able to stop it.
    Act.STEER: frozenset({Role.MANAGER, Role.ADMINISTRATOR}),
    Act.PEOPLE: frozenset({Role.ADMINISTRATOR}),
}


@dataclass(frozen=True)
class Person:
    """A member of staff."""

    number: int
    email: str
    name: str
    roles: frozenset[Role]


@dataclass(frozen=True)
class StaffActor(Actor):
    """A member of staff who acts."""

    person: Person


def acting(person: Person, source: Source) -> StaffActor:
    """A member of staff as the one who acts, by a door."""
    return StaffActor(f"staff:{person.number}", source, person)


def require(person: Person, act: Act) -> None:
    """Raise Refused when none of a person's roles may do this."""
    if not person.roles & MAY[act]:
        need = " or ".join(sorted(role.value for role in MAY[act]))
        has = ", ".join(sorted(role.value for role in person.roles)) or "no role"
        raise Refused(
            f"{person.email} ({has}) may not {act.value}; that takes a {need}. "
            f"An administrator can give that role: newsletter staff add {person.email} --role {min(MAY[act])}"
        )
