"""A reader leaves, and staff read the inbox: in a browser, at the width of a phone and of a screen, light and dark."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from newsletter.subscribers.model import SubscriberState
from newsletter.subscribers.tables import Subscriber
from newsletter.subscribers.tokens import Purpose
from newsletter.web import create_app
from tests.conftest import NewPage
from tests.web.conftest import Running


@pytest.fixture
def address(running: Running) -> Iterator[str]:
    """The site, answering on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(create_app(running.site), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def accessible(page: Page) -> None:
    """Nothing that keeps anybody from reading it, and nothing wider than the window."""
    found = [f"{v['id']}: {v['help']}" for v in Axe().run(page).response["violations"]]
    assert not found, found
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (375, "dark"), (1280, "light"), (320, "dark")])
def test_a_reader_leaves_with_one_button(
    running: Running,
    address: str,
    new_page: NewPage,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    page = new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page.goto(f"{address}/preferences/{running.token(Purpose.PREFERENCES)}")
    accessible(page)
    page.goto(f"{address}/unsubscribe/{running.token(Purpose.UNSUBSCRIBE)}")
    expect(page.get_by_role("heading", name="Leave the newsletter?")).to_be_visible()
    accessible(page)
    page.get_by_role("button", name="Unsubscribe").click()
    expect(page.get_by_role("heading", name="You have left the newsletter")).to_be_visible()
    accessible(page)
    with running.site.database.read() as session:
        assert session.get_one(Subscriber, 1).state is SubscriberState.UNSUBSCRIBED


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1280, "light")])
def test_staff_read_a_mail_as_its_reader_does(
    address: str, new_page: NewPage, width: int, scheme: Literal["light", "dark"]
) -> None:
    page = new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(f"{address}/studio/inbox")
    accessible(page)
    page.get_by_role("link", name="reader2@example.org").click()
    expect(page.frame_locator("iframe").get_by_role("link", name="Leave")).to_be_visible()
    for view, sign in (("As text", "Leave:"), ("As sent", "List-Unsubscribe-Post")):
        page.get_by_role("link", name=view).click()
        expect(page.get_by_text(sign).first).to_be_visible()
        accessible(page)
