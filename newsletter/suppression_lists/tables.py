"""Rows of the sync: up to when each list was read, and who is to be told to SendGrid."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant, Serial, words
from newsletter.providers.sendgrid.lists import ListName
from newsletter.subscribers.tables import Subscriber
from newsletter.suppression_lists.model import EntryState


class PulledList(Base):
    """One list of SendGrid's: read whole up to `pulled_until`, and what became of the tries since."""

    __tablename__ = "pulled_list"

    name: Mapped[ListName] = mapped_column(words(ListName), primary_key=True)
    pulled_until: Mapped[datetime | None] = mapped_column(Instant)
    tried_at: Mapped[datetime | None] = mapped_column(Instant)
    failures: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime | None] = mapped_column(Instant)
    trouble: Mapped[str] = mapped_column(Text, default="")


class ListEntry(Base):
    """One person on SendGrid's list of unsubscribes, or on the way there or off it; the address is not repeated here.

    `ours` says that they may stand there by our doing; `unsubscribe_group` is where, null for the list of all
    unsubscribes. `tries` counts those since the state last changed, `answer` is what SendGrid said to the last.
    """

    __tablename__ = "list_entry"
    __table_args__ = (Index("ix_list_entry_state_not_before", "state", "not_before"),)

    subscriber: Mapped[int] = mapped_column(
        Serial, ForeignKey(Subscriber.number, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    state: Mapped[EntryState] = mapped_column(words(EntryState))
    ours: Mapped[bool] = mapped_column(default=False)
    unsubscribe_group: Mapped[int | None]
    tries: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime | None] = mapped_column(Instant)
    answer: Mapped[str] = mapped_column(Text, default="")
    changed_at: Mapped[datetime] = mapped_column(Instant)
