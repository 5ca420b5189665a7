"""Opens a send and plans whom it goes to, a chunk of people in each transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import (
    Text,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor
from newsletter.database.base import insert_or_skip
from newsletter.database.instance import require_unlocked
from newsletter.delivery import plan
from newsletter.delivery.model import (
    BatchState,
    DeliveryState,
    SendState,
    Variant,
)
from newsletter.delivery.moves import audit_send, lock_send, move_send, pause_send
from newsletter.delivery.queries import mailed_since
from newsletter.delivery.tables import Batch, Delivery, Send
from newsletter.editions import actions as editions
from newsletter.editions.model import EditionState
from newsletter.editions.queries import find_damage, get_content
from newsletter.editions.tables import Edition
from newsletter.errors import Refused
from newsletter.staff.model import StaffActor
from newsletter.subscribers.audience import lately, resolve_audience
from newsletter.subscribers.tables import Subscriber


def open_send(
    session: Session,
    edition: int,
    *,
    actor: Actor,
    now: datetime,
    late_after: timedelta,
    transport: str,
    batch_limit: int,
    wait_until: datetime | None = None,
) -> EditionState | None:
    """Start the send of a due edition, or hold the edition when it is too late, expired or damaged.

    Gives the state that the edition moved to, or None when it was not due or another process was first.
    `wait_until` is the end of the undo delay of a send that was begun by hand. Raises SendingLocked.
    """
    require_unlocked(session)
    if damage := find_damage(session, edition):
        row = session.get_one(Edition, edition)
        if row.state is not EditionState.SCHEDULED:
            return None
        editions.hold(session, row.id, actor=actor, now=now, reason="; ".join(damage))
        return EditionState.HELD
    state = editions.start(session, edition, actor=actor, now=now, late_after=late_after)
    if state is not EditionState.SENDING:
        return state
    row = session.get_one(Edition, edition, populate_existing=True)
    send = Send(
        edition=edition,
        state=SendState.PLANNING,
        content_hash=row.content_hash,
        transport=transport,
        batch_limit=batch_limit,
        audience_at=now,
        highest_subscriber=session.scalar(select(func.max(Subscriber.number))) or 0,
        wait_until=wait_until,
        opened_at=now,
    )
    session.add(send)
    session.flush()
    audit_send(session, actor, now, "send opened", send, transport=transport)
    return state


def send_now(
    session: Session,
    edition: str,
    *,
    actor: StaffActor,
    now: datetime,
    undo_delay: timedelta,
    late_after: timedelta,
    base_url: str,
    transport: str,
    batch_limit: int,
) -> Send:
    """Start the send of an approved edition by hand; it waits for the undo delay before anything goes.

    It is scheduled for this instant and started by the statement that starts every edition. Its links must begin with
    `base_url`, unless that is empty. Raises Refused, with nothing changed, when it may not go, and SendingLocked.
    """
    row = editions.schedule(session, edition, actor=actor, now=now, at=now, wanted="sent")
    if base_url and row.base_url != base_url:
        raise Refused(f"{edition} was not sent: its links begin with {row.base_url}, and BASE_URL is {base_url} now.")
    state = open_send(
        session,
        row.serial,
        actor=actor,
        now=now,
        late_after=late_after,
        transport=transport,
        batch_limit=batch_limit,
        wait_until=now + undo_delay,
    )
    if state is not EditionState.SENDING:
        session.refresh(row)
        raise Refused(f"{edition} was not sent: {row.note}. Submit it again.")
    return session.get_one(Send, row.serial)


def plan_audience(
    session: Session, edition: int, *, actor: Actor, now: datetime, zone: ZoneInfo, chunk: int = plan.CHUNK
) -> bool:
    """Plan the next people of a send; True while there are more. With the last, the send runs, or waits to be undone.

    A kill between two calls loses nothing: how far planning is stands in the row, and is written with the deliveries.
    """
    send = lock_send(session, edition)
    if send.state is not SendState.PLANNING:
        return False
    ids = (
        select(Subscriber.number)
        .where(Subscriber.number > send.planned_up_to, Subscriber.number <= send.highest_subscriber)
        .order_by(Subscriber.number)
        .limit(chunk)
        .subquery()
    )
    up_to = session.scalar(select(func.max(ids.c.number)))
    if up_to is not None:
        _plan_chunk(session, send, up_to, zone)
        return True
    to = SendState.WAITING if send.wait_until and send.wait_until > now else SendState.RUNNING
    if move_send(session, edition, to, SendState.PLANNING, note=""):
        counts = dict(
            session.execute(
                select(Delivery.state, func.count()).where(Delivery.edition == edition).group_by(Delivery.state)
            ).all()
        )
        audit_send(
            session,
            actor,
            now,
            "send planned",
            send,
            people=counts.get(DeliveryState.PLANNED, 0),
            left_out=counts.get(DeliveryState.LEFT_OUT, 0),
        )
    return False


def _plan_chunk(session: Session, send: Send, up_to: int, zone: ZoneInfo) -> None:
    content = get_content(session, send.edition)
    since = lately(content.audience, send.audience_at)
    who = (
        resolve_audience(
            content.audience,
            language=content.language,
            at=send.audience_at,
            zone=zone,
            mailed_lately=mailed_since(since) if since else None,
        )
        .where(Subscriber.number > send.planned_up_to, Subscriber.number <= up_to)
        .cte("who")
    )
    goes = who.c.reason.is_(None)
    # Each variant is cut by itself; those of text stand behind those of HTML.
    place = func.row_number().over(partition_by=(goes, who.c.text_only), order_by=who.c.number) - 1
    of_html = (
        select((func.count() + send.batch_limit - 1) // send.batch_limit)
        .where(goes, ~who.c.text_only)
        .scalar_subquery()
    )
    before = send.next_batch + case((who.c.text_only, of_html), else_=0)
    session.execute(
        insert_or_skip(session, Delivery).from_select(
            ["edition", "subscriber", "batch", "state", "reason"],
            select(
                literal(send.edition),
                who.c.number,
                case((goes, before + place // send.batch_limit), else_=0),
                cast(
                    case((goes, literal(DeliveryState.PLANNED.value)), else_=literal(DeliveryState.LEFT_OUT.value)),
                    Text,
                ),
                who.c.reason,
            ).where(literal(True)),  # without a WHERE, SQLite reads ON CONFLICT as the condition of a join
        )
    )
    new = and_(Delivery.edition == send.edition, Delivery.batch >= send.next_batch)
    # Somebody may change their wish between these two statements; what most of a batch wish is what it was cut for.
    text_only = func.avg(case((Subscriber.text_only, 1.0), else_=0.0)) > 0.5
    cut = (
        select(Delivery.batch, text_only.label("text_only"), func.count().label("people"))
        .join(Subscriber, Subscriber.number == Delivery.subscriber)
        .where(new)
        .group_by(Delivery.batch)
        .order_by(Delivery.batch)
    )
    batches = [
        {
            "edition": send.edition,
            "number": number,
            "variant": Variant.TEXT if is_text else Variant.HTML,
            "state": BatchState.PLANNED,
            "people": people,
        }
        for number, is_text, people in session.execute(cut)
    ]
    if batches:
        session.execute(insert(Batch), batches)
    session.execute(
        update(Send)
        .where(Send.edition == send.edition)
        .values(planned_up_to=up_to, next_batch=Send.next_batch + len(batches))
        .execution_options(synchronize_session=False)
    )


def begin_waiting(session: Session, *, actor: Actor, now: datetime, late_after: timedelta) -> int:
    """Sends whose undo delay is over begin to run; gives how many.

    One that should have begun more than `late_after` ago, because nothing looked after it, is paused for a person.
    """
    over = select(Send).where(Send.state == SendState.WAITING, Send.wait_until <= now)
    begun = 0
    for send in session.scalars(over).all():
        assert send.wait_until is not None
        if not move_send(session, send.edition, SendState.RUNNING, SendState.WAITING):
            continue
        audit_send(session, actor, now, "send begun", send)
        begun += 1
        if now - send.wait_until > late_after:
            note = f"it should have begun at {send.wait_until:%Y-%m-%d %H:%M} UTC; resume it if it shall still go"
            pause_send(session, send.edition, actor=actor, now=now, note=note)
    return begun


def note_trouble(session: Session, edition: int, note: str) -> None:
    """Tell with a send that is being planned why it does not get on."""
    session.execute(update(Send).where(Send.edition == edition, Send.state == SendState.PLANNING).values(note=note))
