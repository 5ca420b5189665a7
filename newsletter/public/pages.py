"""The pages of the public site, and how an address is shown to somebody who may only hold a forwarded mail."""

from __future__ import annotations

from pathlib import Path

from newsletter.site import Pages

PAGES = Pages(Path(__file__).parent / "templates")


def mask(address: str) -> str:
    """An address that its owner recognises and nobody else can use: `a•••@e•••.org`."""
    local, _, domain = address.rpartition("@")
    name, _, ending = domain.rpartition(".")
    return f"{local[:1]}•••@{name[:1]}•••.{ending}"
