"""The links of readers: each opens what it was mailed for and no more, once where it says so, and no GET acts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from starlette.routing import BaseRoute, Mount, Route

from newsletter.database.audit import SHELL
from newsletter.public.routes import POSTED_TO_FROM_ELSEWHERE, ROUTES
from newsletter.subscribers import actions
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.pauses import end_of_pause
from newsletter.subscribers.queries import list_consents_of
from newsletter.subscribers.tables import Subscriber, Suppression
from newsletter.subscribers.tokens import Bearer, Purpose
from tests.factories import NOON
from tests.web.conftest import Client, Running
from tests.web.forms import OWN, choices_link, confirm_link, mails_wanted, sign_up
from tests.web.test_public import everything, state_of

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def preferences_link(running: Running, subscriber: int = 1) -> str:
    return f"/preferences/{running.token(Purpose.PREFERENCES, subscriber)}"


def asked(running: Running, client: Client, address: str = "ann@example.org") -> str:
    """The link to confirm, after somebody has signed up."""
    sign_up(running, client(), address, topics=["sleep"])
    return confirm_link(running)


def test_confirming_acts_once_and_is_welcomed_by_a_mail(running: Running, client: Client) -> None:
    link = asked(running, client)
    for _ in range(2):
        page = client().post(link, headers=OWN)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert "Welcome!" in page.text
    assert mails_wanted(running) == ["confirm", "welcome"]
    assert state_of(running, 4) is SubscriberState.ACTIVE
    client().post(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE, 4)}")
    replayed = client().post(link, headers=OWN)
    assert replayed.status_code == 404
    assert "This link was used before. To come back, please sign up again." in replayed.text
    assert 'href="/subscribe"' in replayed.text
    assert state_of(running, 4) is SubscriberState.UNSUBSCRIBED


@on_sqlite
def test_a_link_to_confirm_that_is_too_old_leads_to_signing_up_again(running: Running, client: Client) -> None:
    link = asked(running, client)
    running.clock.go(days=7)
    for answer in (client().get(link), client().post(link, headers=OWN)):
        assert answer.status_code == 404
        assert "This link has expired. Please sign up again." in answer.text
    assert state_of(running, 4) is SubscriberState.PENDING


@on_sqlite
def test_what_a_link_to_confirm_shows_has_no_whole_address(running: Running, client: Client) -> None:
    page = client().get(asked(running, client))
    assert "a•••@e•••.org" in page.text
    assert "ann@" not in page.text
    assert "Better sleep" in page.text
    assert "noindex" in page.headers["x-robots-tag"]


@on_sqlite
def test_a_forwarded_mail_shows_nothing_of_what_was_chosen_and_opens_no_more(running: Running, client: Client) -> None:
    link = preferences_link(running)
    page = client().get(link).text
    for secret in ("reader1", "Better sleep", "Deutsch</label>", "Download", "Erase"):
        assert secret not in page
    before = everything(running.site.database)
    for what in ("choices", "resume", "my-data", "erase"):
        answer = client().post(f"{link}/{what}", data={"language": "en", "format": "json"}, headers=OWN)
        assert answer.status_code == 403, what
        assert "This link is too old for that." in answer.text
        assert "Content-Disposition" not in answer.headers
    assert client().get(f"{link}/erase").status_code == 403
    assert everything(running.site.database) == before


@on_sqlite
def test_a_fresh_link_opens_little_after_half_an_hour(running: Running, client: Client) -> None:
    link = choices_link(running, 1)
    assert "Better sleep" in client().get(link).text
    running.clock.go(minutes=30)
    assert "Better sleep" not in client().get(link).text
    assert client().post(f"{link}/erase", headers=OWN).status_code == 403
    assert client().post(f"{link}/link", headers=OWN).status_code == 200
    assert mails_wanted(running) == ["choices"]


def test_who_asks_for_a_fresh_link_often_gets_one_and_the_same_answer(running: Running, client: Client) -> None:
    link = f"{preferences_link(running, 2)}/link"
    answers = {client().post(link, headers=OWN).text for _ in range(5)}
    assert len(answers) == 1
    assert mails_wanted(running) == ["choices"]


@pytest.mark.parametrize("months", ["", "0", "2", "-1", "99999999999", "1; DROP"])
@on_sqlite
def test_one_pauses_for_as_long_as_there_is_a_button(running: Running, client: Client, months: str) -> None:
    before = everything(running.site.database)
    answer = client().post(f"{preferences_link(running)}/pause", data={"months": months}, headers=OWN)
    assert answer.status_code == 422
    assert everything(running.site.database) == before


@pytest.mark.parametrize(
    ("now", "months", "then"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), 1, datetime(2026, 2, 28, 12, tzinfo=UTC)),
        # The clock goes ahead in between, and it ends at the same hour.
        (datetime(2026, 3, 1, 12, tzinfo=UTC), 1, datetime(2026, 4, 1, 11, tzinfo=UTC)),
        # 1:30 does not exist on 28 March 2027.
        (datetime(2026, 9, 28, 0, 30, tzinfo=UTC), 6, datetime(2027, 3, 28, 1, 30, tzinfo=UTC)),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), 3, datetime(2027, 1, 25, 1, 30, tzinfo=UTC)),
    ],
)
def test_a_pause_ends_at_the_same_hour_of_the_clinics_clock(now: datetime, months: int, then: datetime) -> None:
    assert end_of_pause(now, months, ZoneInfo("Europe/London")) == then


@on_sqlite
def test_what_is_no_choice_of_ours_changes_nothing(running: Running, client: Client) -> None:
    link = f"{choices_link(running, 1)}/choices"
    before = everything(running.site.database)
    for data in ({"language": "xx"}, {"language": "en", "topics": "nothing"}, {}):
        assert client().post(link, data=data, headers=OWN).status_code == 422
    assert everything(running.site.database) == before
    assert client().post(link, content=b"\xff=%ff", headers=OWN).status_code in (400, 415)


def test_a_reason_is_kept_once_each_time_and_only_of_who_has_left(running: Running, client: Client) -> None:
    link = f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}"
    client().post(f"{link}/reason", data={"why": "too often"}, headers=OWN)
    client().post(link)
    for why in ("too often", "other", "not for me"):
        assert client().post(f"{link}/reason", data={"why": why}, headers=OWN).status_code == 200
    assert client().post(f"{link}/reason", data={"why": "http://spam"}, headers=OWN).status_code == 422
    with running.site.database.read() as session:
        rows = [row for row in list_consents_of(session, 1) if row.act == "told why"]
    assert [row.details for row in rows] == [{"why": "too often"}]


def test_who_is_erased_leaves_a_fingerprint_and_their_links_say_so_kindly(running: Running, client: Client) -> None:
    link, old = choices_link(running, 1), preferences_link(running)
    assert "What stays, and why" in client().get(f"{link}/erase").text
    assert client().post(f"{link}/erase", headers=OWN).status_code == 200
    assert state_of(running, 1) is SubscriberState.ERASED
    with running.site.database.read() as session:
        assert session.scalars(select(Suppression.reason)).all() == [SuppressionReason.ERASED]
    for again in (link, old):
        for what in ("", "/pause", "/link", "/my-data", "/erase"):
            data = {"months": "1", "format": "json"}
            answer = client().post(again + what, data=data, headers=OWN) if what else client().get(again)
            assert answer.status_code < 500, (again, what)
            assert "Content-Disposition" not in answer.headers
    assert client().post(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}/reason", data={"why": "other"}).is_success


@pytest.mark.parametrize("state", ["unsubscribed", "suppressed"])
@on_sqlite
def test_who_gets_nothing_any_more_is_led_back_by_their_links(running: Running, client: Client, state: str) -> None:
    with running.site.database.write() as session:
        if state == "unsubscribed":
            actions.unsubscribe(session, 1, source="link", actor=SHELL, now=NOON)
        else:
            session.get_one(Subscriber, 1).state = SubscriberState.SUPPRESSED
    page = client().post(f"{preferences_link(running)}/pause", data={"months": "1"}, headers=OWN)
    assert "You get no newsletter from us" in page.text
    assert 'href="/subscribe"' in page.text
    fresh = client().get(choices_link(running, 1)).text
    assert "We send no newsletter to this address." in fresh
    assert "Download as JSON" in fresh


def routes(given: tuple[BaseRoute, ...] = ROUTES) -> Iterator[tuple[str, str]]:
    """Every method and path of the public pages."""
    for route in given:
        if isinstance(route, Route):
            for method in sorted(route.methods or ()):
                yield method, route.path
        elif isinstance(route, Mount):
            yield "GET", f"{route.path}/public.css"


def changed(token: str, at: int) -> str:
    return token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]


def spelt(running: Running, path: str) -> str:
    """A path with good links of every kind in the places of its template."""
    token = choices_link(running, 1).rpartition("/")[2]
    if path.startswith("/unsubscribe"):
        token = running.token(Purpose.UNSUBSCRIBE)
    if path.startswith("/confirm"):
        token = confirm_link(running).rpartition("/")[2]
    return path.replace("{token}", token).replace("{year:int}", "2026").replace("{slug}", "2026-11-opening")


ALL = sorted(set(routes()))
POSTS = [path for method, path in ALL if method == "POST"]


@on_sqlite
def test_whoever_only_looks_at_any_address_changes_nothing(running: Running, client: Client) -> None:
    asked(running, client)
    before = everything(running.site.database)
    for _, path in ALL:
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = client().request(method, spelt(running, path))
            assert answer.status_code < 500, (method, path)
            assert "set-cookie" not in answer.headers
    assert everything(running.site.database) == before


@pytest.mark.parametrize(
    "told", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}]
)
@on_sqlite
def test_no_page_of_another_site_can_press_a_button(running: Running, client: Client, told: dict[str, str]) -> None:
    asked(running, client)
    before = everything(running.site.database)
    checked = [path for path in POSTS if path not in POSTED_TO_FROM_ELSEWHERE or path == "/subscribe"]
    assert len(checked) >= 9
    for path in checked:
        answer = client().post(spelt(running, path), data={"months": "1", "why": "other"}, headers=told)
        assert answer.status_code == 403, path
    assert everything(running.site.database) == before


@on_sqlite
def test_our_own_pages_in_an_old_browser_can(running: Running, client: Client) -> None:
    # Without Sec-Fetch-Site, and with `null` because our pages send no referrer.
    for headers in ({"Origin": "null"}, {"Origin": "http://localhost:8000"}, {}):
        answer = client().post(f"{preferences_link(running)}/pause", data={"months": "1"}, headers=headers)
        assert answer.status_code == 200


@on_sqlite
def test_a_link_of_one_kind_opens_nothing_of_another_and_a_damaged_one_nothing(
    running: Running, client: Client
) -> None:
    asked(running, client)
    confirm = confirm_link(running).rpartition("/")[2]
    good = {
        "confirm": [confirm],
        "preferences": [running.token(Purpose.PREFERENCES), choices_link(running, 1).rpartition("/")[2]],
        "unsubscribe": [running.token(Purpose.UNSUBSCRIBE)],
    }
    form = running.site.tokens.sign(Purpose.FORM, Bearer(1))
    before = everything(running.site.database)
    for room in good:
        others = [token for other, tokens in good.items() if other != room for token in tokens] + [form]
        damaged = [changed(token, at) for token in good[room] for at in range(0, 34, 3)]
        cut = [token[:-2] for token in good[room]]
        for token in (*others, *damaged, *cut, "x", "%00", "é", "a" * 3_000):
            answer = client().get(f"/{room}/{token}")
            assert (answer.status_code, "This link is not complete" in answer.text) == (404, True), (room, token)
            act = {"preferences": "/pause", "unsubscribe": "/reason"}.get(room, "")
            answer = client().post(f"/{room}/{token}{act}", data={"months": "1", "why": "other"}, headers=OWN)
            assert answer.status_code == 404, (room, token)
    assert everything(running.site.database) == before


@on_sqlite
def test_a_false_name_of_the_host_stands_in_no_page(running: Running, client: Client) -> None:
    asked(running, client)
    evil = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}
    for method, path in ALL:
        if method == "GET":
            assert "evil.example" not in client().get(spelt(running, path), headers=evil).text, path


@on_sqlite
def test_from_one_network_not_everything_can_be_tried(running: Running, client: Client) -> None:
    browser = client(peer="203.0.113.9")
    statuses = [browser.post("/confirm/nonsense", headers=OWN).status_code for _ in range(61)]
    assert statuses == [404] * 60 + [429]
    # Leaving is never limited.
    leave = f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}"
    assert {browser.post(leave).status_code for _ in range(70)} == {200}
