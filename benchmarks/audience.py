"""What it costs to say who gets an edition: everybody, each with a reason when left out, counted in one statement.

A third of the people chose topics, some have left, paused or bounced, and a quarter read another language.

Run: .venv/bin/python -m benchmarks.audience [--readers 10000 --readers 1000000] [--database sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import insert, text

from newsletter.campaigns.model import AudienceRule
from newsletter.database.session import Database, open_database
from newsletter.migrations.steps import upgrade
from newsletter.subscribers.audience import count_audience, resolve_audience
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.tables import Subscriber, SubscriberTopic, Suppression
from tests.database_fixtures import create_database, running_postgres

SIZES = [10_000, 100_000, 1_000_000]
NOW = datetime(2026, 11, 3, 9, tzinfo=UTC)
RULES = {
    "everybody": AudienceRule(),
    "by topics": AudienceRule(topics=("sleep", "pain")),
    "by topics, joined before": AudienceRule(topics=("sleep", "pain"), joined_before=(NOW - timedelta(days=3)).date()),
}
CHUNK = 20_000
STATES = [*[SubscriberState.ACTIVE] * 17, SubscriberState.PENDING, SubscriberState.PAUSED, SubscriberState.UNSUBSCRIBED]


@contextmanager
def opened(kind: str) -> Iterator[Database]:
    """An empty, migrated database of a kind."""
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sqlite":
            database = open_database(f"sqlite:///{Path(folder) / 'newsletter.sqlite3'}")
            upgrade(database.engine)
            yield database
            database.close()
            return
        with running_postgres(fsync="on") as server:
            create_database(server.url, "audience", "template0")
            database = open_database(server.url.format("audience"))
            upgrade(database.engine)
            yield database
            database.close()


def add_people(database: Database, first: int, last: int) -> None:
    """People by their numbers, some thousands in each transaction."""
    for start in range(first, last + 1, CHUNK):
        numbers = range(start, min(start + CHUNK, last + 1))
        with database.write() as session:
            session.execute(
                insert(Subscriber),
                [
                    {
                        "number": n,
                        "state": STATES[n % len(STATES)],
                        "address": f"reader{n}@example.org",
                        "address_key": f"reader{n}@example.org",
                        "address_hash": f"{n:064x}",
                        "language": "de" if n % 4 == 0 else "en-GB",
                        "text_only": n % 10 == 0,
                        "added_at": NOW - timedelta(days=n % 30),
                        "joined_at": NOW - timedelta(days=n % 30, hours=1),
                    }
                    for n in numbers
                ],
            )
            topics = [
                {"subscriber": n, "topic": topic}
                for n in numbers
                if n % 3 == 0
                for topic in (("sleep", "mood") if n % 2 else ("stress",))
            ]
            session.execute(insert(SubscriberTopic), topics)
            bounced = [
                {"address_hash": f"{n:064x}", "reason": SuppressionReason.BOUNCED, "source": "x", "at": NOW}
                for n in numbers
                if n % 50 == 0
            ]
            session.execute(insert(Suppression), bounced)


def main() -> None:
    """Print a line for each size and rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, action="append", help="how many; repeatable")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    chosen = parser.parse_args()
    print(f"{chosen.database}: people, rule, get it, wall")
    with opened(chosen.database) as database:
        there = 0
        for size in sorted(chosen.readers or SIZES):
            add_people(database, there + 1, size)
            there = size
            with database.write() as session:
                session.execute(text("ANALYZE"))
            for name, rule in RULES.items():
                everybody = resolve_audience(rule, language="en", at=NOW, zone=ZoneInfo("Europe/London"))
                begin = time.perf_counter()
                with database.read() as session:
                    found = count_audience(session, everybody)
                wall = time.perf_counter() - begin
                assert found.people + sum(found.left_out.values()) == size
                print(f"{size:>10,}  {name:<26} {found.people:>9,} {wall:>7.2f} s", flush=True)
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
