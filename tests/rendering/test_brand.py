"""A brand that cannot be used is refused with its line and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.errors import DefinitionFaults
from newsletter.rendering.brand import BRAND_FILE, read_brand


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
