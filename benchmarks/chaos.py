"""What a send survives: processes are killed and the provider fails, as often as is asked for.

The story of tests/chaos, longer: month after month is sent to a double of SendGrid until enough processes were killed.
What the double has on record is held against the ledger after each month. Exits with 1 when a promise was broken.

Run: .venv/bin/python -m benchmarks.chaos [--kills 1000] [--database sqlite|postgresql|URL] [--workers 1|3] [--seed N]
`postgresql` starts a server of its own; a database at a URL must be empty.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from newsletter.database.session import open_database
from newsletter.migrations.steps import upgrade
from tests.chaos.story import Plot, Told, tell
from tests.database_fixtures import create_database, running_postgres

SECTIONS = {
    "people": "People, over all months",
    "killed": "Kills",
    "requests": "Requests, by what the provider did",
    "attempts": "Attempts",
    "events": "Events, and the posts they come in",
    "happened": "And",
}


@contextmanager
def opened(database: str, folder: Path) -> Iterator[str]:
    """The URL of an empty, migrated database."""
    if database == "postgresql":
        with running_postgres(fsync="on") as server:
            create_database(server.url, "chaos", "template0")
            yield migrated(server.url.format("chaos"))
    else:
        yield migrated(f"sqlite:///{folder / 'newsletter.sqlite3'}" if database == "sqlite" else database)


def migrated(url: str) -> str:
    database = open_database(url)
    upgrade(database.engine)
    database.close()
    return url


def table(told: Told) -> str:
    """All counts, a line each."""
    lines = []
    totals = ("killed", "requests")
    for section, title in SECTIONS.items():
        counts: Counter[str] = getattr(told, section)
        lines += ["", f"{title} ({counts.total():,})" if section in totals else title]
        lines += [f"  {number:>9,}  {name}" for name, number in sorted(counts.items())]
    return "\n".join(lines)


def main() -> None:
    """Tell one story and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1000, help="processes to kill")
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or the URL of an empty database")
    parser.add_argument("--workers", type=int, choices=(1, 3), default=1, help="processes that send at once")
    parser.add_argument("--people", type=int, default=600, help="readers in the first month")
    parser.add_argument("--events", action=argparse.BooleanOptionalAction, default=True, help="told by the provider")
    parser.add_argument("--seed", type=int, default=random.getrandbits(32), help="the dice of an earlier run")
    options = parser.parse_args()
    print(f"{options.kills} kills, {options.database}, {options.workers} at work, seed {options.seed}", flush=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="newsletter-chaos-") as name, opened(options.database, Path(name)) as url:
        plot = Plot(url, options.workers, options.kills, options.seed, options.people, events=options.events)
        told = tell(plot, Path(name))
    print(table(told))
    print(f"\n{time.perf_counter() - began:,.0f} s")
    for promise in told.broken:
        print(f"BROKEN: {promise}")
    sys.exit(1 if told.broken else 0)


if __name__ == "__main__":
    main()
