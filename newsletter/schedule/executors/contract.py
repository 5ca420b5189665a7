"""What the scheduler asks of whatever gets batches sent.

The rows alone say what may go. An executor only sees to it that somebody looks: all it knows may be lost at any moment,
and what it does may be done twice.
"""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.orm import Session


class Executor(Protocol):
    """Gets batches sent while its process leads."""

    def start(self) -> None:
        """Begin; called once."""
        ...

    def announce(self, session: Session) -> None:
        """Batches have become ready to go in this transaction; what is done in it happens with them or not at all."""
        ...

    def send_what_may_go(self) -> None:
        """The rows have been looked at, and this process leads: whatever may go is got going, lost or new."""
        ...

    def rest(self) -> None:
        """This process does not lead (any more): nothing more is begun."""
        ...

    def stop(self) -> None:
        """End; called once. What this process has in flight is recorded first."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it still does its work."""
        ...
