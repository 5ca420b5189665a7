"""Which batches were cut from which, and so which attempts had the same people in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.delivery.model import AttemptState, Cut, was_in
from newsletter.delivery.tables import Attempt, Batch


def list_cuts(session: Session, edition: int) -> Mapping[int, Cut]:
    """The batches of a send that were cut from others after a try, by number."""
    rows = session.execute(
        select(Batch.number, Attempt.batch, Attempt.fence)
        .join(Attempt, Attempt.id == Batch.cut_after)
        .where(Batch.edition == edition, Batch.cut_after.is_not(None))
    )
    return {number: Cut(batch, fence) for number, batch, fence in rows}


def list_accepted_with(session: Session, attempt: Attempt) -> Sequence[Attempt]:
    """The other accepted attempts that had people of this one in them, oldest first.

    Of its batch, of those cut from it since, and of those that it was cut from. What an answer said to be accepted when
    its batch was cut was so for those alone who stayed; only what an event proved was so for everybody.
    """
    cuts = list_cuts(session, attempt.edition)
    accepted = session.scalars(
        select(Attempt)
        .where(
            Attempt.edition == attempt.edition,
            Attempt.batch.in_({attempt.batch, *cuts, *(cut.batch for cut in cuts.values())}),
            Attempt.state == AttemptState.ACCEPTED,
            Attempt.id != attempt.id,
        )
        .order_by(Attempt.started_at, Attempt.id)
    )
    return [
        other
        for other in accepted
        if other.batch == attempt.batch or _took_all(cuts, other, attempt) or _took_all(cuts, attempt, other)
    ]


def count_accepted_twice(session: Session, edition: int) -> Mapping[int, int]:
    """The batches whose people were in more than one accepted attempt, with how many people that may be."""
    accepted = session.scalars(
        select(Attempt).where(Attempt.edition == edition, Attempt.state == AttemptState.ACCEPTED)
    ).all()
    cuts = list_cuts(session, edition)
    times = Counter(attempt.batch for attempt in accepted)
    proved = [attempt for attempt in accepted if attempt.proved_at]
    twice: dict[int, int] = {}
    for attempt in sorted(accepted, key=lambda one: one.batch):
        if times[attempt.batch] > 1 or any(_took_all(cuts, earlier, attempt) for earlier in proved):
            twice[attempt.batch] = min(attempt.people, twice.get(attempt.batch, attempt.people))
    return twice


def _took_all(cuts: Mapping[int, Cut], earlier: Attempt, later: Attempt) -> bool:
    """Whether everybody in the later attempt was accepted with an earlier one, of a batch that theirs was cut from."""
    return earlier.proved_at is not None and was_in(cuts, later.batch, earlier.batch, earlier.fence)
