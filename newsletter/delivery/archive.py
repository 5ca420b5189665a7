"""What went out and everybody may read: the public archive, as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Row, exists, or_, select
from sqlalchemy.orm import Session

from newsletter.delivery.model import BatchState
from newsletter.delivery.tables import Batch, Send
from newsletter.editions.tables import Edition


@dataclass(frozen=True)
class ArchivedEdition:
    """The newest edition of a mailing that somebody may have in their inbox; `serial` is its row's.

    `sent_at` is when the mailing first went out, `corrected_at` when this edition did, if an earlier one had gone out.
    `base_url` is that of the first, as it was then.
    """

    serial: int
    month: str
    mailing: str
    subject: str
    preheader: str
    theme: str
    language: str
    base_url: str
    sent_at: datetime
    corrected_at: datetime | None

    @property
    def slug(self) -> str:
        """Its name in addresses: `2026-11-opening`."""
        return f"{self.month}-{self.mailing}"

    @property
    def path(self) -> str:
        """Where its page is, on the public site."""
        return f"/archive/{self.slug}"

    @property
    def updated_at(self) -> datetime:
        """When its page last changed."""
        return self.corrected_at or self.sent_at


def list_archived(session: Session) -> list[ArchivedEdition]:
    """Everything in the archive, newest first."""
    found = _newest_of_each_mailing(session.execute(_WENT_OUT))
    return sorted(found, key=lambda one: (one.month, one.sent_at), reverse=True)


def find_newest_archived(session: Session, *, language: str) -> ArchivedEdition | None:
    """The newest of the archive that somebody who reads `language` can read; who reads en-GB reads what is in en."""
    primary = language.partition("-")[0].lower()
    theirs = (one for one in list_archived(session) if one.language.partition("-")[0].lower() == primary)
    return next(theirs, None)


# Before anything was handed over a send can be undone; after that somebody may hold a mail that links here.
_SOMEBODY_MAY_HAVE_IT = exists().where(
    Batch.edition == Edition.serial,
    or_(Batch.handed_over > 0, Batch.uncertain > 0, Batch.state == BatchState.IN_FLIGHT),
)
_WENT_OUT = (
    select(
        Edition.serial,
        Edition.month,
        Edition.mailing,
        Edition.subject,
        Edition.preheader,
        Edition.theme,
        Edition.language,
        Edition.base_url,
        Edition.in_archive,
        Send.opened_at,
    )
    .join(Send, Send.edition == Edition.serial)
    .where(_SOMEBODY_MAY_HAVE_IT)
    .order_by(Edition.month, Edition.mailing, Edition.number.desc())
)


def _newest_of_each_mailing(rows: Iterable[Row[Any]]) -> Iterator[ArchivedEdition]:
    for _, of_mailing in groupby(rows, key=lambda row: (row.month, row.mailing)):
        newest, *earlier = of_mailing
        first = earlier[-1] if earlier else newest
        if newest.in_archive:
            yield ArchivedEdition(
                serial=newest.serial,
                month=newest.month,
                mailing=newest.mailing,
                subject=newest.subject,
                preheader=newest.preheader,
                theme=newest.theme,
                language=newest.language,
                base_url=first.base_url,
                sent_at=first.opened_at,
                corrected_at=newest.opened_at if earlier else None,
            )
