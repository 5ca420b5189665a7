"""The only writers of editions: each action is one move of `model.ALLOWED_MOVES`, made by naming the old state.

Whoever comes second changes nothing and is told where the edition stands.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Text, and_, case, cast, func, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from newsletter.database.audit import Actor, record
from newsletter.database.base import insert_or_skip
from newsletter.editions import rules
from newsletter.editions.model import ALLOWED_MOVES, OPEN, EditionState, Snapshot, audience_to_json, edition_id
from newsletter.editions.queries import get_content, get_edition, list_approvals, list_authors
from newsletter.editions.tables import Approval, Edition, EditionAuthor, EditionPicture, Picture
from newsletter.errors import Refused
from newsletter.staff.model import NoticeKind, StaffActor, require
from newsletter.staff.notices import want_notice
from newsletter.staff.roles import Act


class NothingToSubmit(Refused):
    """A mailing has gone out, or has an edition with exactly its content: nobody has to do anything about it."""


def submit(
    session: Session,
    *,
    snapshot: Snapshot,
    actor: StaffActor,
    now: datetime,
    authors: Collection[int] = (),
) -> Edition:
    """Store a mailing as an edition that waits for approval.

    `authors` are those who saved a version since the last approved edition. An earlier edition of the mailing that
    waits for approval is sent back, one that is approved becomes void; one that is scheduled or held must be taken
    back or cancelled first, and one that is going out or has gone out is never followed by a second. A mailing is told
    from others by its month and its name, whatever its campaign's folder is called. Raises Refused.
    """
    require(actor.person, Act.SUBMIT)
    earlier = list(
        session.scalars(
            select(Edition)
            .where(Edition.month == snapshot.month, Edition.mailing == snapshot.mailing)
            .order_by(Edition.number)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
    )
    content_hash = snapshot.content.hash()
    for other in earlier:
        _require_same_campaign(other, snapshot)
        _make_way(session, other, content_hash, actor, now)
    hands = set(authors)
    for other in earlier:
        # A new approved edition begins a new count of who wrote in it.
        hands = hands if other.approved_at is None else set(authors)
        if other.approved_at is None:
            hands |= {other.submitted_by, *list_authors(session, other.serial)}
    numbers = select(func.max(Edition.number)).where(
        Edition.month == snapshot.month, Edition.mailing == snapshot.mailing
    )
    number = (session.scalar(numbers) or 0) + 1
    content = snapshot.content
    row = Edition(
        id=edition_id(snapshot.month, snapshot.mailing, number),
        campaign=snapshot.campaign,
        month=snapshot.month,
        mailing=snapshot.mailing,
        number=number,
        state=EditionState.SUBMITTED,
        content_hash=content_hash,
        sender_name=content.sender.name,
        sender_address=content.sender.address,
        reply_to=content.reply_to,
        subject=content.subject,
        preheader=content.preheader,
        html=content.html,
        text=content.text,
        language=content.language,
        audience=audience_to_json(content.audience),
        base_url=content.base_url,
        theme=snapshot.theme,
        in_archive=snapshot.in_archive,
        planned_at=snapshot.send_at,
        submitted_by=actor.person.number,
        submitted_at=now,
    )
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        raise Refused(
            f"Somebody else has just submitted {snapshot.mailing}. See it: newsletter editions list"
        ) from None
    for picture in snapshot.pictures:
        session.execute(
            insert_or_skip(session, Picture).values(
                sha256=picture.sha256,
                name=picture.name,
                media_type=picture.media_type,
                content=picture.content,
                width=picture.width,
                height=picture.height,
            )
        )
        session.add(EditionPicture(edition=row.serial, name=picture.name, sha256=picture.sha256))
    session.add_all(EditionAuthor(edition=row.serial, person=person) for person in hands - {actor.person.number})
    _audit(session, actor, now, "edition submitted", row)
    session.flush()
    return row


def approve(session: Session, edition: str, *, actor: StaffActor, now: datetime, needed: int, days: int) -> Edition:
    """Add one person's approval, bound to the content hash; with the last one needed the edition is approved.

    `needed` people must approve, and an approval holds for `days`. Raises Refused with the reason.
    """
    require(actor.person, Act.REVIEW)
    row = _locked(session, edition)
    _require_state(row, "approved", EditionState.SUBMITTED)
    approvals = list_approvals(session, row.serial)
    objection = rules.objection_to_approver(
        actor.person.number,
        submitted_by=row.submitted_by,
        authors=list_authors(session, row.serial),
        approved_by=[approval.person for approval in approvals],
    )
    if objection:
        raise Refused(
            f"{row.id} was not approved. {objection}. Ask another reviewer; see who there is: newsletter staff list"
        )
    if get_content(session, row.serial).hash() != row.content_hash:
        raise Refused(f"{row.id} is not what was submitted: its stored content has changed. Submit it again.")
    approval = Approval(edition=row.serial, person=actor.person.number, content_hash=row.content_hash, at=now)
    session.add(approval)
    times = [other.at for other in (*approvals, approval)]
    if rules.is_approved(len(times), needed=needed):
        until = rules.approved_until(times, days)
        _move(session, row, EditionState.APPROVED, approved_at=now, approved_until=until, note="")
    _audit(session, actor, now, "edition approved", row, approvals=len(times), needed=needed)
    return row


def send_back(session: Session, edition: str, *, actor: StaffActor, now: datetime, note: str = "") -> Edition:
    """Return an edition to its authors; raises Refused unless it waits for approval."""
    require(actor.person, Act.REVIEW)
    row = _locked(session, edition)
    _require_state(row, "sent back", EditionState.SUBMITTED)
    _move(session, row, EditionState.SENT_BACK, note=note)
    _audit(session, actor, now, "edition sent back", row, note=note)
    return row


def schedule(
    session: Session,
    edition: str,
    *,
    actor: StaffActor,
    now: datetime,
    at: datetime | None = None,
    wanted: str = "scheduled",
) -> Edition:
    """Set when an approved or held edition goes out, or move the time of a scheduled one.

    `at` is an instant; without it the campaign's own time is taken. Raises Refused with the reason: that the
    edition was not what was `wanted`.
    """
    require(actor.person, Act.SCHEDULE)
    row = _locked(session, edition)
    send_at = at or row.planned_at
    objection = rules.objection_to_schedule(row.state, send_at=send_at, approved_until=row.approved_until, now=now)
    if objection:
        raise Refused(
            f"{row.id} was not {wanted}. {objection}."
            + (
                ""
                if at or "past" not in objection
                else " Name another: newsletter schedule EDITION --at '2026-11-03 09:00'"
            )
        )
    if row.state is EditionState.SCHEDULED and row.send_at == send_at:
        raise Refused(f"{row.id} is scheduled for that time already; nothing was changed.")
    moved = row.state is EditionState.SCHEDULED
    _move(session, row, EditionState.SCHEDULED, staying=True, send_at=send_at, note="")
    _audit(session, actor, now, "edition moved" if moved else "edition scheduled", row, send_at=send_at.isoformat())
    return row


def take_back(session: Session, edition: str, *, actor: StaffActor, now: datetime) -> Edition:
    """Take a scheduled edition from the schedule; it stays approved. Raises Refused in any other state."""
    require(actor.person, Act.SCHEDULE)
    row = _locked(session, edition)
    _require_state(row, "taken back", EditionState.SCHEDULED)
    _move(session, row, EditionState.APPROVED, send_at=None)
    _audit(session, actor, now, "edition taken back", row)
    return row


def cancel(session: Session, edition: str, *, actor: StaffActor, now: datetime) -> Edition:
    """End a scheduled or held edition for good; raises Refused in any other state."""
    require(actor.person, Act.SCHEDULE)
    row = _locked(session, edition)
    if row.state is EditionState.CANCELLED:
        raise Refused(f"{row.id} is cancelled already; nothing was changed.")
    _require_state(row, "cancelled", EditionState.SCHEDULED, EditionState.HELD)
    _move(session, row, EditionState.CANCELLED)
    _audit(session, actor, now, "edition cancelled", row)
    return row


def set_in_archive(
    session: Session, edition: str, in_archive: bool, *, actor: StaffActor, now: datetime, reason: str = ""
) -> Edition:
    """Put an edition's page into the public archive, or keep it out; raises Refused when it is so already.

    What readers have in their inboxes stays as it is, with its link to the page.
    """
    require(actor.person, Act.SCHEDULE)
    row = _locked(session, edition)
    if row.in_archive is in_archive:
        raise Refused(f"Nothing has changed: {row.id} is {'' if in_archive else 'not '}for the archive already.")
    row.in_archive = in_archive
    _audit(session, actor, now, f"edition {'published' if in_archive else 'hidden'}", row, reason=reason)
    return row


def undo_start(session: Session, serial: int, *, actor: Actor, now: datetime) -> None:
    """End an edition for good whose send was stopped before anything of it went; its mailing may be submitted again."""
    row = session.get_one(Edition, serial, with_for_update={"key_share": True}, populate_existing=True)
    _move(session, row, EditionState.CANCELLED, note="undone before anything of it went")
    _audit(session, actor, now, "edition cancelled", row, reason=row.note)


def hold(session: Session, edition: str, *, actor: Actor, now: datetime, reason: str) -> Edition:
    """Let a scheduled edition wait for a person; raises Refused in any other state."""
    row = _locked(session, edition)
    _require_state(row, "held", EditionState.SCHEDULED)
    _move(session, row, EditionState.HELD, note=reason)
    _audit(session, actor, now, "edition held", row, reason=reason)
    want_notice(session, NoticeKind.HELD, row.id, cause=now.isoformat(), reason=reason, now=now)
    return row


def start(session: Session, serial: int, *, actor: Actor, now: datetime, late_after: timedelta) -> EditionState | None:
    """The one statement that starts a due edition, or holds it when it is too late or no longer approved.

    Gives the state it moved to, or None when it was not due or somebody else was first.
    """
    late = Edition.send_at < now - late_after
    expired = or_(Edition.approved_until.is_(None), Edition.approved_until <= now)
    approved = (
        select(func.count())
        .where(and_(Approval.edition == Edition.serial, Approval.content_hash == Edition.content_hash))
        .correlate(Edition)
        .scalar_subquery()
    )
    reason = case(
        (late, f"it was due more than {_hours(late_after)} ago"),
        (expired, "its approval expired"),
        (approved == 0, "nobody has approved this content"),
        else_="",
    )
    state = case(
        (or_(late, expired, approved == 0), literal(EditionState.HELD.value)),
        else_=literal(EditionState.SENDING.value),
    )
    moved = session.execute(
        update(Edition)
        .where(Edition.serial == serial, Edition.state == EditionState.SCHEDULED, Edition.send_at <= now)
        .values(state=cast(state, Text), note=reason)
        .returning(Edition.id, Edition.state, Edition.content_hash, Edition.note)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if moved is None:
        return None
    action = "edition started" if moved.state is EditionState.SENDING else "edition held"
    record(
        session, actor, now, action, f"edition:{moved.id}", content_hash=moved.content_hash, reason=moved.note or "due"
    )
    if moved.state is EditionState.HELD:
        want_notice(session, NoticeKind.HELD, moved.id, cause=now.isoformat(), reason=moved.note, now=now)
    return EditionState(moved.state)


def expire_approvals(session: Session, *, actor: Actor, now: datetime) -> list[str]:
    """Approved editions whose approval has run out become void; gives their ids."""
    rows = session.execute(
        update(Edition)
        .where(Edition.state == EditionState.APPROVED, Edition.approved_until <= now)
        .values(state=EditionState.VOID, note="its approval expired")
        .returning(Edition.id, Edition.content_hash)
        .execution_options(synchronize_session=False)
    ).all()
    for row in rows:
        record(
            session, actor, now, "edition void", f"edition:{row.id}", content_hash=row.content_hash, reason="expired"
        )
    return [row.id for row in rows]


def _require_same_campaign(other: Edition, snapshot: Snapshot) -> None:
    # A folder that was renamed looks like a second campaign with a mailing of the same name. For both, going on could
    # mail people twice, or take another campaign's edition away.
    if other.campaign == snapshot.campaign or other.state not in {*OPEN, EditionState.SENDING}:
        return
    raise Refused(
        f"{snapshot.month} has a mailing `{snapshot.mailing}` already: {other.id}, submitted from {other.campaign}, is "
        f"{other.state.value}. If the folder was renamed, name it {other.campaign} again; if {snapshot.campaign} is "
        "another campaign, name its mailing otherwise."
    )


def _make_way(session: Session, other: Edition, content_hash: str, actor: StaffActor, now: datetime) -> None:
    if other.state is EditionState.SENDING:
        raise NothingToSubmit(
            f"{other.id} of this mailing is going out or has gone out; a mailing is sent once. "
            "What is new belongs in another mailing of the campaign."
        )
    # Of a held one the approval may have run out, and then the same content is submitted again.
    if other.state in OPEN - {EditionState.HELD} and other.content_hash == content_hash:
        stands = "waits for approval" if other.state is EditionState.SUBMITTED else f"is {other.state.value}"
        raise NothingToSubmit(f"Nothing has changed: {other.id} {stands} with exactly this content.")
    if other.state in (EditionState.SCHEDULED, EditionState.HELD):
        how = "take-back" if other.state is EditionState.SCHEDULED else "cancel"
        raise Refused(f"{other.id} of this mailing is {other.state.value}. First: newsletter {how} {other.id}")
    if other.state not in OPEN:
        return
    replaced = "a newer edition was submitted"
    to = EditionState.SENT_BACK if other.state is EditionState.SUBMITTED else EditionState.VOID
    _move(session, other, to, note=replaced)
    _audit(session, actor, now, f"edition {to.value}", other, reason=replaced)


def _locked(session: Session, edition: str) -> Edition:
    """An edition's row, kept from others until the transaction ends; raises NotFound."""
    found = (
        select(Edition)
        .where(Edition.id == edition)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return session.scalar(found) or get_edition(session, edition)


def _require_state(row: Edition, what: str, *states: EditionState) -> None:
    if row.state not in states:
        needed = " or ".join(state.value for state in states)
        note = f" ({row.note})" if row.note else ""
        raise Refused(f"{row.id} was not {what}: it is {row.state.value}{note}, and would have to be {needed}.")


def _move(session: Session, row: Edition, to: EditionState, *, staying: bool = False, **values: object) -> None:
    if to not in ALLOWED_MOVES[row.state] and not (staying and to is row.state):
        raise Refused(f"{row.id} is {row.state.value} and cannot become {to.value}.")
    moved = session.scalar(
        update(Edition)
        .where(Edition.serial == row.serial, Edition.state == row.state)
        .values(state=to, **values)
        .returning(Edition.serial)
        .execution_options(synchronize_session=False)
    )
    if moved is None:
        raise Refused(
            f"Somebody else has just changed {row.id}. See where it stands: newsletter editions show {row.id}"
        )
    session.refresh(row)


def _audit(session: Session, actor: Actor, now: datetime, action: str, row: Edition, **details: str | int) -> None:
    record(session, actor, now, action, f"edition:{row.id}", content_hash=row.content_hash, **details)


def _hours(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:g} hour{'' if hours == 1 else 's'}"
