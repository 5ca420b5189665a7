"""Will Gmail show it whole? It cuts a mail at about 102 KB of HTML, and with it the link to leave."""

from __future__ import annotations

from collections.abc import Iterator

from newsletter.preflight.model import Draft, Finding, Level

WARN_AT = 80_000
STOP_AT = 95_000


def check(draft: Draft) -> Iterator[Finding]:
    """The bytes of the HTML against what mailboxes show."""
    size = len(draft.mail.html.encode())
    if size > WARN_AT:
        level = Level.STOP if size > STOP_AT else Level.WARN
        yield Finding(
            level,
            "size",
            draft.place,
            f"the HTML has {size / 1000:.0f} KB; Gmail cuts at 102 KB, and the link to leave goes with it.",
            "Shorten the text, or move an item to another mailing.",
        )
