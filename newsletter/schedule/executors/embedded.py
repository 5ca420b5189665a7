"""One process does it all: a thread of the leader takes batches from the rows.

A thread of its own, so that a long send delays neither the look at the rows nor the sign of life.
"""

from __future__ import annotations

import threading

from sqlalchemy.orm import Session

from newsletter.delivery.worker import Worker
from newsletter.schedule import jobs
from newsletter.schedule.outliving import outliving_failure
from newsletter.schedule.rules import Rules

GLANCE = 1.0
"""Seconds between two looks for batches that may go, such as those whose time to try again has come."""


class EmbeddedExecutor:
    """Sends in a thread of this process; see `contract.Executor`."""

    def __init__(self, worker: Worker, rules: Rules) -> None:
        self._worker = worker
        self._rules = rules
        self._leads = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._send_until_stopped, name="newsletter-sender", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def announce(self, session: Session) -> None:
        """Nothing: the thread looks at the rows."""

    def send_what_may_go(self) -> None:
        """Wake the thread."""
        self._leads = True
        self._wake.set()

    def rest(self) -> None:
        """Claim nothing more."""
        self._leads = False

    def stop(self) -> None:
        """End: nothing more is claimed, and a batch on its way is waited for and recorded."""
        self._worker.stopping.set()
        self._wake.set()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _send_until_stopped(self) -> None:
        while not self._worker.stopping.is_set():
            self._wake.wait(timeout=GLANCE)
            self._wake.clear()
            if self._must_rest():
                continue
            with outliving_failure("batch not sent"):
                jobs.send_all(self._worker, self._must_rest, self._rules)

    def _must_rest(self) -> bool:
        return self._worker.stopping.is_set() or not self._leads
