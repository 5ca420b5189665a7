"""All tables of the product, gathered: a table counts only when its module has been imported."""

from __future__ import annotations

from newsletter.database import audit, heartbeat
from newsletter.database.base import Base
from newsletter.delivery import tables as delivery
from newsletter.editions import tables as editions
from newsletter.staff import tables as staff
from newsletter.subscribers import tables as subscribers

MODULES = (audit, heartbeat, delivery, editions, staff, subscribers)
"""The modules that declare tables."""

METADATA = Base.metadata
"""The tables as this version's code knows them."""
