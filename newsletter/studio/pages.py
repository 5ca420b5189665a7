"""The pages of the studio; they may show a letter in a frame."""

from __future__ import annotations

from pathlib import Path

from newsletter.site import STRICT, Pages

PAGES = Pages(Path(__file__).parent / "templates")
POLICY = f"{STRICT}; frame-src 'self'"
