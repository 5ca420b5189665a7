"""Members of staff as values, and as those who act."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from newsletter.database.audit import Actor, Source
from newsletter.errors import Refused
from newsletter.staff.roles import MAY, Act, Role


@dataclass(frozen=True)
class Person:
    """A member of staff."""

    number: int
    email: str
    name: str
    roles: frozenset[Role]


class NoticeKind(StrEnum):
    """What staff are told by mail."""

    HELD = "held"
    """An edition is due and waits for a person."""
    PAUSED = "paused"
    """A send has paused itself."""
    UNCERTAIN = "uncertain"
    """Attempts are without an answer for too long."""
    ACCEPTED_TWICE = "accepted twice"
    """Some may have an edition twice."""
    MANY_SIGN_UPS = "many sign-ups"
    """So many sign up that no more are answered for a while; it is about no edition."""


@dataclass(frozen=True)
class WantedNotice:
    """Something to tell staff, about an edition where it has an id: why, and which attempts it is about."""

    number: int
    kind: NoticeKind
    edition: str
    reason: str
    attempts: tuple[str, ...]
    wanted_at: datetime


@dataclass(frozen=True)
class StaffActor(Actor):
    """A member of staff who acts."""

    person: Person


def acting(person: Person, source: Source) -> StaffActor:
    """A member of staff as the one who acts, by a door."""
    return StaffActor(f"staff:{person.number}", source, person)


def require(person: Person, act: Act) -> None:
    """Raise Refused when none of a person's roles may do this."""
    if person.roles.isdisjoint(MAY[act]):
        need = " or ".join(MAY[act])
        article = "an" if need[0] in "aeiou" else "a"
        has = ", ".join(sorted(role.value for role in person.roles)) or "no role"
        raise Refused(
            f"{person.email} ({has}) may not {act.value}; that takes {article} {need}. "
            f"An administrator can give that role: newsletter staff add {person.email} --role {MAY[act][0]} "
            "--as ADMINISTRATOR"
        )
