"""A visitor reads the archive in a browser: on a phone and on a screen, in light and dark, on paper, by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from newsletter.database.session import Database
from tests.conftest import NewPage
from tests.web.published import answering, publish, sample_letters
from tests.web.test_journeys import accessible

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SIZES = pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (375, "dark"), (1280, "light"), (1280, "dark")])


@pytest.fixture
def address(database: Database, tmp_path: Path) -> Iterator[str]:
    with answering(publish(database, tmp_path, *sample_letters())) as address:
        yield address


def targets_are_large_enough(page: Page) -> None:
    """Whatever is pressed has 24 CSS pixels each way, but for links within a sentence (WCAG 2.2, 2.5.8)."""
    boxes = page.evaluate(
        """[...document.querySelectorAll("header a, footer a, nav a, li > a, .button a, button")]
           .filter(one => getComputedStyle(one).position !== "absolute")
           .map(one => [one.textContent, one.getBoundingClientRect().width, one.getBoundingClientRect().height])"""
    )
    assert boxes
    assert [text for text, width, height in boxes if min(width, height) < 24] == []


@SIZES
def test_a_visitor_comes_in_by_the_front_page_and_reads_a_letter(
    address: str, new_page: NewPage, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = new_page(viewport={"width": width, "height": 800}, color_scheme=scheme, java_script_enabled=True)
    page.goto(address)
    expect(page.get_by_role("heading", name="Our newsletter")).to_be_visible()
    accessible(page)
    targets_are_large_enough(page)
    page.get_by_role("navigation", name="Newsletter").get_by_role("link", name="All letters").click()
    expect(page.get_by_role("heading", name="Our letters")).to_be_visible()
    accessible(page)
    targets_are_large_enough(page)
    page.get_by_role("link", name="Pain that was learned may be unlearned").click()
    expect(page.get_by_role("heading", name="Neuroplastic pain", level=1)).to_be_visible()
    expect(page.get_by_role("heading", name="References")).to_be_visible()
    accessible(page)
    targets_are_large_enough(page)
    pictures = page.evaluate("[...document.images].map(one => [one.complete, one.naturalWidth > 0])")
    assert pictures
    assert all(all(drawn) for drawn in pictures)
    page.get_by_role("link", name="Four voices on unlearning pain").click()
    expect(page.get_by_role("link", name="Watch: Unlearning pain")).to_be_visible()
    accessible(page)


def test_it_works_without_a_script(address: str, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(f"{address}/archive/")
    page.get_by_role("link", name="Deutsch").click()
    expect(page.get_by_role("heading", name="Unsere Ausgaben")).to_be_visible()
    page.get_by_role("link", name="Pain that was learned may be unlearned").click()
    # Around the letter the page goes on in the language that was chosen.
    expect(page.get_by_role("link", name="Alle Ausgaben")).to_be_visible()
    expect(page.get_by_role("heading", name="Neuroplastic pain", level=1)).to_be_visible()


def test_by_keyboard_the_first_step_leads_to_the_letter(address: str, page: Page) -> None:
    page.goto(f"{address}/archive/2026-11-opening")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the letter")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_on_paper_a_letter_has_its_addresses_and_no_ways(address: str, page: Page) -> None:
    page.goto(f"{address}/archive/2026-11-watch-and-listen")
    page.emulate_media(media="print")
    expect(page.get_by_role("link", name="All letters")).to_be_hidden()
    expect(page.get_by_role("link", name="Get the next letter by mail")).to_be_hidden()
    watch = page.get_by_role("link", name="Watch: Unlearning pain")
    shown = watch.evaluate("one => getComputedStyle(one, '::after').content + getComputedStyle(one).color")
    assert "https://video.example.org/unlearning" in shown
    assert shown.endswith("rgb(0, 0, 0)")
