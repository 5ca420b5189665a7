"""Questions about editions; nothing is changed here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, undefer

from newsletter.editions.model import Content, EditionState, audience_from_json
from newsletter.editions.tables import Approval, Edition, EditionAuthor, EditionPicture, Picture
from newsletter.errors import NotFound
from newsletter.mail import Mailbox


def get_edition(session: Session, edition: str) -> Edition:
    """An edition by its id; raises NotFound with those there are."""
    row = session.scalar(select(Edition).where(Edition.id == edition))
    if row is None:
        there = ", ".join(session.scalars(select(Edition.id).order_by(Edition.serial.desc()).limit(5)))
        raise NotFound(
            f"There is no edition `{edition}`. The newest: {there or 'none yet; `newsletter submit` makes one'}."
        )
    return row


_STORED = select(
    Edition.sender_address,
    Edition.sender_name,
    Edition.reply_to,
    Edition.subject,
    Edition.preheader,
    Edition.html,
    Edition.text,
    Edition.language,
    Edition.audience,
    Edition.base_url,
).where(Edition.serial == bindparam("in_edition"))
_ITS_PICTURES = (
    select(EditionPicture.name, EditionPicture.sha256)
    .where(EditionPicture.edition == bindparam("in_edition"))
    .order_by(EditionPicture.name)
)


def get_content(session: Session, serial: int) -> Content:
    """The content of an edition as it is stored now; raises NotFound."""
    stored = session.execute(_STORED, {"in_edition": serial}).one_or_none()
    if stored is None:
        raise NotFound(f"There is no edition with the number {serial}.")
    pictures = session.execute(_ITS_PICTURES, {"in_edition": serial})
    return _content_of(tuple(stored), tuple((name, sha256) for name, sha256 in pictures))


@lru_cache(maxsize=4)
def _content_of(stored: tuple[str, ...], pictures: tuple[tuple[str, str], ...]) -> Content:
    # Every batch asks, and its answer must be what the rows say at that moment. So they are read each time and compared
    # in full; only what is made of the same rows, and its hash, is made once: 1 ms CPU of a batch is saved.
    sender_address, sender_name, reply_to, subject, preheader, html, text, language, audience, base_url = stored
    return Content(
        sender=Mailbox(sender_address, sender_name),
        reply_to=reply_to,
        subject=subject,
        preheader=preheader,
        html=html,
        text=text,
        language=language,
        audience=audience_from_json(audience),
        base_url=base_url,
        pictures=dict(pictures),
    )


def find_picture(session: Session, sha256: str) -> Picture | None:
    """A picture of an edition by its hash, with its bytes."""
    return session.get(Picture, sha256, options=[undefer(Picture.content)])


def list_editions(session: Session) -> Sequence[Edition]:
    """All editions, newest first."""
    return session.scalars(select(Edition).order_by(Edition.serial.desc())).all()


def list_due(session: Session, now: datetime) -> Sequence[Edition]:
    """The scheduled editions whose time has come, earliest first."""
    due = (Edition.state == EditionState.SCHEDULED) & (Edition.send_at <= now)
    return session.scalars(select(Edition).where(due).order_by(Edition.send_at, Edition.serial)).all()


def list_scheduled_times(session: Session, until: datetime) -> list[datetime]:
    """The instants at which scheduled editions become due, up to one, earliest first."""
    soon = (Edition.state == EditionState.SCHEDULED) & (Edition.send_at <= until)
    times = session.scalars(select(Edition.send_at).where(soon).order_by(Edition.send_at))
    return [time for time in times if time is not None]


def list_approvals(session: Session, serial: int) -> Sequence[Approval]:
    """The approvals of an edition, oldest first."""
    return session.scalars(select(Approval).where(Approval.edition == serial).order_by(Approval.at)).all()


def list_authors(session: Session, serial: int) -> list[int]:
    """Who had a hand in an edition since the last approved one, beside who submitted it."""
    return list(session.scalars(select(EditionAuthor.person).where(EditionAuthor.edition == serial)))


def find_damage(session: Session, serial: int) -> list[str]:
    """What is no longer as it was approved: the content, or a picture's bytes; empty when all is well."""
    row = session.get_one(Edition, serial)
    damage = []
    if get_content(session, serial).hash() != row.content_hash:
        damage.append("its content is not what its hash says")
    for name, sha256 in session.execute(
        select(EditionPicture.name, EditionPicture.sha256).where(EditionPicture.edition == serial)
    ):
        picture = find_picture(session, sha256)
        if picture is None or hashlib.sha256(picture.content).hexdigest() != sha256:
            damage.append(f"the picture {name} is not what its hash says")
    return damage
