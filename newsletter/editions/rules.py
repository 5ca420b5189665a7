"""Who may approve, how long that holds, and what may be scheduled: pure functions of values."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from newsletter.editions.model import EditionState


def objection_to_approver(
    person: int, *, submitted_by: int, authors: Collection[int], approved_by: Collection[int]
) -> str | None:
    """Why a person may not approve an edition, or None when they may.

    `authors` are those who saved a version, or submitted an earlier edition, since the last approved one: nobody
    signs off their own words.
    """
    if person == submitted_by:
        return "Who submits an edition may not approve it"
    if person in authors:
        return "Who wrote or submitted a version of it since the last approved edition may not approve it"
    if person in approved_by:
        return "You have approved it already"
    return None


def is_approved(approvals: int, *, needed: int) -> bool:
    """Whether so many people have approved as the clinic asks for."""
    return approvals >= needed


def approved_until(approved_at: Collection[datetime], days: int) -> datetime:
    """Until when an edition stays approved: the oldest of its approvals counts."""
    return min(approved_at) + timedelta(days=days)


def objection_to_schedule(
    state: EditionState, *, send_at: datetime, approved_until: datetime | None, now: datetime
) -> str | None:
    """Why an edition may not be scheduled for an instant, or None when it may."""
    if state is EditionState.SENDING:
        return "It is going out or has gone out"
    if state not in (EditionState.APPROVED, EditionState.HELD, EditionState.SCHEDULED):
        return f"It is {state.value}; only an approved edition can be scheduled or sent"
    if send_at < now:
        return "That time is past"
    if approved_until is None or approved_until <= now:
        return "Its approval has expired; submit it again"
    if approved_until <= send_at:
        return "Its approval will have expired by then; choose an earlier time, or submit it again nearer to it"
    return None
