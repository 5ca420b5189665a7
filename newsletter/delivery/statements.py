"""The statements on the way of a batch that goes well, each made once.

Making a statement of objects anew takes ten times as long as running it; for the rare ways that does not matter, and
those stand where they are needed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)

from newsletter.database.base import table_of
from newsletter.database.instance import Instance
from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, SendState
from newsletter.delivery.tables import Attempt, Batch, Delivery, Send
from newsletter.editions.tables import Edition
from newsletter.subscribers.audience import reason_never_to_mail
from newsletter.subscribers.tables import Subscriber

_send, _batch, _attempt, _delivery = table_of(Send), table_of(Batch), table_of(Attempt), table_of(Delivery)
_subscriber, _edition, _instance = table_of(Subscriber), table_of(Edition), table_of(Instance)
_EDITION: BindParameter[int] = bindparam("in_edition")
_NUMBER: BindParameter[int] = bindparam("in_batch")
_NOW: BindParameter[datetime] = bindparam("now")


def is_batch(edition: Any, number: Any) -> ColumnElement[bool]:
    """Whether a batch is the one with a number."""
    return and_(_batch.c.edition == edition, _batch.c.number == number)


def in_batch(edition: Any, number: Any) -> ColumnElement[bool]:
    """Whether a delivery is in a batch."""
    # Given two equations, SQLite thinks the primary key as good as the index of batches, and reads the whole edition
    # for each batch. Given a range, it takes the index.
    return and_(_delivery.c.edition == edition, _delivery.c.batch.between(number, number))


_PLANNED_HERE = and_(in_batch(_EDITION, _NUMBER), _delivery.c.state == DeliveryState.PLANNED)

_NOT_LOCKED = ~exists().where(_instance.c.locked != "")

_WHAT_MAY_GO = (
    select(_batch.c.edition, _batch.c.number, _batch.c.variant, _send.c.opened_at, _edition.c.base_url)
    .join(_send, _send.c.edition == _batch.c.edition)
    .join(_edition, _edition.c.serial == _batch.c.edition)
    .where(
        _send.c.state == SendState.RUNNING,
        _send.c.transport == bindparam("transport"),
        _batch.c.state == BatchState.PLANNED,
        or_(_batch.c.not_before.is_(None), _batch.c.not_before <= _NOW),
        _NOT_LOCKED,
    )
    .with_for_update(of=_batch, skip_locked=True, key_share=True)
)
# Only of sends that began with this `transport`: what another one accepted, this one cannot know.
# From a database that is locked there is none.

FIND_NEXT_BATCH = _WHAT_MAY_GO.order_by(_send.c.opened_at, _batch.c.edition, _batch.c.number).limit(1)
"""The next batch that may be claimed, kept from other workers until the transaction ends; `now`, `transport`."""

FIND_BATCH = _WHAT_MAY_GO.where(is_batch(_EDITION, _NUMBER))
"""The same for one batch: it, if it may be claimed."""

CLAIM = (
    update(_batch)
    .where(is_batch(_EDITION, _NUMBER), _batch.c.state == BatchState.PLANNED)
    .values(
        state=BatchState.CLAIMED,
        fence=_batch.c.fence + 1,
        worker=bindparam("by"),
        lease_until=bindparam("until"),
    )
    .returning(_batch.c.fence)
)
"""A planned batch becomes `by`'s, and gives its fence."""

LIST_RECIPIENTS = (
    select(_subscriber.c.number, _subscriber.c.address)
    .join(_delivery, _delivery.c.subscriber == _subscriber.c.number)
    .where(_PLANNED_HERE, _subscriber.c.address.is_not(None))
    .order_by(_delivery.c.batch, _delivery.c.subscriber)  # the order of the index, so that nothing is sorted
)
"""The people of a batch whose delivery is still planned."""

TAKE_OFF = (
    update(_batch)
    .where(
        is_batch(_EDITION, _NUMBER),
        _batch.c.state == BatchState.CLAIMED,
        _batch.c.fence == bindparam("by_fence"),
        _batch.c.lease_until > _NOW,
        exists().where(_send.c.edition == _batch.c.edition, _send.c.state == SendState.RUNNING),
        _NOT_LOCKED,
    )
    .values(state=BatchState.IN_FLIGHT, attempt=bindparam("as_attempt"))
    .returning(
        _batch.c.worker,
        select(_send.c.content_hash).where(_send.c.edition == _EDITION).scalar_subquery().label("approved_hash"),
    )
)
"""A batch whose claim still holds is in flight, and gives its worker and the hash that was approved."""

KEEP_THEM_AS_THEY_ARE = (
    select(_subscriber.c.number)
    .select_from(_delivery.join(_subscriber, _subscriber.c.number == _delivery.c.subscriber))
    .where(_PLANNED_HERE)
    .order_by(_subscriber.c.number)
    .with_for_update(read=True, of=_subscriber)
)
"""The people of a batch, none of whom can leave, pause or be suppressed until the transaction ends; on PostgreSQL."""

COUNT_WHO_MAY_NOT = (
    select(func.count(), func.sum(case((or_(*(condition for condition, _ in reason_never_to_mail())), 1), else_=0)))
    .select_from(_delivery.join(_subscriber, _subscriber.c.number == _delivery.c.subscriber))
    .where(_PLANNED_HERE)
)
"""How many people of a batch are planned, and how many of those may not be mailed any more (null for nobody)."""

ADD_ATTEMPT = insert(_attempt)

LOCK_BATCH = (
    select(_batch.c.state, _batch.c.attempt, _batch.c.failures, _batch.c.deferrals, _batch.c.cut_after)
    .where(is_batch(_EDITION, _NUMBER))
    .with_for_update(key_share=True)
)

HAND_OVER = (
    update(_delivery)
    .where(_PLANNED_HERE)
    .values(state=DeliveryState.HANDED_OVER, attempt=bindparam("as_attempt"), reason=null())
)
"""Everybody who is planned in a batch has been handed over."""

ACCEPT_BATCH = (
    update(_batch)
    .where(
        is_batch(_EDITION, _NUMBER),
        _batch.c.state == BatchState.IN_FLIGHT,
        _batch.c.attempt == bindparam("as_attempt"),
        _batch.c.uncertain == 0,
        _batch.c.people == _batch.c.handed_over + _batch.c.refused + _batch.c.left_out + bindparam("just_handed_over"),
    )
    .values(
        state=BatchState.ACCEPTED,
        handed_over=_batch.c.handed_over + bindparam("just_handed_over"),
        not_before=null(),
        lease_until=null(),
    )
)
"""A batch in flight is accepted, where its counters then add up to its people."""

ANSWER_ATTEMPT = (
    update(_attempt)
    .where(
        _attempt.c.id == bindparam("as_attempt"),
        or_(
            _attempt.c.state == AttemptState.IN_FLIGHT,
            and_(
                bindparam("to") == AttemptState.ACCEPTED.value,
                _attempt.c.state.in_((AttemptState.UNCERTAIN, AttemptState.NOT_SENT)),
            ),
        ),
    )
    .values(
        state=bindparam("to"), answered_at=_NOW, answer=bindparam("said"), reference=bindparam("provider_reference")
    )
)

EXPECT_ANSWER_AGAIN = (
    update(_attempt)
    .where(_attempt.c.id == bindparam("as_attempt"), _attempt.c.state == AttemptState.UNCERTAIN)
    .values(state=AttemptState.IN_FLIGHT, answered_at=null(), answer="")
)
"""An attempt that was given up is in flight, for its answer has come."""

FORGET_FAILURES = update(_send).where(_send.c.edition == _EDITION, _send.c.failing != 0).values(failing=0)
