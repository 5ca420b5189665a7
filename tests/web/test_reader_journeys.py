"""What a reader does, in a browser: sign up, confirm, change, pause, leave, come back, get their copy, be erased."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Literal

import orjson
import pytest
from playwright.sync_api import Page, expect

from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.queries import list_topics_of
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Bearer, Purpose
from tests.conftest import NewPage
from tests.web.conftest import Running
from tests.web.forms import choices_link, confirm_link
from tests.web.published import answering
from tests.web.test_archive_journeys import targets_are_large_enough
from tests.web.test_journeys import accessible

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SIZES = pytest.mark.parametrize(("width", "scheme"), [(320, "dark"), (1280, "light")])
Scheme = Literal["light", "dark"]


@pytest.fixture
def address(running: Running) -> Iterator[str]:
    with answering(running.site) as address:
        yield address


def good(page: Page, heading: str) -> None:
    """The page has this one heading, and everybody can read and use it."""
    expect(page.get_by_role("heading", level=1)).to_have_text(heading)
    # What a button leads to is there before its style sheets are.
    page.wait_for_load_state("load")
    accessible(page)
    targets_are_large_enough(page)


def state_of(running: Running, subscriber: int) -> SubscriberState:
    with running.site.database.read() as session:
        return session.get_one(Subscriber, subscriber).state


def fill_in(running: Running, page: Page, address: str) -> None:
    page.get_by_label("Your e-mail address").fill(address)
    page.get_by_label("Yes, I agree to this").check()
    # The clock of the site stands still: somebody reads what they agree to.
    running.clock.go(seconds=20)


@SIZES
def test_a_visitor_signs_up_and_confirms(
    running: Running, address: str, new_page: NewPage, width: int, scheme: Scheme
) -> None:
    page = new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(f"{address}/subscribe")
    good(page, "Our newsletter")
    # A name without a dot is an address to the browser, and none to us.
    fill_in(running, page, "ann@example")
    page.get_by_label("Better sleep").check()
    page.get_by_role("button", name="Subscribe").click()
    good(page, "Our newsletter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Your e-mail address")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Better sleep")).to_be_checked()
    page.get_by_role("link", name="This is no e-mail address that we can reach").click()
    page.get_by_label("Your e-mail address").fill("ann@example.org")
    page.get_by_role("button", name="Subscribe").click()
    good(page, "Please look into your inbox")
    page.goto(address + confirm_link(running))
    good(page, "Yes, send me the newsletter")
    expect(page.get_by_text("a•••@e•••.org")).to_be_visible()
    expect(page.get_by_text("Better sleep")).to_be_visible()
    page.get_by_role("button", name="Confirm").click()
    good(page, "Welcome!")
    page.goto(address + confirm_link(running))
    good(page, "You are on the list already")
    assert state_of(running, 4) is SubscriberState.ACTIVE


def test_without_a_script_and_in_german_it_is_as_good(running: Running, address: str, new_page: NewPage) -> None:
    page = new_page(viewport={"width": 375, "height": 700}, java_script_enabled=False, locale="de-AT")
    page.goto(f"{address}/subscribe")
    expect(page.get_by_role("heading", level=1)).to_have_text("Unser Newsletter")
    page.get_by_label("Ihre E-Mail-Adresse").fill("ann@example.org")
    page.get_by_label("Ja, ich stimme zu").check()
    running.clock.go(seconds=20)
    page.get_by_role("button", name="Abonnieren").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Bitte sehen Sie in Ihr Postfach")
    page.goto(address + confirm_link(running))
    page.get_by_role("button", name="Bestätigen").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Willkommen!")


@SIZES
def test_a_reader_pauses_with_the_link_of_a_letter_and_has_a_fresh_one_mailed(
    running: Running, address: str, new_page: NewPage, width: int, scheme: Scheme
) -> None:
    page = new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(f"{address}/preferences/{running.token(Purpose.PREFERENCES)}")
    good(page, "What you receive")
    page.get_by_role("button", name="3 months").click()
    good(page, "You are taking a break")
    expect(page.get_by_text("3 February 2027")).to_be_visible()
    assert state_of(running, 1) is SubscriberState.PAUSED
    page.get_by_role("link", name="Choose another time").click()
    page.get_by_role("button", name="Mail me the link").click()
    good(page, "Please look into your inbox")


@SIZES
def test_a_reader_changes_what_they_chose_pauses_and_reads_again(
    running: Running, address: str, new_page: NewPage, width: int, scheme: Scheme
) -> None:
    page = new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(address + choices_link(running, 1))
    good(page, "Your choices")
    page.get_by_label("Stress and calm").check()
    page.get_by_label("Deutsch").check()
    page.get_by_label("As plain text, without pictures").check()
    page.get_by_role("button", name="Save").click()
    # From here on they are spoken to in the language that they read.
    good(page, "Ihre Auswahl")
    expect(page.get_by_role("status")).to_have_text("Gespeichert.")
    expect(page.get_by_label("Stress und Ruhe")).to_be_checked()
    page.get_by_role("button", name="6 Monate").click()
    good(page, "Sie machen Pause")
    page.get_by_role("link", name="Eine andere Zeit wählen").click()
    expect(page.get_by_text("Sie machen Pause bis zum 3. Mai 2027")).to_be_visible()
    page.get_by_role("button", name="Jetzt wieder lesen").click()
    good(page, "Ihre Auswahl")
    with running.site.database.read() as session:
        reader = session.get_one(Subscriber, 1)
        assert (reader.state, reader.language, reader.text_only) == (SubscriberState.ACTIVE, "de", True)
        assert list_topics_of(session, 1) == ["stress"]


@SIZES
def test_a_reader_leaves_says_why_and_comes_back(
    running: Running, address: str, new_page: NewPage, width: int, scheme: Scheme
) -> None:
    page = new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(f"{address}/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}")
    page.get_by_role("button", name="Unsubscribe").click()
    good(page, "You have left the newsletter")
    page.get_by_role("button", name="It comes too often").click()
    good(page, "You have left the newsletter")
    expect(page.get_by_role("status")).to_have_text("Thank you for telling us why.")
    page.goto(address + choices_link(running, 1))
    good(page, "Your choices")
    expect(page.get_by_text("We send no newsletter to this address.")).to_be_visible()
    page.get_by_role("link", name="Sign up again").click()
    fill_in(running, page, "reader1@example.org")
    page.get_by_role("button", name="Subscribe").click()
    page.goto(address + confirm_link(running))
    assert state_of(running, 1) is SubscriberState.UNSUBSCRIBED
    page.get_by_role("button", name="Confirm").click()
    good(page, "Welcome!")
    assert state_of(running, 1) is SubscriberState.ACTIVE


@SIZES
def test_a_reader_gets_their_copy_and_is_erased(
    running: Running, address: str, new_page: NewPage, width: int, scheme: Scheme
) -> None:
    page = new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    link = address + choices_link(running, 1)
    page.goto(link)
    with page.expect_download() as as_json:
        page.get_by_role("button", name="Download as JSON").click()
    assert orjson.loads(as_json.value.path().read_bytes())["about you"]["address"] == "reader1@example.org"
    with page.expect_download() as as_csv:
        page.get_by_role("button", name="Download as CSV").click()
    assert as_csv.value.suggested_filename == "newsletter-my-data.csv"
    with as_csv.value.path().open(encoding="utf-8-sig") as file:
        assert ["about you", "1", "address", "reader1@example.org"] in list(csv.reader(file))
    page.get_by_role("link", name="Erase what you keep about me").click()
    good(page, "Erase what we keep about you?")
    assert state_of(running, 1) is SubscriberState.ACTIVE
    page.get_by_role("button", name="Erase it for ever").click()
    good(page, "You are erased")
    assert state_of(running, 1) is SubscriberState.ERASED
    page.goto(f"{address}/unsubscribe/{running.site.tokens.sign(Purpose.UNSUBSCRIBE, Bearer(1))}")
    good(page, "Leave the newsletter?")
