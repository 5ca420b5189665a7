"""What runs on by itself does not end because one try failed: the log tells of it, and the next try comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from newsletter.database.session import DATABASE_AWAY
from newsletter.log import get_log

_log = get_log(__name__)


@contextmanager
def outliving_failure(told: str, **about: object) -> Iterator[None]:
    """Let nothing that is raised inside go further; the log has `told`, and what it is about."""
    try:
        yield
    except DATABASE_AWAY as error:
        _log.warning("database did not answer", error=type(error).__name__)
    except Exception as error:
        # By its name alone: its words may hold an address.
        _log.error(told, error=type(error).__name__, **about)
