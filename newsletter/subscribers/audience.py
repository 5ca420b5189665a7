"""Who an edition goes to: one statement that answers for everybody, with a reason for each one left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, literal, null, or_, select
from sqlalchemy.orm import Session

from newsletter.campaigns.model import AudienceRule
from newsletter.subscribers.consent import REASON_BY_STATE
from newsletter.subscribers.model import LeftOut, SubscriberState
from newsletter.subscribers.tables import Subscriber, SubscriberTopic, Suppression


def is_suppressed() -> ColumnElement[bool]:
    """Whether the address of the statement's Subscriber must not be mailed."""
    return exists().where(Suppression.address_hash == Subscriber.address_hash)


def reason_never_to_mail() -> list[tuple[ColumnElement[bool], ColumnElement[str]]]:
    """The cases of `consent.may_receive` as SQL over Subscriber, each with its reason."""
    by_state: list[tuple[ColumnElement[bool], ColumnElement[str]]] = [
        (Subscriber.state == state, literal(reason.value)) for state, reason in REASON_BY_STATE.items()
    ]
    return [*by_state, (is_suppressed(), literal(LeftOut.SUPPRESSED.value))]


def resolve_audience(
    rule: AudienceRule,
    *,
    language: str,
    at: datetime,
    zone: ZoneInfo,
    mailed_lately: Select[int] | None = None,
) -> Select[tuple[int, bool, str | None]]:
    """Everybody with (number, text only, reason); the reason is null for those who get the edition.

    `at` is the instant for which the question is asked; `joined_before` means the beginning of that day in `zone`.
    `mailed_lately` gives the people whom the rule's `not_mailed_within` leaves out; what was mailed is not known here.
    Nobody is listed who has no row yet or was erased; narrow it further with `.where(...)` over Subscriber.number.
    """
    cases = reason_never_to_mail()
    cases.append((or_(Subscriber.joined_at.is_(None), Subscriber.joined_at > at), literal(LeftOut.JOINED_LATER.value)))
    if rule.joined_before:
        begin = datetime.combine(rule.joined_before, time(), zone)
        cases.append((Subscriber.joined_at >= begin, literal(LeftOut.JOINED_LATER.value)))
    if not rule.any_language:
        cases.append((~_reads(language), literal(LeftOut.OTHER_LANGUAGE.value)))
    if rule.topics:
        chose = exists().where(SubscriberTopic.subscriber == Subscriber.number)
        cases.append(
            (and_(chose, ~chose.where(SubscriberTopic.topic.in_(rule.topics))), literal(LeftOut.OTHER_TOPIC.value))
        )
    if rule.not_mailed_within and mailed_lately is not None:
        cases.append((Subscriber.number.in_(mailed_lately), literal(LeftOut.MAILED_LATELY.value)))
    everybody = select(Subscriber.number, Subscriber.text_only, case(*cases, else_=null()).label("reason"))
    return everybody.where(Subscriber.state != SubscriberState.ERASED)


@dataclass(frozen=True)
class Audience:
    """How many get an edition, how many of them as text alone, and for everybody left out one reason."""

    people: int
    text_only: int
    left_out: Mapping[LeftOut, int]


def count_audience(session: Session, everybody: Select[tuple[int, bool, str | None]]) -> Audience:
    """What `resolve_audience` comes to, counted in one statement; the sums are all people who were not erased."""
    each = everybody.subquery()
    rows = session.execute(
        select(each.c.reason, each.c.text_only, func.count()).group_by(each.c.reason, each.c.text_only)
    ).all()
    left_out: Counter[LeftOut] = Counter()
    people = text_only = 0
    for reason, only_text, count in rows:
        if reason is not None:
            left_out[LeftOut(reason)] += count
        else:
            people += count
            text_only += count if only_text else 0
    return Audience(people, text_only, dict(left_out.most_common()))


def _reads(language: str) -> ColumnElement[bool]:
    """Whether the statement's Subscriber reads a language; whoever reads en-GB reads what is written in en or en-US."""
    primary = language.partition("-")[0].lower()
    theirs = func.lower(Subscriber.language)
    return or_(theirs == primary, theirs.startswith(f"{primary}-"))


def lately(rule: AudienceRule, at: datetime) -> datetime | None:
    """Since when a mail counts as lately: so many days of 24 hours before `at`."""
    return at - timedelta(days=rule.not_mailed_within) if rule.not_mailed_within else None
