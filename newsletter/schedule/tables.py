"""The sign of life of the scheduler."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from newsletter.database.base import Base, Instant


class Heartbeat(Base):
    """When a part of the product was last seen at work."""

    __tablename__ = "heartbeat"

    part: Mapped[str] = mapped_column(Text, primary_key=True)
    worker: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(Instant)
