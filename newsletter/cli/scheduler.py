"""The command that sends on time: scheduler."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import load_settings, say
from newsletter.cli.rows import opened

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(scheduler)


def scheduler(
    once: Annotated[bool, typer.Option("--once", help="Do what is due now, and end.")] = False,
) -> None:
    """Send every scheduled edition when its time has come, until it is ended with Ctrl-C."""
    from newsletter.clock import SystemClock
    from newsletter.errors import Refused
    from newsletter.schedule.jobs import keep_what_is_loaded, run_until_idle
    from newsletter.schedule.leader import leader_lock
    from newsletter.schedule.runner import make_rules, make_runner
    from newsletter.wiring import make_worker

    settings = load_settings()
    with opened(settings) as database:
        if once:
            lock = leader_lock(database)
            if not lock.acquire():
                raise Refused("Another process schedules already; what is due is its work.")
            keep_what_is_loaded()
            try:
                run_until_idle(make_worker(settings, database, SystemClock()), make_rules(settings))
            finally:
                lock.release()
            with database.read() as session:
                waiting = what_waits(session)
            if waiting:
                raise Refused(" ".join(waiting))
            return
        runner = make_runner(settings, database)
        ended = threading.Event()
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, lambda *_: ended.set())
        runner.start()
        say("Waiting for what is scheduled. End with Ctrl-C.")
        # A thread that died is told by the end of the process, so that whatever watches over it starts it again.
        while not ended.wait(1) and runner.is_alive:
            pass
        runner.stop()
        if not ended.is_set():
            raise Refused("The scheduler has died; its log says why. Start it again.")


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
