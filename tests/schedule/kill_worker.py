"""A process of the kill test: schedules and sends with everything as in the product, until it is killed or done.

Says `busy` when it begins to work. Arguments: URL of the database, folder of the mailbox.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

from newsletter.clock import SystemClock
from newsletter.database.session import open_database
from newsletter.delivery.worker import Worker
from newsletter.providers.mailbox import MailboxTransport
from newsletter.schedule.jobs import Rules, run_until_idle
from newsletter.subscribers.tokens import Tokens
from tests.factories import KEY, RULES


def main(url: str, folder: str) -> None:
    """Work until nothing is left."""
    transport = MailboxTransport(Path(folder), batch_limit=20)
    # Short, so that what a killed process held is free when the next one looks: PostgreSQL may have other workers.
    soon = timedelta(seconds=1)
    rules = Rules(RULES.zone, RULES.late_after, stale_after=soon)
    worker = Worker("killed", open_database(url), transport, Tokens([KEY]), SystemClock(), lease=soon)
    sys.stdout.write("busy\n")
    sys.stdout.flush()
    run_until_idle(worker, rules)


if __name__ == "__main__":
    main(*sys.argv[1:])
