"""What it costs to bring in a list: dry run, applying and undoing, in seconds, rows a second and memory.

The list is Mailchimp's, with addresses at some thousand domains, one in fifty of them twice, one in a hundred refused.
Each size has a process of its own, so that the memory told is its own.

Run: .venv/bin/python -m benchmarks.subscriber_import [--rows 10000 100000] [--database sqlite|postgresql]
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL
from newsletter.database.session import open_database
from newsletter.migrations.steps import upgrade
from newsletter.subscriber_import.rows import Terms
from newsletter.subscriber_import.runner import Importer
from newsletter.subscriber_import.tables import Import
from tests.database_fixtures import create_database, running_postgres

HEADER = (
    "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,GMTOFF,DSTOFF,"
    "TIMEZONE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS\n"
)
REST = (
    'Ann,Ash,2,"2024-03-04 10:11:12",192.0.2.1,"2024-03-04 10:12:12",192.0.2.1,0,1,Europe/London,GB,LND,'
    '"2024-03-04 10:12:12",1,a1,"","""friends"",""2024"""\n'
)


def write_list(file: Path, rows: int) -> None:
    """A list with so many rows, always the same."""
    chance = random.Random(7)
    domains = ["gmail.com", "outlook.com", "yahoo.com", *(f"d{n}.example.org" for n in range(3_000))]
    with file.open("w") as text:
        text.write(HEADER)
        for number in range(rows):
            who = number // 2 if number % 50 == 0 else number
            local = "no address" if number % 100 == 7 else f"first.last{who}"
            text.write(f"{local}@{domains[who % 3] if who % 4 else chance.choice(domains)},{REST}")


def measured(what: str, rows: int, act: Callable[[], Import]) -> Import:
    """Print what a step took."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = act()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    print(
        f"{rows:9,} {what:8} {wall:7.1f} s  {cpu:7.1f} s CPU here  {rows / wall:9,.0f} rows/s  {memory:4} MB",
        flush=True,
    )
    return done


def measure(url: str, file: Path, rows: int) -> None:
    """Bring in a list, and take it back."""
    database = open_database(url)
    upgrade(database.engine)
    terms = Terms("en", {}, "a key for benchmarks")
    importer = Importer(database, SystemClock(), SHELL)
    staged = measured(
        "dry run", rows, lambda: importer.stage([file], terms, consent_source="a benchmark", controller="A Clinic")
    )
    measured("apply", rows, lambda: importer.apply(staged.number))
    done = measured("undo", rows, lambda: importer.undo(staged.number))
    print(f"{'':9} {staged.counts['verdicts']} {done.outcome}", flush=True)
    database.close()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.url:
            file = Path(folder) / "people.csv"
            write_list(file, given.rows[0])
            measure(given.url, file, given.rows[0])
        elif given.database == "sqlite":
            for rows in given.rows:
                _alone(rows, f"sqlite:///{folder}/{rows}.sqlite3")
        else:
            with running_postgres(fsync="on") as server:
                for rows in given.rows:
                    create_database(server.url, f"import_{rows}", "template0")
                    _alone(rows, server.url.format(f"import_{rows}"))


def _alone(rows: int, url: str) -> None:
    words = ["-m", "benchmarks.subscriber_import", "--rows", str(rows), "--url", url]
    subprocess.run([sys.executable, *words], check=True)


if __name__ == "__main__":
    main()
