"""An importer into a database of the test's own, and what became of people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from newsletter.database.audit import SHELL
from newsletter.database.session import Database
from newsletter.subscriber_import.model import Wish
from newsletter.subscriber_import.runner import Importer
from newsletter.subscriber_import.tables import Import
from newsletter.subscribers.address import address_hash
from newsletter.subscribers.tables import Subscriber, Suppression
from tests.factories import KEY, StillClock
from tests.subscriber_import.reading import TERMS


@dataclass
class Lists:
    """Imports lists of addresses, and tells how people stand."""

    database: Database
    folder: Path
    clock: StillClock

    @property
    def importer(self) -> Importer:
        """What imports, at the shell."""
        return Importer(self.database, self.clock, SHELL)

    def stage(self, text: str, *, wish: Wish = Wish.WANTS, name: str = "people.csv") -> Import:
        """The dry run of a CSV file."""
        file = self.folder / name
        file.write_text(text)
        return self.stage_file(file, wish=wish)

    def stage_file(self, file: Path, *, wish: Wish = Wish.WANTS) -> Import:
        """The dry run of a file."""
        return self.importer.stage([file], TERMS, consent_source="old list", controller="A Clinic", wish=wish)

    def bring_in(self, text: str, *, wish: Wish = Wish.WANTS) -> Import:
        """The dry run, and then what it has shown."""
        return self.importer.apply(self.stage(text, wish=wish).number)

    def states(self) -> dict[str, str]:
        """The state of everybody who has an address."""
        with self.database.read() as session:
            rows = session.execute(select(Subscriber.address_key, Subscriber.state)).all()
        return {key: state.value for key, state in rows if key}

    def suppressed(self, *addresses: str) -> list[str | None]:
        """Why each of these addresses must not be mailed."""
        with self.database.read() as session:
            reasons = dict(session.execute(select(Suppression.address_hash, Suppression.reason)).all())
        found = [reasons.get(address_hash(address, KEY)) for address in addresses]
        return [reason.value if reason else None for reason in found]
