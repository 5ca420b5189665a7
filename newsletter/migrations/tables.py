"""All tables of the product, gathered: a table counts only when its module has been imported."""

from __future__ import annotations

from newsletter.database import audit, heartbeat, instance
from newsletter.database.base import Base
from newsletter.delivery import tables as delivery
from newsletter.editions import tables as editions
from newsletter.provider_events import tables as provider_events
from newsletter.staff import tables as staff
from newsletter.subscriber_import import tables as subscriber_import
from newsletter.subscribers import tables as subscribers
from newsletter.suppression_lists import tables as suppression_lists

MODULES = (
    audit,
    heartbeat,
    instance,
    delivery,
    editions,
    provider_events,
    staff,
    subscriber_import,
    subscribers,
    suppression_lists,
)
"""The modules that declare tables."""

METADATA = Base.metadata
"""The tables as this version's code knows them."""


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Whether something in the database is one of them, or in one: the queue's tables are Procrastinate's own."""
    return not (kind == "table" and name is not None and name.startswith("procrastinate_"))
