"""Whether the answer to a sign-up tells by its time what an address is here: new, pending, active, suppressed.

Each kind is asked for as often, in turn, each time with an address of its own and once more with the same. Printed are
the median and the middle half of the times, as a browser on this machine sees them, and the same with the work alone.

Run: .venv/bin/python -m benchmarks.sign_up [--times 100] [--database postgresql]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import quantiles

from starlette.testclient import TestClient

from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL
from newsletter.database.session import Database, open_database
from newsletter.migrations.steps import upgrade
from newsletter.public.sign_up_form import make_stamp
from newsletter.rendering.brand import read_brand
from newsletter.settings import read_settings
from newsletter.site import Site
from newsletter.subscribers.actions import add_subscriber, suppress
from newsletter.subscribers.model import NewSubscriber, SuppressionReason
from newsletter.subscribers.offer import read_offer
from newsletter.subscribers.tokens import Tokens
from newsletter.web import create_app
from tests.database_fixtures import create_database, running_postgres
from tests.factories import ask
from tests.node import ROOT

KEY = "a key for benchmarks, long enough to be one"
KINDS = ("new", "pending", "active", "suppressed")
CLOCK = SystemClock()


def fill(database: Database, times: int) -> None:
    """So many people of each kind that is here already."""
    now = CLOCK.now() - timedelta(days=2)
    with database.write() as session:
        for number in range(times):
            ask(session, address("pending", number), now=now)
            person = NewSubscriber(address("active", number), "en")
            add_subscriber(session, person, consent_source="x", suppression_key=KEY, actor=SHELL, now=now)
            gone, reason = address("suppressed", number), SuppressionReason.COMPLAINED
            suppress(session, gone, reason=reason, source="x", suppression_key=KEY, actor=SHELL, now=now)


def address(kind: str, number: int) -> str:
    """Of the same length and of one domain for a few, so that no limit of a domain holds."""
    return f"{kind:x<10}{number:05}@d{number // 10:05}.example.org"


def measure(site: Site, times: int) -> Mapping[str, list[float]]:
    """Milliseconds of each answer, by what the address is."""
    client = TestClient(create_app(site), base_url="http://localhost:8000", client=("127.0.0.1", 50_000))
    wording = site.offer.wordings["en"].hash
    stamp = make_stamp(site.tokens, CLOCK.now() - timedelta(minutes=1))
    fields = {"wording": wording, "stamp": stamp, "consent": "yes", "language": "en"}
    took = defaultdict(list)
    for number in range(times):
        for once_more in ("", ", once more"):
            for kind in KINDS:
                start = time.perf_counter()
                answer = client.post("/subscribe", data={**fields, "address": address(kind, number)})
                took[kind + once_more].append((time.perf_counter() - start) * 1_000)
                assert answer.status_code == 200, answer.text
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--database", default="sqlite", choices=("sqlite", "postgresql"))
    given = parser.parse_args()
    for even, what in ((0.25, "as answered"), (0.0, "the work alone")):
        with opened(given.database) as database, tempfile.TemporaryDirectory() as folder:
            fill(database, given.times)
            settings = read_settings(ROOT, {"NEWSLETTER_SUPPRESSION_KEY": KEY})
            limits = settings.sending.model_copy(update={"sign_ups_an_hour": 1_000_000})
            settings = settings.model_copy(update={"workspace": Path(folder), "sending": limits})
            offer = read_offer(ROOT, language="en")
            site = Site(settings, database, Tokens([KEY]), CLOCK, read_brand(ROOT), offer=offer, even_answer=even)
            print(f"{what}, in ms:")
            for kind, took in measure(site, given.times).items():
                low, median, high = quantiles(took, n=4)
                print(f"  {kind:22} median {median:7.2f}   middle half {low:7.2f} to {high:7.2f}")


@contextmanager
def opened(kind: str) -> Iterator[Database]:
    """A new, empty database of a kind."""
    if kind == "postgresql":
        with running_postgres(fsync="on") as server:
            create_database(server.url, "benchmark", "template0")
            yield from _migrated(server.url.format("benchmark"))
        return
    with tempfile.TemporaryDirectory() as folder:
        yield from _migrated(f"sqlite:///{folder}/newsletter.sqlite3")


def _migrated(url: str) -> Iterator[Database]:
    database = open_database(url)
    upgrade(database.engine)
    yield database
    database.close()


if __name__ == "__main__":
    main()
