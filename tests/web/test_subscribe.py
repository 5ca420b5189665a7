"""Signing up: what the form shows, what it takes and refuses, and that it tells nobody who is here."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from sqlalchemy import event, select
from starlette.testclient import TestClient

from newsletter.database.audit import SHELL
from newsletter.public.posts import LIMIT
from newsletter.public.sign_up_form import HOLDS_FOR
from newsletter.staff.tables import Notice
from newsletter.subscribers import actions
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from newsletter.subscribers.queries import get_subscriber, list_consents_of, list_traces_of
from newsletter.subscribers.tables import SignUp, Subscriber
from newsletter.web import create_app
from tests.factories import KEY, ask
from tests.web.conftest import Client, Running
from tests.web.forms import OWN, filled_in, hidden_fields, mails_wanted, sign_up
from tests.web.test_public import everything

GERMAN = {"Accept-Language": "de"}
CLINIC = {"Origin": "https://clinic.example.org", "Sec-Fetch-Site": "cross-site"}
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@on_sqlite
def test_the_form_shows_the_whole_text_and_ticks_nothing(running: Running, client: Client) -> None:
    page = client().get("/subscribe")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    for paragraph in running.site.offer.wordings["en"].text.split("\n\n"):
        assert paragraph.split("\n")[0].replace('"', "&#34;") in page.text
    assert page.text.count('type="checkbox"') == len(running.site.offer.topics) + 2
    assert page.text.count("checked") == 1  # the language of the page
    assert "Living with pain" in page.text
    assert 'href="https://clinic.example.org/privacy"' in page.text
    assert "set-cookie" not in page.headers


@on_sqlite
def test_the_form_in_german_has_the_clinics_own_german_words(running: Running, client: Client) -> None:
    page = client().get("/subscribe", headers=GERMAN).text
    for words in (
        "Unser Newsletter",
        "Leben mit Schmerzen",
        "Ich möchte, dass mir die Willow Lane Clinic",
        "Abonnieren",
    ):
        assert words in page
    assert hidden_fields(page)["wording"] == running.site.offer.wordings["de"].hash
    assert 'value="de" checked' in page


def test_who_signs_up_is_asked_by_mail_with_what_they_chose_and_the_proof_of_it(
    running: Running, client: Client
) -> None:
    browser = client(peer="203.0.113.9")
    page = sign_up(running, browser, " Ann@Example.org ", topics=["sleep", "mood"], language="de", text_only="yes")
    assert page.status_code == 200
    assert "Please look into your inbox" in page.text
    assert mails_wanted(running) == ["confirm"]
    with running.site.database.read() as session:
        row = session.scalars(select(SignUp)).one()
        assert (row.language, row.topics, row.text_only) == ("de", ["mood", "sleep"], True)
        person = get_subscriber(session, "ann@example.org")
        assert person.state is SubscriberState.PENDING
        (consent,) = list_consents_of(session, person.number)
        assert (consent.act, consent.wording, consent.privacy_notice) == ("asked", "0001.en", "2026-11")
        assert consent.wording_hash == running.site.offer.wordings["en"].hash
        assert consent.controller == "Willow Lane Clinic, 12 Willow Lane, Exampleton"
        assert consent.source == f"{running.site.settings.machine.base_url}/subscribe"
        assert list_traces_of(session, person.number)[consent.number][0] == "203.0.113.9"


def test_every_address_is_answered_alike(running: Running, client: Client) -> None:
    now = running.clock.now()
    with running.site.database.write() as session:
        number = get_subscriber(session, "reader2@example.org").number
        actions.unsubscribe(session, number, source="link", actor=SHELL, now=now)
        spam, third = SuppressionReason.COMPLAINED, "reader3@example.org"
        actions.suppress(session, third, reason=spam, source="x", suppression_key=KEY, actor=SHELL, now=now)
    names = ("readerN", "reader1", "reader2", "reader3", "readerN")
    answers = [sign_up(running, client(), f"{name}@example.org") for name in names]
    alike = {(a.status_code, a.text.replace(name, "x"), len(a.content)) for a, name in zip(answers, names, strict=True)}
    assert len(alike) == 1
    assert mails_wanted(running) == ["confirm", "here already", "confirm"]
    with running.site.database.read() as session:
        states = [get_subscriber(session, f"reader{n}@example.org").state.value for n in (1, 2, 3)]
    assert states == ["active", "unsubscribed", "suppressed"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"address": ""}, "Please write your e-mail address."),
        ({"address": "ann"}, "This is no e-mail address that we can reach."),
        ({"address": "ann@example"}, "This is no e-mail address that we can reach."),
        ({"address": "jürgen@example.org"}, "This is no e-mail address that we can reach."),
        ({"address": "a@b.org\r\nBcc: c@d.org"}, "Please write one e-mail address only."),
        ({"address": "ann\r\n@example.org"}, "This is no e-mail address that we can reach."),
        ({"address": "ann\x00@example.org"}, "This is no e-mail address that we can reach."),
        ({"address": "ann@example.org, bob@example.org"}, "Please write one e-mail address only."),
        ({"address": f"{'a' * 64}@{'b' * 240}.org"}, "This is no e-mail address that we can reach."),
        ({"topics": ["sleep", "nothing"]}, "One of these topics is not offered any more."),
        ({"language": "fr"}, "Please choose one of these languages."),
        ({"language": ""}, "Please choose one of these languages."),
        ({"consent": ""}, "Please tick the box if you agree."),
        ({"stamp": ""}, "This page was open for long."),
        ({"stamp": "forged"}, "This page was open for long."),
    ],
)
@on_sqlite
def test_what_is_wrong_is_told_beside_its_field_and_what_was_typed_is_kept(
    running: Running, client: Client, change: dict[str, Any], told: str
) -> None:
    before = everything(running.site.database)
    fields = filled_in(running, client(), "ann@example.org", topics=["sleep"])
    page = client().post("/subscribe", data={**fields, **change}, headers=OWN)
    assert page.status_code == 422
    assert told in page.text
    assert 'role="alert" tabindex="-1" autofocus' in page.text
    for name in change.keys() - {"stamp"}:
        assert f'href="#{name}"' in page.text
        assert f'id="{name}-fault"' in page.text
    if "topics" not in change:
        assert 'value="sleep" checked' in page.text
    if "address" not in change:
        assert 'value="ann@example.org"' in page.text
    assert everything(running.site.database) == before


@on_sqlite
def test_a_text_that_was_changed_meanwhile_is_shown_again_and_not_ticked(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann@example.org")
    page = client().post("/subscribe", data={**fields, "wording": "0" * 64}, headers=OWN)
    assert page.status_code == 409
    assert "has been changed since you opened the page" in page.text
    assert 'name="consent" value="yes" required checked' not in page.text
    again = {**fields, **hidden_fields(page.text)}
    assert client().post("/subscribe", data=again, headers=OWN).status_code == 200
    assert mails_wanted(running) == ["confirm"]


@on_sqlite
def test_a_program_that_fills_in_all_or_is_too_quick_is_told_nothing_and_nothing_is_done(
    running: Running, client: Client
) -> None:
    before = everything(running.site.database)
    fields = filled_in(running, client(), "ann@example.org")
    honest = "Please look into your inbox"
    assert honest in client().post("/subscribe", data={**fields, "comments": "http://spam"}, headers=OWN).text
    fresh = {**fields, **hidden_fields(client().get("/subscribe").text)}
    assert honest in client().post("/subscribe", data=fresh, headers=OWN).text
    assert everything(running.site.database) == before


@on_sqlite
def test_a_page_that_lay_open_for_days_is_sent_once_more_at_once(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann@example.org")
    running.clock.go(seconds=HOLDS_FOR.total_seconds())
    page = client().post("/subscribe", data=fields, headers=OWN)
    assert page.status_code == 422
    again = {**fields, **hidden_fields(page.text)}
    assert client().post("/subscribe", data=again, headers=OWN).status_code == 200
    assert mails_wanted(running) == ["confirm"]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"a=" + b"x" * LIMIT, "application/x-www-form-urlencoded", 413),
        (b"address=%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"address=\xff", "application/x-www-form-urlencoded", 400),
        (b"name=http%3A%2F%2Fspam", "application/x-www-form-urlencoded", 400),
        (b"address=a%40b.org&address=c%40d.org", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"topics=a"] * 300), "application/x-www-form-urlencoded", 400),
        (b"address=a%40b.org", "text/plain", 415),
        (b"address=a%40b.org", "", 415),
        (b"--x\r\n", "multipart/form-data; boundary=x", 415),
        (b"<a/>", "application/xml", 415),
        (b"{", "application/json", 400),
        (b"[" * 4_000, "application/json", 400),
        (b'{"address": 7}', "application/json", 400),
        (b'{"address": "\xff"}', "application/json", 400),
        (b'{"address": "\\ud800"}', "application/json", 400),
        (b'{"consent": "yes"}', "application/json", 400),
        (b'{"name": "http://spam"}', "application/json", 400),
        (b"null", "application/json", 400),
        (b'{"address": "%s"}' % (b"x" * LIMIT), "application/json", 413),
    ],
)
@on_sqlite
def test_what_is_no_form_is_refused(
    running: Running, client: Client, body: bytes, content_type: str, status: int
) -> None:
    before = everything(running.site.database)
    answer = client().post("/subscribe", content=body, headers={**OWN, "Content-Type": content_type})
    assert answer.status_code == status
    assert "Traceback" not in answer.text
    assert everything(running.site.database) == before


@on_sqlite
def test_when_too_many_sign_up_nobody_more_is_mailed_and_staff_are_told_once_a_day(
    running: Running, client: Client
) -> None:
    limit = running.site.settings.sending.sign_ups_an_hour // 2
    with running.site.database.write() as session:
        for number in range(limit):
            ask(session, f"x{number}@example.org", now=running.clock.now())
    for _ in range(2):
        page = sign_up(running, client(), "ann@example.org")
        assert (page.status_code, page.headers["retry-after"]) == (503, "3600")
        assert "Too many people sign up at present" in page.text
    assert len(mails_wanted(running)) == limit
    with running.site.database.read() as session:
        (notice,) = session.scalars(select(Notice)).all()
    assert (notice.kind, notice.edition) == ("many sign-ups", "")
    running.clock.go(hours=1)
    assert sign_up(running, client(), "ann@example.org").status_code == 200


@on_sqlite
def test_without_a_text_to_agree_to_nobody_can_sign_up(running: Running, client: Client) -> None:
    running.site.offer.__dict__["wordings"] = {}
    assert client().get("/subscribe").status_code == 404


def as_json(running: Running, client: Client, **more: Any) -> dict[str, Any]:
    """What a script on the clinic's site sends: it was told by GET what to show."""
    offer = client().get("/subscribe", headers={"Accept": "application/json", **CLINIC}).json()
    running.clock.go(seconds=3)
    told = {"wording": offer["wording"]["hash"], "stamp": offer["stamp"]}
    return {"address": "ann@example.org", "language": "en", "consent": True, **told, **more}


@on_sqlite
def test_a_script_on_the_clinics_site_shows_the_form_and_sends_it(running: Running, client: Client) -> None:
    answer = client().post("/subscribe", json=as_json(running, client, topics=["sleep"]), headers=CLINIC)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://clinic.example.org"
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.json()["message"].startswith("Please look into your inbox")
    with running.site.database.read() as session:
        assert session.scalars(select(SignUp)).one().source == "form on https://clinic.example.org"


@on_sqlite
def test_a_script_is_told_what_is_wrong_by_field_in_its_language(running: Running, client: Client) -> None:
    wrong = as_json(running, client, address="ann", consent=False)
    answer = client().post("/subscribe", json=wrong, headers={**CLINIC, **GERMAN})
    assert answer.status_code == 422
    assert set(answer.json()["faults"]) == {"address", "consent"}
    assert answer.json()["faults"]["consent"] == "Bitte setzen Sie das Häkchen, wenn Sie zustimmen."
    old = as_json(running, client, wording="0" * 64)
    assert client().post("/subscribe", json=old, headers=CLINIC).status_code == 409


@on_sqlite
@pytest.mark.parametrize("origin", ["https://evil.example", "https://clinic.example.org.evil.example", "null"])
def test_a_browser_asks_first_and_only_the_clinics_own_sites_may(client: Client, origin: str) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    good = client().options("/subscribe", headers={"Origin": "https://clinic.example.org", **asks})
    assert good.status_code == 204
    assert good.headers["access-control-allow-origin"] == "https://clinic.example.org"
    bad = client().options("/subscribe", headers={"Origin": origin, **asks})
    assert "access-control-allow-origin" not in bad.headers
    assert bad.headers["vary"] == "Origin"


@on_sqlite
def test_the_form_on_the_clinics_own_page_needs_no_stamp_and_that_of_others_is_refused(
    running: Running, client: Client
) -> None:
    fields = filled_in(running, client(), "ann@example.org")
    del fields["stamp"]
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert client().post("/subscribe", data=fields, headers=evil).status_code == 403
    assert mails_wanted(running) == []
    assert client().post("/subscribe", data=fields, headers=CLINIC).status_code == 200
    assert mails_wanted(running) == ["confirm"]


@on_sqlite
def test_a_thousand_posts_for_one_mailbox_are_one_mail(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann@gmail.com")
    # As many networks, so that no other limit holds.
    browsers = [client(peer=f"203.0.{n}.9") for n in range(20)]
    for number in range(1_000):
        dotted = f"a{'.' * (number % 2)}n{'.' * (number // 2 % 2)}n+{number}@g{'oogle' * (number // 4 % 2)}mail.com"
        answer = browsers[number % 20].post("/subscribe", data={**fields, "address": dotted}, headers=OWN)
        assert answer.status_code == 200, number
    assert mails_wanted(running) == ["confirm"]
    with running.site.database.read() as session:
        assert len(session.scalars(select(Subscriber).where(Subscriber.state == SubscriberState.PENDING)).all()) == 1


@on_sqlite
def test_while_the_database_is_away_a_sign_up_is_asked_to_come_again(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann@example.org")
    sent_by_script = as_json(running, client)
    lock = sqlite3.connect(str(running.site.database.file), isolation_level=None)
    event.listen(running.site.database.engine, "checkout", lambda raw, *_: raw.execute("PRAGMA busy_timeout = 10"))
    lock.execute("BEGIN IMMEDIATE")
    for answer in (
        client().post("/subscribe", data=fields, headers=OWN),
        client().post("/subscribe", json=sent_by_script, headers=CLINIC),
    ):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    lock.close()
    assert mails_wanted(running) == []


@on_sqlite
def test_one_network_may_not_post_for_ever_and_another_may(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann@example.org")
    app = create_app(running.site)
    peers = ("2001:db8:1:2::7", "2001:db8:1:2:9::1", "2001:db8:1:3::7")
    near, next_door, far = (TestClient(app, "http://localhost:8000", client=(peer, 50_000)) for peer in peers)
    statuses = [near.post("/subscribe", data=fields, headers=OWN).status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]
    refused = next_door.post("/subscribe", data=fields, headers=OWN)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "600")
    script = near.post("/subscribe", json={}, headers=CLINIC)
    assert (script.status_code, script.json()["message"]) == (429, "That was a little too often")
    assert far.post("/subscribe", data=fields, headers=OWN).status_code == 200


@on_sqlite
def test_nothing_that_is_typed_comes_back_as_html(running: Running, client: Client) -> None:
    spam = "<script>alert(1)</script>http://spam"
    fields = filled_in(running, client(), spam)
    page = client().post("/subscribe", data=fields, headers=OWN)
    assert page.status_code == 422
    assert "<script" not in page.text
    # An address that is one, and would be a tag where it is not escaped.
    assert sign_up(running, client(), "a'b&c@example.org").text.count("a&#39;b&amp;c@example.org") == 1


@on_sqlite
def test_the_choice_of_language_is_kept_when_the_form_comes_back(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann", path="/subscribe?lang=de")
    page = client().post("/subscribe?lang=de", data=fields, headers=OWN)
    assert "Das ist keine E-Mail-Adresse" in page.text
    assert 'action="/subscribe?lang=de"' in page.text


@on_sqlite
def test_a_form_that_is_sent_from_nowhere_needs_its_stamp(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann@example.org")
    assert client().post("/subscribe", data=fields).status_code == 200
    del fields["stamp"]
    assert client().post("/subscribe", data=fields).status_code == 422


@on_sqlite
def test_a_stamp_says_when_the_form_was_shown_and_cannot_be_made_elsewhere(running: Running, client: Client) -> None:
    fields = filled_in(running, client(), "ann@example.org")
    changed = fields["stamp"][:-1] + ("0" if fields["stamp"][-1] != "0" else "1")
    assert client().post("/subscribe", data={**fields, "stamp": changed}, headers=OWN).status_code == 422
    assert mails_wanted(running) == []
