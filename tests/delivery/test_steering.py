"""Whoever steers a send leaves one line in the audit for each thing that they did, and none for what was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from newsletter.database.audit import AuditLine
from newsletter.database.session import Database
from newsletter.delivery import steering
from newsletter.delivery.model import Verdict
from newsletter.delivery.queries import get_progress
from newsletter.delivery.worker import send_next_batch
from newsletter.errors import Refused
from newsletter.providers.contract import Outcome, Receipt
from newsletter.schedule import jobs
from newsletter.staff.model import StaffActor
from tests.factories import NOON, RULES, FakeTransport, StillClock, edition_for, find_cast, first_uncertain, worker

Act = Callable[[Session, str, StaffActor], object]


def pause(session: Session, edition: str, actor: StaffActor) -> None:
    steering.pause(session, edition, actor=actor, now=NOON, note="a wrong link")


def resume(session: Session, edition: str, actor: StaffActor) -> None:
    steering.resume(session, edition, actor=actor, now=NOON, late_after=RULES.late_after)


def stop(session: Session, edition: str, actor: StaffActor) -> None:
    steering.stop(session, edition, actor=actor, now=NOON)


def settle(verdict: Verdict) -> Act:
    def act(session: Session, edition: str, actor: StaffActor) -> None:
        steering.settle_uncertain(session, edition, first_uncertain(session, edition), verdict, actor=actor, now=NOON)

    return act


@pytest.mark.parametrize(
    ("before", "act", "subject", "told"),
    [
        ([], pause, "edition", ("send paused", {"reason": "a wrong link"})),
        ([pause], resume, "edition", ("send resumed", {})),
        ([], stop, "edition", ("send stopped", {"people": 4})),
        ([pause], stop, "edition", ("send stopped", {"people": 4})),
        ([], settle(Verdict.SENT), "attempt", ("attempt settled as sent", {})),
        ([], settle(Verdict.NOT_SENT), "attempt", ("attempt settled as not sent", {})),
        ([], settle(Verdict.SEND_AGAIN), "attempt", ("attempt settled as send again", {})),
    ],
)
def test_what_is_done_leaves_one_line_and_what_is_refused_none(
    database: Database, before: Sequence[Act], act: Act, subject: str, told: tuple[str, dict[str, str | int]]
) -> None:
    edition = running_send(database)
    for earlier in before:
        with database.write() as session:
            earlier(session, edition, find_cast(session).max)
    old = lines(database)
    with database.write() as session:
        in_doubt = first_uncertain(session, edition)
        actor = find_cast(session).max
        act(session, edition, actor)
    with database.read() as session:
        progress = get_progress(session, edition)
    (new,) = lines(database)[len(old) :]
    assert (new.action, new.details) == told
    assert (new.actor, new.source, new.at) == (actor.who, actor.source, NOON)
    assert new.subject == {"edition": f"edition:{edition}", "attempt": f"attempt:{in_doubt}"}[subject]
    assert (new.content_hash is not None) is (subject == "edition")

    with pytest.raises(Refused), database.write() as session:
        act(session, edition, actor)
    with pytest.raises(Refused), database.write() as session:
        act(session, edition, find_cast(session).ada)
    assert len(lines(database)) == len(old) + 1
    with database.read() as session:
        assert get_progress(session, edition) == progress


def running_send(database: Database) -> str:
    """A send with two people in an uncertain batch and four who wait."""
    transport = FakeTransport(batch_limit=2, answers=[Receipt(Outcome.UNCERTAIN, "cut")])
    edition = edition_for(database, 6)
    boss = worker(database, transport, StillClock())
    jobs.reconcile(boss, RULES)
    send_next_batch(boss)
    return edition


def lines(database: Database) -> Sequence[AuditLine]:
    """The whole audit, oldest first."""
    with database.read() as session:
        return session.scalars(select(AuditLine).order_by(AuditLine.number)).all()
