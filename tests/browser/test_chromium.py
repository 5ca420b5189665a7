"""The browser itself: it draws, and what its pages do wrong is told."""

from __future__ import annotations

from playwright.sync_api import Browser, Page

from tests.browser.faults import gather_faults


def test_text_is_drawn_with_a_font(page: Page) -> None:
    page.set_content("<!doctype html><title>A page</title><span>Hello</span>")
    box = page.locator("span").bounding_box()
    assert box
    assert box["width"] > 20


def test_every_kind_of_fault_is_told(browser: Browser) -> None:
    with browser.new_context() as context:
        faults = gather_faults(context)
        page = context.new_page()
        page.set_content("<!doctype html><img src='https://pictures.example.org/1.png' alt=''>")
        page.evaluate("console.error('a complaint')")
        with page.expect_event("pageerror"):
            page.evaluate("setTimeout(() => { throw new Error('a failure') })")
        told = "\n".join(faults)
    assert "request beyond loopback: https://pictures.example.org/1.png" in told
    assert "error on the console: a complaint" in told
    assert "error in the page: " in told
