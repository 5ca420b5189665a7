"""The commands that send on time: scheduler, worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import load_settings, say
from newsletter.cli.rows import opened
from newsletter.cli.serve import HealthPort, answering_health, told_to_end

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from newsletter.database.session import Database
    from newsletter.schedule.queue_worker import QueueWorker
    from newsletter.schedule.runner import Runner
    from newsletter.settings import Settings


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(scheduler)
    app.command()(worker)


def scheduler(
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, and end.")] = False,
    health_port: HealthPort = 0,
) -> None:
    """Send every scheduled edition when its time has come, until it is ended with Ctrl-C.

    On PostgreSQL it has them sent by workers, but for --once; on SQLite it sends them itself.
    """
    from newsletter.log import start_logging
    from newsletter.schedule.runner import make_runner

    settings = load_settings()
    start_logging(settings.machine.log_level)
    with opened(settings) as database:
        if once:
            _do_what_is_due(settings, database)
            return
        runner = make_runner(settings, database, with_workers=True)
        say("Waiting for what is scheduled. End with Ctrl-C.")
        with answering_health(settings, database, health_port):
            run_until_ended(runner, "The scheduler")


def _do_what_is_due(settings: Settings, database: Database) -> None:
    from newsletter.clock import SystemClock
    from newsletter.errors import Refused
    from newsletter.notices.mailing import tell_staff
    from newsletter.notices.reader_mailing import ReaderMailer
    from newsletter.schedule.jobs import keep_what_is_loaded, run_until_idle
    from newsletter.schedule.leader import leader_lock
    from newsletter.schedule.reader_jobs import ReaderKeeper
    from newsletter.schedule.rules import make_rules
    from newsletter.wiring import make_desk, make_reader_desk, make_worker

    lock = leader_lock(database)
    if not lock.acquire():
        raise Refused("Another process schedules already; what is due is its work.")
    keep_what_is_loaded()
    try:
        clock = SystemClock()
        rules = make_rules(settings)
        ReaderKeeper(database, clock, rules.pending_days).look()
        run_until_idle(make_worker(settings, database, clock), rules)
        tell_staff(make_desk(settings, database, clock))
        ReaderMailer(make_reader_desk(settings, database, clock)).look()
    finally:
        lock.release()
    with database.read() as session:
        waiting = what_waits(session)
    if waiting:
        raise Refused(" ".join(waiting))


def worker(
    concurrency: Annotated[
        int, typer.Option("--concurrency", min=1, max=12, help="How many batches it sends at once.")
    ] = 4,
    health_port: HealthPort = 0,
) -> None:
    """Send batches beside other workers, on this machine or others, until it is ended with Ctrl-C; on PostgreSQL.

    When it is told to end it takes no more batches, waits for the answers to those on their way, and ends with 0.
    Told a second time it ends at once, and what was on its way is uncertain.
    """
    from newsletter.errors import Refused
    from newsletter.log import start_logging
    from newsletter.schedule.queue_worker import make_queue_worker

    settings = load_settings()
    start_logging(settings.machine.log_level)
    with opened(settings) as database:
        if database.is_sqlite:
            raise Refused(
                "Workers share a PostgreSQL database, and DATABASE_URL is SQLite, beside which one process sends. "
                "Run that one: newsletter serve"
            )
        at_work = make_queue_worker(settings, database, concurrency)
        say(f"Sending up to {concurrency} batches at once. End with Ctrl-C.")
        with answering_health(settings, database, health_port):
            run_until_ended(at_work, "The worker")


def run_until_ended(part: Runner | QueueWorker, name: str) -> None:
    """Run a part until the process is told to end, then let it end in order; raises Refused when it dies."""
    from newsletter.errors import Refused

    ended = told_to_end()
    part.start()
    # A thread that died is told by the end of the process, so that whatever watches over it starts it again.
    while not ended.wait(1) and part.is_alive:
        pass
    part.stop()
    if not ended.is_set():
        raise Refused(f"{name} has died; its log says why. Start it again.")


def what_waits(session: Session) -> list[str]:
    """A sentence for each send that is paused, or has not gone to its end, with the reason."""
    from newsletter.delivery.model import SendState
    from newsletter.delivery.queries import find_trouble, get_progress, list_sends
    from newsletter.editions.tables import Edition

    told = []
    for send in list_sends(session, SendState.PAUSED, SendState.RUNNING, SendState.PLANNING):
        edition = session.get_one(Edition, send.edition).id
        trouble = find_trouble(session, edition)
        uncertain = get_progress(session, edition).uncertain
        reason = send.note or (trouble.answer if trouble else "")
        if not reason:
            reason = f"of {uncertain} people nobody knows whether they have it" if uncertain else "no reason was given"
        stands = "is paused" if send.state is SendState.PAUSED else "waits"
        told.append(f"{edition} {stands}: {reason.rstrip('.')}.")
    return told
