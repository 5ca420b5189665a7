"""A site with one letter sent to three readers, and a client that speaks to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from newsletter.database.session import Database
from newsletter.providers.mailbox import MailboxTransport
from newsletter.rendering.brand import read_brand
from newsletter.schedule.jobs import run_until_idle
from newsletter.settings import read_settings
from newsletter.site import Site
from newsletter.subscribers.offer import read_offer
from newsletter.subscribers.tokens import Bearer, Purpose, Tokens
from newsletter.web import create_app
from tests.factories import KEY, RULES, StillClock, edition_for, worker
from tests.node import ROOT

Client = Callable[..., TestClient]


@dataclass(frozen=True)
class Running:
    """A site after its letter has gone out."""

    site: Site
    edition: str
    clock: StillClock

    def token(self, purpose: Purpose, subscriber: int = 1) -> str:
        """A link of a reader, as it stood in the letter."""
        return self.site.tokens.sign(purpose, Bearer(subscriber, 1))


@pytest.fixture
def running(tmp_path: Path, database: Database) -> Running:
    settings = read_settings(ROOT, {"NEWSLETTER_SUPPRESSION_KEY": KEY}).model_copy(update={"workspace": tmp_path})
    clock = StillClock()
    edition = edition_for(database, 3)
    run_until_idle(worker(database, MailboxTransport(settings.mailbox), clock), RULES)
    offer = read_offer(ROOT, language="en")
    site = Site(settings, database, Tokens([KEY]), clock, read_brand(ROOT), offer=offer, even_answer=0)
    return Running(site, edition, clock)


@pytest.fixture
def client(running: Running) -> Client:
    """Makes clients; by default one on this machine."""

    def make(base_url: str = "http://localhost:8000", peer: str = "127.0.0.1", public_only: bool = False) -> TestClient:
        app = create_app(running.site, public_only=public_only)
        return TestClient(app, base_url=base_url, client=(peer, 50000), follow_redirects=False)

    return make
