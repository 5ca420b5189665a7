"""The webhook takes whatever SendGrid has signed, at once, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from newsletter.provider_events.inbox import LIMIT
from newsletter.provider_events.model import PostState
from newsletter.provider_events.tables import ReceivedPost
from newsletter.schedule.event_jobs import apply_waiting
from newsletter.site import Site
from newsletter.web import create_app
from tests.factories import EVENT_RULES
from tests.provider_events.signing import PRIVATE, signed_headers
from tests.web.conftest import Running

PATH = "/webhooks/sendgrid/events"
BODY = b'[{"event":"processed","timestamp":1600112492}]\r\n'


@pytest.fixture
def site(running: Running) -> Site:
    return replace(running.site, webhook_key=PRIVATE.public_key())


def client_of(site: Site) -> TestClient:
    return TestClient(create_app(site, public_only=True), base_url="https://news.example.org")


def kept(site: Site) -> list[bytes | None]:
    with site.database.read() as session:
        return list(session.scalars(select(ReceivedPost.body)))


def test_a_signed_post_is_kept_as_it_came(site: Site) -> None:
    answer = client_of(site).post(PATH, content=BODY, headers=signed_headers(BODY))
    assert (answer.status_code, answer.content) == (204, b"")
    assert kept(site) == [BODY]


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"{}", b"not JSON at all", b"[1, 2]"])
def test_signed_garbage_is_taken_and_set_aside_with_the_reason(site: Site, body: bytes) -> None:
    assert client_of(site).post(PATH, content=body, headers=signed_headers(body)).status_code == 204
    assert apply_waiting(site.database, site.clock, EVENT_RULES) == 1
    with site.database.read() as session:
        (post,) = session.scalars(select(ReceivedPost))
    if body == b"[1, 2]":
        assert (post.state, post.unreadable, post.body) == (PostState.APPLIED, 2, None)
    else:
        assert post.state is PostState.SET_ASIDE
        assert "JSON" in post.problem
        assert post.body == body


@pytest.mark.parametrize(
    "headers",
    [{}, signed_headers(b"another body"), {**signed_headers(BODY), next(iter(signed_headers(BODY))): "MEUC"}],
    ids=["none", "of another body", "no signature"],
)
def test_what_is_not_signed_leaves_nothing_behind(site: Site, headers: dict[str, str]) -> None:
    assert client_of(site).post(PATH, content=BODY, headers=headers).status_code == 403
    assert kept(site) == []


def test_without_a_key_nothing_is_taken(running: Running) -> None:
    answer = client_of(running.site).post(PATH, content=BODY, headers=signed_headers(BODY))
    assert answer.status_code == 403
    assert "SENDGRID_WEBHOOK_PUBLIC_KEY" in answer.text
    assert kept(running.site) == []


@pytest.mark.parametrize("told", [True, False], ids=["as it says", "while it comes"])
def test_a_post_that_is_too_large_is_refused_before_it_is_read_whole(site: Site, told: bool) -> None:
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(2 * LIMIT // 1_000_000):
            read += 1_000_000
            yield b"x" * 1_000_000

    headers = {**signed_headers(BODY), **({"Content-Length": str(2 * LIMIT)} if told else {})}
    answer = client_of(site).post(PATH, content=chunks(), headers=headers)
    assert answer.status_code == 413
    assert kept(site) == []


def test_a_get_takes_nothing(site: Site) -> None:
    assert client_of(site).get(PATH, headers=signed_headers(b"")).status_code == 405
