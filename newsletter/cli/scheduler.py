"""The command that sends on time: scheduler."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from newsletter.cli.console import load_settings, say
from newsletter.cli.rows import opened


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
