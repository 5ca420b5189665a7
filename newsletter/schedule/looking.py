"""A thread of its own that looks every second whether there is something to do, so that no send keeps it waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

from newsletter.schedule.outliving import outliving_failure

LOOK_EVERY = timedelta(seconds=1)

IsStopping = Callable[[], bool]


class Looker:
    """Calls `look` again and again while this process leads; whatever it raises is told in the log as `told`."""

    def __init__(
        self,
        name: str,
        look: Callable[[IsStopping], object],
        *,
        told: str,
        is_leading: Callable[[], bool],
        every: timedelta = LOOK_EVERY,
    ) -> None:
        self._look = look
        self._told = told
        self._is_leading = is_leading
        self._every = every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look_until_stopped, name=f"newsletter-{name}", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End with what is being done."""
        self._stopping.set()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs: one that has died does not tell."""
        return self._thread.is_alive()

    def _look_until_stopped(self) -> None:
        while not self._stopping.wait(self._every.total_seconds()):
            if self._is_leading():
                with outliving_failure(self._told):
                    self._look(self._stopping.is_set)
