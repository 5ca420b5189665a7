"""The clinic's look, from `templates/brand.yaml`: colours for light and dark, fonts, a logo."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from newsletter.campaigns.definition import PictureEntry
from newsletter.campaigns.model import Picture
from newsletter.campaigns.reader import read_picture
from newsletter.errors import DefinitionFaults, Fault
from newsletter.staff_files import FileFaults, parse, read_text, read_yaml

BRAND_FILE = "templates/brand.yaml"


def _colour(text: Any) -> str:
    if text is None:
        raise ValueError('is empty: a bare # begins a note. | Put the colour in quotes: "#0B5C63".')
    # Outlook and MRML take six digits only; anything else could also carry CSS of its own into a style.
    if not (isinstance(text, str) and re.fullmatch(r"#[0-9A-Fa-f]{6}", text.strip())):
        raise ValueError(f'`{text}` is not a colour. | Write it with six digits, in quotes: "#0B5C63".')
    return text.strip().lower()


def _fonts(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9 ,-]+", text):
        raise ValueError(f"`{text}` is not a list of fonts. | Write names and commas only, without quotes.")
    return text


Colour = Annotated[str, BeforeValidator(_colour)]
Fonts = Annotated[str, Field(max_length=200), AfterValidator(_fonts)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


class Palette(_Part):
    """The colours of one mode."""

    page: Colour = Field(description="Around the letter.")
    paper: Colour = Field(description="The letter itself.")
    tint: Colour = Field(description="Boxes inside the letter.")
    ink: Colour = Field(description="Text.")
    quiet: Colour = Field(description="Small print.")
    line: Colour = Field(description="Thin lines.")
    accent: Colour = Field(description="The clinic's colour: links, buttons, the bar at the top.")
    on_accent: Colour = Field(description="Text on a button.")


class Colours(_Part):
    """The colours for light and for dark."""

    light: Palette = Field(description="For readers whose device is set to light, and for most mail programs.")
    dark: Palette = Field(description="For readers whose device is set to dark.")


class FontStacks(_Part):
    """Fonts that readers already have, the preferred one first."""

    heading: Fonts = Field(description="For titles.")
    body: Fonts = Field(description="For everything else.")


class BrandEntry(_Part):
    """`brand.yaml`."""

    colours: Colours = Field(description="The colours for light and dark.")
    fonts: FontStacks = Field(description="The fonts.")
    logo: PictureEntry | None = Field(None, description="A picture in templates/ shown at the top.")


class Brand(BaseModel):
    """The brand as rendering uses it, its logo found and measured."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    colours: Colours
    fonts: FontStacks
    logo: Picture | None


def read_brand(workspace: Path) -> Brand:
    """The brand of a workspace; raises DefinitionFaults with every fault."""
    try:
        tree = read_yaml(read_text(workspace / BRAND_FILE, BRAND_FILE), BRAND_FILE)
        entry = parse(BrandEntry, tree)
    except FileFaults as error:
        raise DefinitionFaults(error.faults) from None
    faults: list[Fault] = []
    logo = read_picture(workspace / "templates", "templates", entry.logo, tree, ("logo",), faults)
    if faults:
        raise DefinitionFaults(faults)
    return Brand(colours=entry.colours, fonts=entry.fonts, logo=logo)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two six-digit colours, from 1 to 21 (WCAG 2.2, relative luminance)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
