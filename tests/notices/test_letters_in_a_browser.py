"""The mails that single readers get can be read by everybody: axe finds nothing, and no window is too narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from newsletter.languages import speak, spoken_languages
from newsletter.notices.letters import write_reader_letter
from newsletter.rendering.brand import read_brand
from newsletter.subscribers.model import ReaderNoticeKind
from tests.conftest import NewPage
from tests.node import CACHE
from tests.oracle.test_accessibility import NOT_FOR_MAIL

TOKEN = 32 * "a" + "1f4.7"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", sorted(spoken_languages()))
@pytest.mark.parametrize("kind", ReaderNoticeKind)
def test_axe_finds_nothing(
    workspace: Path, new_page: NewPage, kind: ReaderNoticeKind, language: str, scheme: Literal["light", "dark"]
) -> None:
    site = "https://newsletter.clinic.example.org"
    links = {name: f"{site}/{name}/{TOKEN}" for name in ("confirm", "preferences", "unsubscribe", "choices")}
    values = {
        "clinic": "Willow Lane Clinic",
        "postal_address": "12 Willow Lane, Exampleton",
        "reply_to": "desk@clinic.example.org",
        "links": links,
        "confirm_days": 7,
        "pending_days": 30,
        "newest": {"title": "Pain that was learned may be unlearned", "link": f"{site}/archive/2026-11-opening"},
    }
    letter = write_reader_letter(
        kind, values, language=speak(language), workspace=workspace, brand=read_brand(workspace)
    )
    page = new_page(color_scheme=scheme)
    page.set_content(letter.html)
    options = {"resultTypes": ["violations"], "rules": {rule: {"enabled": False} for rule in NOT_FOR_MAIL}}
    folder = CACHE / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    for width in (320, 700):
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=folder / f"{kind}-{language}-{scheme}-{width}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        found = Axe().run(page, options=options).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found] == [], f"at {width} px"
