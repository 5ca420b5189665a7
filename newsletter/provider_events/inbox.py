"""Takes in what the provider posts: one row, at once, unread. What is in it is applied later."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from newsletter.database.audit import SCHEDULER, record
from newsletter.provider_events.model import PostState
from newsletter.provider_events.tables import ReceivedPost
from newsletter.providers.sendgrid.signature import PublicKey, is_signed

LIMIT = 30_000_000
"""Bytes of the largest post that is taken; SendGrid makes them of about 768 KB."""


def is_genuine(key: PublicKey, body: bytes, signature: str, timestamp: str) -> bool:
    """Whether a post may be kept: the provider has signed exactly these bytes."""
    return is_signed(key, body, signature, timestamp)


def keep_post(session: Session, body: bytes, *, now: datetime) -> None:
    """Keep a genuine post until it is applied; also one that nobody can read, or it would be repeated for a day."""
    session.execute(insert(ReceivedPost), [{"received_at": now, "state": PostState.WAITING, "body": body}])


def delete_old_posts(session: Session, *, now: datetime, days: int) -> int:
    """Delete the posts of more than so many days ago, but for those that wait; gives how many."""
    old = ReceivedPost.received_at < now - timedelta(days=days)
    gone = session.scalars(
        delete(ReceivedPost)
        .where(old, ReceivedPost.state != PostState.WAITING)
        .returning(ReceivedPost.number)
        .execution_options(synchronize_session=False)
    ).all()
    if gone:
        record(session, SCHEDULER, now, "provider posts deleted", "provider posts", posts=len(gone), days=days)
    return len(gone)
