"""A sync over the double's line, and readers who leave, complain and come back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from newsletter.database.audit import SHELL
from newsletter.database.session import Database
from newsletter.providers.sendgrid.suppressions import SendGridLists
from newsletter.subscribers import actions
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.queries import get_subscriber
from newsletter.subscribers.sign_up import confirm
from newsletter.subscribers.tables import Subscriber, Suppression
from newsletter.suppression_lists.sync import Sync
from newsletter.suppression_lists.tables import ListEntry
from tests.factories import KEY, LONDON, StillClock, add_people, ask
from tests.sendgrid_double.running import RunningDouble


@dataclass
class Readers:
    """Readers `reader1@example.org` and on, in a database beside a double."""

    database: Database
    double: RunningDouble
    clock: StillClock
    sync: Sync

    def state(self, address: str) -> SubscriberState:
        """Where a reader stands."""
        with self.database.read() as session:
            return get_subscriber(session, address).state

    def states(self) -> dict[str, SubscriberState]:
        """Where everybody stands."""
        with self.database.read() as session:
            rows = session.execute(select(Subscriber.address, Subscriber.state).order_by(Subscriber.number))
            return {str(address): state for address, state in rows}

    def reasons(self) -> dict[str, SuppressionReason]:
        """Why readers are suppressed."""
        with self.database.read() as session:
            rows = session.execute(
                select(Subscriber.address, Suppression.reason).join(
                    Suppression, Suppression.address_hash == Subscriber.address_hash
                )
            )
            return {str(address): reason for address, reason in rows}

    def entries(self) -> dict[str, str]:
        """Who has an entry, and its state."""
        with self.database.read() as session:
            rows = session.execute(
                select(Subscriber.address, ListEntry.state).join(ListEntry, ListEntry.subscriber == Subscriber.number)
            )
            return {str(address): state.value for address, state in rows}

    def leave(self, address: str) -> None:
        """A reader leaves by a link of ours."""
        with self.database.write() as session:
            number = get_subscriber(session, address).number
            actions.unsubscribe(session, number, source="link", actor=SHELL, now=self.clock.now())

    def suppress(self, address: str, reason: SuppressionReason = SuppressionReason.STAFF) -> None:
        """Staff say that an address must not be mailed."""
        with self.database.write() as session:
            actions.suppress(
                session,
                address,
                reason=reason,
                source="desk",
                suppression_key=KEY,
                actor=SHELL,
                now=self.clock.now(),
            )

    def come_back(self, address: str) -> None:
        """A reader who has left asks and confirms again; whoever has not left stays as they are."""
        with self.database.write() as session:
            person = get_subscriber(session, address)
            if person.state is SubscriberState.UNSUBSCRIBED:
                # Who asked within 24 hours is not mailed again, and has nothing to confirm.
                asked = ask(session, address, now=self.clock.now())
                if asked is not None:
                    assert confirm(session, person.number, asked, trace=None, suppression_key=KEY, now=self.clock.now())

    def unsubscribed_at_sendgrid(self) -> set[str]:
        """Who is on SendGrid's list of all unsubscribes."""
        return {entry["email"] for entry in self.double.listed()["unsubscribes"]}

    def at(self) -> int:
        """Now, as SendGrid dates its entries."""
        return int(self.clock.now().timestamp())


def make_readers(database: Database, double: RunningDouble, count: int, group: int | None = None) -> Readers:
    """Readers of now: the double dates by the machine's clock what it is told."""
    clock = StillClock(datetime.now(UTC).replace(microsecond=0))
    with database.write() as session:
        add_people(session, count, now=clock.now())
    clock.go(days=3)
    lists = SendGridLists(double.key, double.host, clock, timeout=5, pause=0)
    return Readers(database, double, clock, Sync(database, lists, clock, LONDON, KEY, group))


def addresses(numbers: Iterable[int]) -> list[str]:
    """Readers by their numbers."""
    return [f"reader{number}@example.org" for number in numbers]
