"""Roles of staff, and which role may do what."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


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


MAY: Mapping[Act, tuple[Role, ...]] = {
    Act.SUBMIT: (Role.AUTHOR, Role.REVIEWER, Role.MANAGER),
    Act.REVIEW: (Role.REVIEWER,),
    Act.SCHEDULE: (Role.MANAGER,),
    # Whoever watches the machine must be able to stop it.
    Act.STEER: (Role.MANAGER, Role.ADMINISTRATOR),
    Act.PEOPLE: (Role.ADMINISTRATOR,),
}
"""Which roles may do what; the first is the one whose job it is."""
