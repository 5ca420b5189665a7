"""What every test may ask for: a copy of the workspace, and a browser that forgives no fault."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import structlog
from playwright.sync_api import Browser, Page, sync_playwright

from newsletter.workspace import create_workspace
from tests.browser.chromium import ARGUMENTS, find_chromium
from tests.browser.faults import gather_faults
from tests.node import NODE

pytest_plugins = ["tests.database_fixtures"]


class NewPage(Protocol):
    """Opens a page in a context of its own; the options are those of Playwright's `Browser.new_context`."""

    def __call__(self, **options: Any) -> Page:
        """A blank page."""
        ...


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace as `newsletter init` makes it, with the sample month, to change at will."""
    folder = tmp_path / "workspace"
    create_workspace(folder)
    return folder


@pytest.fixture(autouse=True)
def own_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Lets a test without a page run an event loop: Playwright's counts as running while its browser is open."""
    if "browser" in request.fixturenames:
        yield
        return
    of_playwright = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(of_playwright)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """Ends the log with the test whose command started it."""
    yield
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for the whole run; take `new_page` or `page` rather than this."""
    chromium = find_chromium()
    # Playwright's own Node needs a library that a bare Debian does not have.
    os.environ["PLAYWRIGHT_NODEJS_PATH"] = str(NODE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium.executable,
            args=ARGUMENTS,
            env={**os.environ, **chromium.environment},
        )
        yield running
        running.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[NewPage]:
    """Opens pages that reach nothing beyond loopback; an error in a page or on its console fails the test."""
    opened = []

    def new_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        opened.append((context, gather_faults(context)))
        return context.new_page()

    yield new_page
    faults: list[str] = []
    for context, found in opened:
        context.close()
        faults += found
    assert not faults, "\n".join(faults)


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """One page of 1280 by 800; see `new_page`."""
    return new_page(viewport={"width": 1280, "height": 800})
