"""A mail to leave, posted by the double over real connections, as SendGrid would."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from newsletter.clock import SystemClock
from newsletter.database.session import Database
from newsletter.rendering.brand import read_brand
from newsletter.settings import read_settings
from newsletter.site import Site
from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.queries import count_by_state
from newsletter.subscribers.tokens import Bearer, Purpose, Tokens
from newsletter.web import create_app
from tests.factories import KEY, add_people
from tests.node import ROOT
from tests.provider_events.signing import PRIVATE, as_pem
from tests.sendgrid_double.running import running_double

MAIL = "From: Ann <{}>\r\nTo: leave@inbound.example.org\r\nSubject: {}\r\n\r\nHello\r\n"


@contextmanager
def answering(site: Site) -> Iterator[str]:
    """A site on a free port of this machine; gives its address."""
    server = uvicorn.Server(uvicorn.Config(create_app(site), port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_mail_that_the_double_posts_lets_its_writer_leave(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        add_people(session, 3)
    tokens = Tokens([KEY])
    settings, brand = read_settings(ROOT, {}), read_brand(ROOT)
    site = Site(settings, database, tokens, SystemClock(), brand, inbound_key=PRIVATE.public_key())
    key = tmp_path / "key.pem"
    key.write_bytes(as_pem(PRIVATE))
    by_token = MAIL.format("x@example.com", f"unsubscribe {tokens.sign(Purpose.UNSUBSCRIBE, Bearer(1))}").encode()
    by_word = MAIL.format("reader2@example.org", "unsubscribe").encode()
    said = {"from": "reader2@example.org", "to": "leave@inbound.example.org"}
    signs = ("--events", "http://127.0.0.1:9/", "--events-key", str(key))
    with answering(site) as address, running_double(tmp_path, *signs) as double:
        webhook = f"{address}/webhooks/sendgrid/inbound"
        answers = [
            double.mail_in(by_token, webhook, raw="1", **said),
            double.mail_in(by_word, webhook, **said),
            double.mail_in(by_word, webhook, spf="pass", **said),
        ]
    assert answers == [204, 204, 204]
    with database.read() as session:
        assert count_by_state(session) == {SubscriberState.ACTIVE: 1, SubscriberState.UNSUBSCRIBED: 2}
