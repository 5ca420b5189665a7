"""From a mail that the double accepts to what status says of it, over two real connections."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import uvicorn

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.delivery.worker import Worker
from newsletter.provider_events.queries import count_posts, reconcile
from newsletter.providers.sendgrid.transport import SendGridTransport
from newsletter.rendering.brand import read_brand
from newsletter.schedule.event_jobs import apply_waiting
from newsletter.schedule.jobs import run_until_idle
from newsletter.settings import read_settings
from newsletter.site import Site
from newsletter.subscribers.model import NewSubscriber, SubscriberState
from newsletter.subscribers.queries import count_by_state
from newsletter.subscribers.tokens import Tokens
from newsletter.web import create_app
from tests.factories import EVENT_RULES, KEY, LONG_AGO, RULES, add_cast, add_readers, scheduled_edition
from tests.node import ROOT
from tests.provider_events.signing import PRIVATE, as_pem
from tests.sendgrid_double.running import running_double

NAMES = ("ana", "bea", "bounce1", "blocked1", "drop1", "defer1", "spam1", "unsubscribe1", "silent1")
HALF_A_MINUTE = 300


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_the_double_tells_arrives_and_adds_up(database: Database, tmp_path: Path) -> None:
    clock = SystemClock()
    site = Site(
        read_settings(ROOT, {}), database, Tokens([KEY]), clock, read_brand(ROOT), webhook_key=PRIVATE.public_key()
    )
    server = uvicorn.Server(uvicorn.Config(create_app(site), port=0, log_config=None, lifespan="off"))
    serving = threading.Thread(target=server.run)
    serving.start()
    while not server.started:
        time.sleep(0.1)
    port = server.servers[0].sockets[0].getsockname()[1]
    key = tmp_path / "key.pem"
    key.write_bytes(as_pem(PRIVATE))
    with database.write() as session:
        cast = add_cast(session, clock.now())
        people = [NewSubscriber(f"{name}@example.org", "en", (), False) for name in NAMES]
        add_readers(session, people, now=LONG_AGO)
    edition = scheduled_edition(database, cast, clock.now())
    options = ("--events", f"http://127.0.0.1:{port}/webhooks/sendgrid/events", "--events-key", str(key))
    faults = ("--events-fail", "repeated@0.5", "--events-fail", "without-id@0.5", "--events-fail", "shuffled")
    with running_double(tmp_path, *options, *faults) as double:
        transport = SendGridTransport(double.key, double.host, clock)
        run_until_idle(Worker("w", database, transport, Tokens([KEY]), clock), RULES)
        transport.close()
        for _ in range(HALF_A_MINUTE):
            with database.read() as session:
                if count_posts(session):
                    break
            time.sleep(0.1)
    server.should_exit = True
    serving.join()
    apply_waiting(database, clock, EVENT_RULES)
    with database.read() as session:
        found = reconcile(session, edition, now=clock.now())
        states = count_by_state(session)
    assert found.handed_over == len(NAMES)
    assert (found.delivered, found.bounced, found.dropped, found.deferred, found.not_heard_of) == (4, 2, 1, 1, 1)
    assert (found.complaints, found.left) == (1, 1)
    assert states == {SubscriberState.ACTIVE: 5, SubscriberState.SUPPRESSED: 3, SubscriberState.UNSUBSCRIBED: 1}
