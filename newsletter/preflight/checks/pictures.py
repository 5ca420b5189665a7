"""Do pictures say what they show, and are they sharp and light enough?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from newsletter.campaigns.model import Article, Picture, Podcast, Video
from newsletter.preflight.model import Draft, Finding, Level

WEIGHT_LIMIT = 1_000_000


def check(draft: Draft) -> Iterator[Finding]:
    """Alt texts that say nothing, pictures too small to be sharp, and their weight in all."""
    for item in draft.mailing.items:
        match item:
            case Article():
                yield from _check(item.picture, 600)
            case Video():
                yield from _check(item.thumbnail, 600)
                if item.thumbnail is None:
                    yield Finding(Level.NOTE, "pictures", draft.place, f"“{item.title}” has no thumbnail.", "Add one.")
                if not item.captions and not item.transcript:
                    yield Finding(
                        Level.WARN,
                        "pictures",
                        draft.place,
                        f"“{item.title}” has neither captions nor a transcript; deaf readers are left out.",
                        "Add `captions: true` or `transcript:`.",
                    )
            case Podcast():
                yield from _check(item.cover, 168)
                if not item.transcript:
                    yield Finding(
                        Level.WARN,
                        "pictures",
                        draft.place,
                        f"“{item.title}” has no transcript; deaf readers are left out.",
                        "Add `transcript:`.",
                    )
    weight = sum(len(picture.content) for picture in draft.mail.pictures.values())
    if weight > WEIGHT_LIMIT:
        yield Finding(
            Level.WARN,
            "pictures",
            draft.place,
            f"the pictures weigh {weight / 1e6:.1f} MB together.",
            "Use fewer or simpler ones; many readers pay for data.",
        )


def _check(picture: Picture | None, shown: int) -> Iterator[Finding]:
    if picture is None:
        return
    if re.fullmatch(r"(img|image|picture|photo|dsc)?[\W_\d]*(\.\w{3,4})?", picture.alt, re.IGNORECASE) and picture.alt:
        yield Finding(Level.WARN, "pictures", picture.name, f"the alt text is “{picture.alt}”.", "Say what it shows.")
    if picture.width < shown:
        yield Finding(
            Level.WARN,
            "pictures",
            picture.name,
            f"is {picture.width} pixels wide and is shown {shown} wide: it will look small or blurred.",
            f"Use one of {2 * shown} pixels.",
        )
