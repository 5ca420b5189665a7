"""Public pages speak the language that was chosen, else their reader's, else the one that the browser asks for."""

from __future__ import annotations

import re

import pytest

from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Purpose
from tests.web.conftest import Client, Running

GERMAN = {"Accept-Language": "de-AT, de;q=0.9, en;q=0.5"}


def reads(running: Running, language: str) -> None:
    with running.site.database.write() as session:
        session.get_one(Subscriber, 1).language = language


def test_a_page_of_nobody_speaks_as_the_browser_asks(client: Client) -> None:
    page = client().get("/nothing", headers=GERMAN)
    assert "Hier ist nichts" in page.text
    assert '<html lang="de" dir="ltr">' in page.text
    assert (page.headers["content-language"], page.headers["vary"]) == ("de", "Accept-Language")


def test_a_page_of_a_reader_speaks_their_language_whatever_the_browser_asks(running: Running, client: Client) -> None:
    reads(running, "de-CH")
    page = client().get(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}", headers={"Accept-Language": "en"})
    assert "Vom Newsletter abmelden?" in page.text
    assert page.headers["content-language"] == "de"
    assert "vary" not in page.headers


def test_a_language_that_was_chosen_comes_before_all_others(running: Running, client: Client) -> None:
    reads(running, "de")
    page = client().get(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}?lang=en", headers=GERMAN)
    assert "Leave the newsletter?" in page.text
    assert "set-cookie" not in page.headers


def test_a_page_offers_its_other_languages_as_links_to_itself(client: Client) -> None:
    page = client().get("/nothing").text
    assert re.search(r'<span lang="en" aria-current="true">English</span>', page)
    assert re.search(r'<a href="\?lang=de" lang="de" hreflang="de" rel="nofollow">Deutsch</a>', page)


def test_the_answer_to_a_button_is_in_the_readers_language(running: Running, client: Client) -> None:
    reads(running, "de")
    page = client().post(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}")
    assert "Sie sind vom Newsletter abgemeldet" in page.text
    assert "?lang=" not in page.text


def test_the_reason_why_a_link_does_not_work_is_translated(client: Client) -> None:
    page = client().get("/unsubscribe/nonsense", headers=GERMAN)
    assert page.status_code == 404
    assert "Dieser Link ist nicht vollständig." in page.text


@pytest.mark.parametrize("lang", ["xx", "", "%00", "en-", "<script>", "de" * 5000])
def test_a_language_that_is_none_is_passed_over(client: Client, lang: str) -> None:
    page = client().get("/nothing", params={"lang": lang})
    assert "There is nothing here" in page.text
    assert "<script" not in page.text


def test_a_reader_of_a_language_without_a_catalogue_is_spoken_to_in_english(running: Running, client: Client) -> None:
    reads(running, "fr")
    assert "Leave the newsletter?" in client().get(f"/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}").text
