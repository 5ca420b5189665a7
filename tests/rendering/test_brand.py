"""A brand that cannot be used is refused with its line and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from newsletter.errors import DefinitionFaults
from newsletter.rendering.brand import BRAND_FILE, read_brand
from newsletter.settings import read_settings
from newsletter.wiring import read_named_campaign, render_mailing


def change(workspace: Path, old: str, new: str) -> None:
    text = (workspace / BRAND_FILE).read_text("utf-8")
    assert old in text
    (workspace / BRAND_FILE).write_text(text.replace(old, new, 1), "utf-8")


@pytest.mark.parametrize(
    ("colour", "words"),
    [
        ("#0B5C63", "is empty: a bare # begins a note. Put the colour in quotes"),
        ("teal", "`teal` is not a colour. Write it with six digits"),
        ('"#0bc"', "`#0bc` is not a colour"),
        ("[a]", "is not a colour"),
    ],
)
def test_a_colour_that_is_none_is_refused(workspace: Path, colour: str, words: str) -> None:
    change(workspace, 'accent: "#0B5C63"', f"accent: {colour}")
    with pytest.raises(DefinitionFaults) as refused:
        read_brand(workspace)
    assert words in str(refused.value)
    assert f"{BRAND_FILE}:12: colours.light.accent" in str(refused.value)


def test_a_logo_is_a_picture_inside_of_templates(workspace: Path) -> None:
    picture = next((workspace / "campaigns").rglob("*.png"))
    change(workspace, "# logo: {file: logo.png", "logo: {file: logo.png")
    with pytest.raises(DefinitionFaults, match=r"`templates/logo.png` is not there"):
        read_brand(workspace)
    (workspace / "templates" / "logo.png").symlink_to(picture)
    with pytest.raises(DefinitionFaults, match="leads out of the folder"):
        read_brand(workspace)
    (workspace / "templates" / "logo.png").unlink()
    (workspace / "templates" / "logo.png").write_bytes(picture.read_bytes())
    logo = read_brand(workspace).logo
    assert logo is not None
    assert logo.name == "templates/logo.png"


def test_a_transparent_logo_keeps_a_light_ground_in_dark_mode(workspace: Path, page: Page) -> None:
    Image.new("RGBA", (400, 80), (0, 0, 0, 0)).save(workspace / "templates" / "logo.png")
    change(workspace, "# logo: {file: logo.png", "logo: {file: logo.png")
    settings = read_settings(workspace, {})
    campaign = read_named_campaign(settings, "2026-11")
    html = render_mailing(settings, campaign, campaign.mailings[0]).html
    page.emulate_media(color_scheme="dark")
    page.set_content(re.sub(r' src="[^"]*"', "", html))
    ground = page.locator(".logo img").evaluate("image => getComputedStyle(image).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
