"""A site whose archive has the sample month in it, sent to three readers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import uvicorn

from newsletter.campaigns.model import Campaign
from newsletter.database.session import Database
from newsletter.editions.freeze import freeze_edition
from newsletter.editions.model import Snapshot
from newsletter.providers.mailbox import MailboxTransport
from newsletter.rendering.brand import read_brand
from newsletter.schedule.jobs import run_until_idle
from newsletter.settings import Settings, read_settings
from newsletter.site import Site
from newsletter.subscribers.offer import read_offer
from newsletter.subscribers.tokens import Tokens
from newsletter.web import create_app
from newsletter.wiring import read_named_campaign, render_mailing
from tests.factories import KEY, RULES, StillClock, add_cast, add_people, find_cast, scheduled_edition, worker
from tests.node import ROOT


@cache
def sample_letters(language: str = "en") -> tuple[Snapshot, ...]:
    """The mailings of the sample month as they are submitted, as if written in a language; everybody gets them."""
    settings = _settings()
    campaign = read_named_campaign(settings, "2026-11")
    audience = replace(campaign.audience, topics=(), any_language=True)
    campaign = replace(campaign, language=language, audience=audience)
    return tuple(_freeze(settings, campaign, at) for at in range(len(campaign.mailings)))


def _settings() -> Settings:
    return read_settings(ROOT, {"NEWSLETTER_BASE_URL": "https://news.example.org"})


def _freeze(settings: Settings, campaign: Campaign, at: int) -> Snapshot:
    mailing = campaign.mailings[at]
    return freeze_edition(render_mailing(settings, campaign, mailing), campaign, mailing, settings)


def publish(database: Database, folder: Path, *letters: Snapshot) -> Site:
    """A site after these letters have gone out, two weeks between them; its clock stands at the end."""
    clock = StillClock()
    with database.write() as session:
        add_cast(session)
        add_people(session, 3)
    for letter in letters:
        send_out(database, folder, letter, clock)
    offer = read_offer(ROOT, language="en")
    return Site(_settings(), database, Tokens([KEY]), clock, read_brand(ROOT), offer=offer)


def send_out(database: Database, folder: Path, letter: Snapshot, clock: StillClock) -> None:
    """Send a letter now, and let two weeks go by."""
    with database.read() as session:
        cast = find_cast(session)
    scheduled_edition(database, cast, clock.now(), replace(letter, send_at=clock.now() + timedelta(hours=1)))
    run_until_idle(worker(database, MailboxTransport(folder), clock), RULES)
    clock.go(days=14)


@contextmanager
def answering(site: Site) -> Iterator[str]:
    """The address at which a site answers on this machine, for a while."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(create_app(site), log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()
