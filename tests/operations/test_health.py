"""What machines ask: whether it lives, whether it can send, and how much; nobody is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.testclient import TestClient

from newsletter.database.audit import SHELL
from newsletter.database.instance import lock
from newsletter.provider_events.inbox import keep_post
from newsletter.providers.contract import Outcome, Receipt
from newsletter.schedule.jobs import run_until_idle
from newsletter.site import Site
from newsletter.staff.model import NoticeKind
from newsletter.staff.notices import want_notice
from newsletter.subscribers.tokens import Purpose
from newsletter.web import create_app
from tests.factories import (
    KEY,
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    ask,
    find_cast,
    scheduled_edition,
    snapshot,
    worker,
)
from tests.web.conftest import Client, Running
from tests.web.conftest import client as client
from tests.web.conftest import running as running


def state_of(client: TestClient, part: str) -> str:
    state: str = client.get("/readyz").json()["checks"][part]["state"]
    return state


def measured(client: TestClient) -> dict[str, float]:
    """Every sample by its name and labels."""
    found = client.get("/metrics")
    assert found.status_code == 200
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(found.text)
        for sample in family.samples
    }


def test_it_is_ready_while_the_scheduler_is_at_work_and_not_long_after(running: Running, client: Client) -> None:
    here = client()
    assert here.get("/healthz").text == "ok\n"
    ready = here.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (200, True)
    clock = running.site.clock
    assert isinstance(clock, StillClock)
    clock.go(seconds=46)
    assert here.get("/readyz").status_code == 503
    assert state_of(here, "scheduler") == "stop"
    clock.go(hours=-1)
    assert state_of(here, "clock") == "stop"
    assert here.get("/healthz").status_code == 200


def test_a_locked_database_is_not_ready(running: Running, client: Client) -> None:
    with running.site.database.write() as session:
        lock(session, "it was copied", actor=SHELL, now=NOON)
    assert state_of(client(), "sending") == "stop"
    assert measured(client())["newsletter_sending_locked"] == 1


def test_an_old_uncertain_attempt_wants_a_look(running: Running, client: Client) -> None:
    with running.site.database.read() as session:
        cast = find_cast(session)
    scheduled_edition(running.site.database, cast, given=snapshot(mailing="second"))
    clock = running.site.clock
    assert isinstance(clock, StillClock)
    transport = FakeTransport(answers=[Receipt(Outcome.UNCERTAIN, "cut")])
    run_until_idle(worker(running.site.database, transport, clock), RULES)
    assert state_of(client(), "uncertain") == "ok"
    clock.go(minutes=16)
    assert state_of(client(), "uncertain") == "warn"
    found = measured(client())
    assert found["newsletter_people uncertain"] == 3
    assert found["newsletter_batches uncertain"] == 1
    assert found["newsletter_oldest_uncertain_seconds"] == timedelta(minutes=16).total_seconds()


def test_a_webhook_that_is_silent_for_an_hour_wants_a_look(running: Running, client: Client) -> None:
    site, clock = running.site, running.site.clock
    assert isinstance(clock, StillClock)
    machine = site.settings.machine.model_copy(update={"transport": "sendgrid", "suppression_key": SecretStr(KEY)})
    by_sendgrid = replace(site, settings=site.settings.model_copy(update={"machine": machine}))
    here = TestClient(create_app(by_sendgrid), client=("127.0.0.1", 50000))
    with site.database.read() as session:
        cast = find_cast(session)
    scheduled_edition(site.database, cast, given=snapshot(mailing="second"))
    run_until_idle(worker(site.database, FakeTransport(name="sendgrid"), clock), RULES)
    assert state_of(here, "provider events") == "ok"
    assert "newsletter_last_event_seconds" not in measured(here)
    clock.go(minutes=61)
    answer = here.get("/readyz").json()["checks"]["provider events"]
    assert answer == {"state": "warn", "told": "nothing is heard of what was handed over 61 minutes ago"}
    with site.database.write() as session:
        keep_post(session, b"[]", now=clock.now())
        want_notice(session, NoticeKind.HELD, "an edition", cause="a test", reason="late", now=clock.now())
    clock.go(minutes=1)
    assert state_of(here, "provider events") == "ok"
    found = measured(here)
    assert found["newsletter_last_event_seconds"] == 60
    assert found["newsletter_provider_posts waiting"] == 1
    assert (found["newsletter_notices waiting"], found["newsletter_notices failing"]) == (1, 0)
    assert found["newsletter_unsubscribes_waiting"] == 0


def test_measurements_name_neither_a_reader_nor_a_link_nor_a_subject(running: Running, client: Client) -> None:
    here = client()
    token = running.token(Purpose.UNSUBSCRIBE)
    here.get(f"/unsubscribe/{token}")
    here.get("/nothing/reader1@example.org")
    here.request("BREW", "/healthz")
    here.get("/static/site.css")
    text = here.get("/metrics").text
    for private in (token, "@", "Pain that was learned", "BREW"):
        assert private not in text
    found = measured(here)
    assert found["newsletter_http_answers_total GET /unsubscribe/{token} 200"] == 1
    assert found["newsletter_http_answers_total GET none 404"] == 1
    assert found["newsletter_sends finished"] == 1
    assert found["newsletter_attempts accepted"] == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_measurements_are_for_this_machine_or_with_the_token(running: Running, client: Client) -> None:
    elsewhere = client(peer="203.0.113.9")
    assert elsewhere.get("/metrics").status_code == 403
    assert client().get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 403
    machine = running.site.settings.machine.model_copy(update={"metrics_token": SecretStr("a long token")})
    site: Site = replace(running.site, settings=running.site.settings.model_copy(update={"machine": machine}))
    with_token = TestClient(create_app(site), client=("203.0.113.9", 50000))
    assert with_token.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 403
    assert with_token.get("/metrics", headers={"Authorization": "Bearer a long token"}).status_code == 200
    # To others it says no more than how each part stands.
    assert set(with_token.get("/readyz").json()["checks"]["database"]) == {"state"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_does_not_answer_is_told_and_not_raised(running: Running, client: Client) -> None:
    here = client()
    file = running.site.database.file
    assert file
    running.site.database.close()
    for path in file.parent.glob(f"{file.name}*"):
        path.write_bytes(b"nothing of a database" * 100)
    assert here.get("/readyz").status_code == 503
    assert measured(here)["newsletter_database_up"] == 0


def test_readers_who_wait_for_a_mail_are_counted_and_after_minutes_told(running: Running, client: Client) -> None:
    clock = running.site.clock
    assert isinstance(clock, StillClock)
    here = client()
    assert state_of(here, "mails to readers") == "ok"
    with running.site.database.write() as session:
        ask(session, "new@example.org", now=clock.now())
    clock.go(minutes=4)
    assert state_of(here, "mails to readers") == "ok"
    found = measured(here)
    assert (found["newsletter_reader_notices waiting"], found["newsletter_reader_notices failing"]) == (1, 0)
    assert found["newsletter_oldest_reader_notice_seconds"] == timedelta(minutes=4).total_seconds()
    clock.go(minutes=2)
    assert state_of(here, "mails to readers") == "warn"
    assert "example.org" not in here.get("/readyz").text
