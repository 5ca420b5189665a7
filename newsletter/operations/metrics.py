"""Measurements for Prometheus, read from the rows when they are asked for.

No label holds an address, a link's token, or what an edition is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from newsletter.clock import Clock
from newsletter.database.heartbeat import WORKER_PART, Heartbeat
from newsletter.database.instance import find_lock
from newsletter.database.session import Database, DatabaseUnusable
from newsletter.delivery.model import AttemptState, BatchState, SendState
from newsletter.delivery.tables import Attempt, Batch, Send
from newsletter.editions.model import EditionState
from newsletter.editions.tables import Edition
from newsletter.notices import reader_mailing
from newsletter.notices.mailing import GIVEN_UP_AFTER
from newsletter.provider_events.model import PostState
from newsletter.provider_events.queries import count_posts, find_last_post
from newsletter.staff.notices import count_notices
from newsletter.subscribers.reader_notices import count_waiting
from newsletter.suppression_lists.queries import get_standing

_GOING = (SendState.PLANNING, SendState.WAITING, SendState.RUNNING, SendState.PAUSED)


class Measurements:
    """The registry of one process: what it counts itself, and what the rows say."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_FromRows(database, clock))
        self._answers = Counter(
            "newsletter_http_answers",
            "Answers of this process by the route's template.",
            ("method", "route", "status"),
            registry=self.registry,
        )

        self._inbound = Counter(
            "newsletter_inbound_mails",
            "Mails that came in to this process, by what became of them.",
            ("outcome",),
            registry=self.registry,
        )

    def count_inbound(self, outcome: str) -> None:
        """Count one mail that came in; `outcome` names nobody."""
        self._inbound.labels(outcome).inc()

    def count_answer(self, method: str, route: str, status: int) -> None:
        """Count one answer; `route` is a template such as `/unsubscribe/{token}`, never what was asked for."""
        self._answers.labels(method, route, str(status)).inc()


class _FromRows(Collector):
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """All measurements of the rows; `newsletter_database_up` alone when the database does not answer."""
        up = GaugeMetricFamily("newsletter_database_up", "1 when the database answered.")
        try:
            with self._database.read() as session:
                found = list(_measure(session, self._clock.now()))
        except DatabaseUnusable:
            up.add_metric((), 0)
            return [up]
        up.add_metric((), 1)
        return [up, *found]

    def describe(self) -> Iterable[Metric]:
        """Nothing: asking would read the rows when the registry is made."""
        return ()


def _measure(session: Session, now: datetime) -> Iterator[Metric]:
    yield _gauge(
        "newsletter_sending_locked", "1 when nothing may be sent from this database.", bool(find_lock(session))
    )
    sends = session.execute(select(Send.state, func.count()).group_by(Send.state))
    yield _by_state("newsletter_sends", "Sends by state.", SendState, dict(sends.all()))
    going = select(Send.edition).where(Send.state.in_(_GOING))
    batches = session.execute(select(Batch.state, func.count()).where(Batch.edition.in_(going)).group_by(Batch.state))
    yield _by_state("newsletter_batches", "Batches of open sends by state.", BatchState, dict(batches.all()))
    attempts = session.execute(select(Attempt.state, func.count()).group_by(Attempt.state))
    yield _by_state("newsletter_attempts", "Attempts by what became of them.", AttemptState, dict(attempts.all()))
    counters = (Batch.people, Batch.handed_over, Batch.refused, Batch.left_out, Batch.uncertain)
    sums = session.execute(
        select(*(func.coalesce(func.sum(counter), 0) for counter in counters)).where(Batch.edition.in_(going))
    ).one()
    everybody, handed_over, refused, left_out, uncertain = map(int, sums)
    people = GaugeMetricFamily("newsletter_people", "People in open sends by what became of them.", labels=("state",))
    people.add_metric(("handed over",), handed_over)
    people.add_metric(("refused",), refused)
    people.add_metric(("left out",), left_out)
    people.add_metric(("uncertain",), uncertain)
    people.add_metric(("planned",), everybody - handed_over - refused - left_out - uncertain)
    yield people
    unsettled = select(func.min(Attempt.started_at)).where(Attempt.state == AttemptState.UNCERTAIN)
    due = select(func.min(Edition.send_at)).where(Edition.state == EditionState.SCHEDULED, Edition.send_at <= now)
    yield _age(
        "newsletter_oldest_uncertain_seconds", "Age of the oldest uncertain attempt.", session.scalar(unsettled), now
    )
    yield _age("newsletter_oldest_due_seconds", "How long the oldest due edition waits.", session.scalar(due), now)
    yield from _measure_notices(session, now)
    yield from _measure_events(session, now)
    yield from _measure_lists(session, now)
    seen = GaugeMetricFamily(
        "newsletter_last_seen_seconds",
        "Seconds since a part was at work; `backup`: since one was made.",
        labels=("part",),
    )
    for part, at in _last_seen(session).items():
        seen.add_metric((part,), (now - at).total_seconds())
    yield seen


def _measure_notices(session: Session, now: datetime) -> Iterator[Metric]:
    untried, failing = count_notices(session, wanted_after=now - GIVEN_UP_AFTER)
    notices = GaugeMetricFamily("newsletter_notices", "Notices that staff have not got yet.", labels=("state",))
    notices.add_metric(("waiting",), untried)
    notices.add_metric(("failing",), failing)
    yield notices
    readers = count_waiting(session, now=now, wanted_after=now - reader_mailing.GIVEN_UP_AFTER)
    waiting = GaugeMetricFamily(
        "newsletter_reader_notices", "Notices that readers have not got yet.", labels=("state",)
    )
    waiting.add_metric(("waiting",), readers.count - readers.failing)
    waiting.add_metric(("failing",), readers.failing)
    yield waiting
    yield _age("newsletter_oldest_reader_notice_seconds", "How long the oldest of them waits.", readers.oldest, now)


def _measure_events(session: Session, now: datetime) -> Iterator[Metric]:
    counts = count_posts(session)
    posts = GaugeMetricFamily("newsletter_provider_posts", "Posts of events not applied, by state.", labels=("state",))
    for state in (PostState.WAITING, PostState.SET_ASIDE):
        posts.add_metric((state.value,), counts.get(state, 0))
    yield posts
    if last := find_last_post(session):
        yield _age("newsletter_last_event_seconds", "Seconds since the provider last posted events.", last, now)


def _measure_lists(session: Session, now: datetime) -> Iterator[Metric]:
    standing = get_standing(session)
    read = GaugeMetricFamily(
        "newsletter_suppression_list_age_seconds", "Seconds since up to when a list was read.", labels=("list",)
    )
    for one in standing.lists:
        if one.pulled_until:
            read.add_metric((one.name.value,), (now - one.pulled_until).total_seconds())
    yield read
    yield _gauge("newsletter_unsubscribes_waiting", "People to be told to SendGrid.", standing.waiting)


def _last_seen(session: Session) -> dict[str, datetime]:
    """When each part was last at work; of all workers the one that was last, since their names never come again."""
    seen: dict[str, datetime] = {}
    for part, at in session.execute(select(Heartbeat.part, Heartbeat.at)):
        kind = "worker" if part.startswith(WORKER_PART) else part
        seen[kind] = max(at, seen.get(kind, at))
    return seen


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(name, told, value=float(value))


def _age(name: str, told: str, since: datetime | None, now: datetime) -> Metric:
    return _gauge(name, told, (now - since).total_seconds() if since else 0.0)


def _by_state(
    name: str, told: str, kind: type[SendState] | type[BatchState] | type[AttemptState], counts: dict[object, int]
) -> Metric:
    metric = GaugeMetricFamily(name, told, labels=("state",))
    for state in kind:
        metric.add_metric((state.value,), counts.get(state, 0))
    return metric
