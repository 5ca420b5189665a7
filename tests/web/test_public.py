"""Public pages: leaving by one click, pictures, the archive; and no GET that changes anything."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from sqlalchemy import event, select, text
from starlette.routing import Route
from starlette.testclient import TestClient

from newsletter.database.session import Database
from newsletter.migrations.tables import METADATA
from newsletter.public.routes import ROUTES
from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Purpose
from newsletter.web import create_app
from tests.delivery.test_stopped import is_blocked
from tests.web.conftest import Client, Running

PICTURE = hashlib.sha256(b"a picture").hexdigest()


def state_of(running: Running, subscriber: int) -> SubscriberState:
    with running.site.database.read() as session:
        return session.get_one(Subscriber, subscriber).state


def everything(database: Database) -> dict[str, list[Any]]:
    """Every row of every table."""
    with database.read() as session:
        return {t.name: sorted(map(repr, session.execute(select(t)).all())) for t in METADATA.sorted_tables}


def addresses(running: Running) -> list[str]:
    return [
        f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}",
        f"/preferences/{running.token(Purpose.PREFERENCES)}",
        "/unsubscribe/nonsense",
        "/preferences/nonsense",
        "/archive/2026-11-opening",
        "/archive/2026-11-nothing",
        "/archive/x",
        "/archive/2026-11-%00",
        "/archive/2026-11-",
        "/archive",
        "/archive/",
        "/archive/2026",
        "/archive/feed.xml",
        "/robots.txt",
        "/sitemap.xml",
        f"/media/{PICTURE}.png",
        "/media/nothing.png",
        "/static/brand.css",
        "/static/public.css",
        "/studio/inbox",
        "/studio/inbox/nd1x1",
        "/studio/inbox/nd1x1/html",
        "/studio/inbox/nd1x1/file",
        "/nothing",
        "/",
    ]


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_scanners_that_open_every_link_change_nothing(running: Running, client: Client, method: str) -> None:
    before = everything(running.site.database)
    for address in addresses(running):
        assert client().request(method, address).status_code < 500, address
    assert everything(running.site.database) == before


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"List-Unsubscribe": "One-Click"}},
        {"files": {"List-Unsubscribe": (None, "One-Click")}},
        {"data": {}},
        {"content": b"\xff\x00 garbage", "headers": {"content-type": "application/json"}},
    ],
)
def test_one_click_acts_at_once_whatever_the_body(running: Running, client: Client, body: dict[str, Any]) -> None:
    answer = client().post(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}", **body)
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert state_of(running, 1) is SubscriberState.UNSUBSCRIBED
    assert state_of(running, 2) is SubscriberState.ACTIVE


def test_leaving_twice_is_as_good_as_once(running: Running, client: Client) -> None:
    address = f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}"
    client().post(address)
    before = everything(running.site.database)
    assert client().post(address).status_code == 200
    assert everything(running.site.database) == before


@pytest.fixture
def lock(running: Running) -> Iterator[sqlite3.Connection]:
    """Another program that writes to the SQLite database of the site; a transaction of the site waits 0.1 s for it."""
    database = running.site.database
    event.listen(database.engine, "checkout", lambda raw, *_: raw.execute("PRAGMA busy_timeout = 100"))
    other = sqlite3.connect(str(database.file), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


# PostgreSQL locks rows, not the database.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
def test_who_leaves_while_the_database_is_held_has_left_when_it_is_free(
    running: Running, client: Client, lock: sqlite3.Connection
) -> None:
    release = threading.Timer(1, lock.execute, ("ROLLBACK",))
    release.start()
    answer = client().post(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}")
    release.join()
    assert answer.status_code == 200
    assert state_of(running, 1) is SubscriberState.UNSUBSCRIBED


@on_sqlite
def test_many_who_wait_to_leave_keep_nobody_else_waiting(running: Running, lock: sqlite3.Connection) -> None:
    link = f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}"

    async def leave_at_once() -> list[int]:
        transport = httpx2.ASGITransport(create_app(running.site))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            leaving = [asyncio.create_task(client.post(link)) for _ in range(100)]
            for page in ("/healthz", "/archive/2026-11-opening", "/healthz"):
                assert (await client.get(page)).status_code == 200
            # So they were answered before any of those who wait.
            assert not any(task.done() for task in leaving)
            lock.execute("ROLLBACK")
            return [answer.status_code for answer in await asyncio.gather(*leaving)]

    assert asyncio.run(leave_at_once()) == [200] * 100
    assert state_of(running, 1) is SubscriberState.UNSUBSCRIBED


@on_sqlite
def test_who_cannot_leave_yet_is_told_so_and_how_else(running: Running, lock: sqlite3.Connection) -> None:
    client = TestClient(create_app(replace(running.site, patience=0)), base_url="http://localhost:8000")
    answer = client.post(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "You have not left yet" in answer.text
    assert f"mailto:{running.site.settings.sender.reply_to}" in answer.text


def test_an_answer_to_a_fault_of_ours_carries_the_careful_headers_too(running: Running) -> None:
    broken = replace(running.site, database=None)  # type: ignore[arg-type]
    client = TestClient(create_app(broken), raise_server_exceptions=False)
    answer = client.get(f"/media/{PICTURE}.png")
    assert answer.status_code == 500
    assert "That was our fault" in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Traceback" not in answer.text


def test_one_click_needs_no_name_no_cookie_and_no_origin(running: Running, client: Client) -> None:
    outside = client(base_url="https://news.clinic.example.org", peer="203.0.113.9")
    headers = {"Origin": "https://mail.example.org", "Sec-Fetch-Site": "cross-site"}
    answer = outside.post(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}", headers=headers)
    assert answer.status_code == 200
    assert state_of(running, 1) is SubscriberState.UNSUBSCRIBED


def test_no_other_token_lets_anybody_leave(running: Running, client: Client) -> None:
    good = running.token(Purpose.UNSUBSCRIBE)
    tries = [running.token(Purpose.PREFERENCES), good[:-1], good + "0", good[1:], "a" * 32 + "1.1", "", "%00", "é"]
    tries += [good[:at] + ("0" if good[at] != "0" else "1") + good[at + 1 :] for at in range(len(good))]
    before = everything(running.site.database)
    for token in tries:
        assert client().post(f"/unsubscribe/{token}").status_code == 404, token
    assert everything(running.site.database) == before


def test_the_page_to_leave_shows_no_whole_address(running: Running, client: Client) -> None:
    page = client().get(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}").text
    assert "r•••@e•••.org" in page
    assert "reader1" not in page
    assert page.count("<form") == page.count("<button") == 1


def test_who_has_left_is_not_told_that_they_get_it(running: Running, client: Client) -> None:
    link = f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}"
    assert "We send our newsletter to" in client().get(link).text
    client().post(link)
    page = client().get(link).text
    assert "We send our newsletter" not in page
    assert page.count("<button") == 1


def test_personal_pages_are_kept_by_nobody(running: Running, client: Client) -> None:
    for name in ("unsubscribe", "preferences"):
        headers = client().get(f"/{name}/{running.token(Purpose(name))}").headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "noindex" in headers["x-robots-tag"]


def test_every_answer_carries_the_careful_headers(running: Running, client: Client) -> None:
    for address in addresses(running):
        headers = client().get(address).headers
        assert headers["x-content-type-options"] == "nosniff", address
        assert "default-src 'none'" in headers["content-security-policy"], address
        assert "script-src" not in headers["content-security-policy"], address


def test_preferences_lead_to_leaving(running: Running, client: Client) -> None:
    page = client().get(f"/preferences/{running.token(Purpose.PREFERENCES, 2)}").text
    leave = page.partition('action="/unsubscribe/')[2].partition('"')[0]
    assert client().post(f"/unsubscribe/{leave}").status_code == 200
    assert state_of(running, 2) is SubscriberState.UNSUBSCRIBED


def test_a_picture_is_the_same_for_everybody_for_ever(client: Client) -> None:
    answer = client().get(f"/media/{PICTURE}.png")
    assert answer.content == b"a picture"
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "name",
    [
        f"{PICTURE}.jpg",
        f"{PICTURE[:-1]}.png",
        "..%2f..%2fnewsletter.toml",
        "%2e%2e/x",
        f"{PICTURE}",
        "a.png",
        f"{PICTURE}.png%00",
    ],
)
def test_nothing_but_pictures_of_editions_is_served_as_media(client: Client, name: str) -> None:
    assert client().get(f"/media/{name}").status_code == 404


def test_a_letter_that_has_not_gone_out_is_in_no_archive(client: Client) -> None:
    assert client().get("/archive/2026-11-watch-and-listen").status_code == 404


def test_every_public_route_answers_with_a_page_and_no_trace(client: Client) -> None:
    for route in ROUTES:
        if not isinstance(route, Route):
            continue
        answer = client().request("DELETE", route.path.replace("{", "").replace("}", ""))
        assert answer.status_code in (404, 405)
        assert "Traceback" not in answer.text


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_leave_whose_connection_to_the_database_is_cut_is_done_all_the_same(running: Running, client: Client) -> None:
    database, answers = running.site.database, []
    path = f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}"
    leaving = threading.Thread(target=lambda: answers.append(client().post(path).status_code))
    cut_off = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
    )
    with database.write() as session:
        session.get_one(Subscriber, 1, with_for_update=True)
        leaving.start()
        assert is_blocked(database, leaving)
        with database.read() as other:
            assert other.scalar(cut_off)
    leaving.join(20)
    assert answers == [200]
    with database.read() as session:
        assert session.get_one(Subscriber, 1).state is SubscriberState.UNSUBSCRIBED
