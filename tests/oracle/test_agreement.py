"""Our mails look as MJML's first implementation would draw them: to a browser, to other mail programs, to Outlook."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Page, Route

from newsletter.rendering.model import MailPicture
from tests.conftest import NewPage
from tests.node import CACHE
from tests.oracle.conftest import Compared
from tests.oracle.reading import for_browsers, for_outlook

KNOWN = {
    "npm gives word-spacing to the outer div as well as to body, from which it would inherit it": (
        r'(<div [^>]*role="article" style=")word-spacing:normal;',
        r"\1",
    ),
    "we give the preheader its language, and do not hide it by tiny white letters, which spam filters look for": (
        r'<div (?:dir="\w+" lang="[\w-]+" )?style="display:none;[^"]*">',
        '<div style="display:none;">',
    ),
}
"""Where the two differ and shall: the reason, and what makes the lines of both equal."""


def without_known(lines: list[str]) -> list[str]:
    """The lines with the known differences taken out."""
    for pattern, replacement in KNOWN.values():
        lines = [re.sub(pattern, replacement, line) for line in lines]
    return lines


def class_on_div(html: str) -> str:
    """npm's HTML with the class of mj-body where MRML and MJML 4 put it: on the outer div, not on body.

    The difference can be seen: in dark mode the rule for that class must win over the colour that stands on the div.
    """
    html = re.sub(r'(<body[^>]*) class="page"', r"\1", html, count=1)
    return re.sub(r'<div(?=\s+aria-label="[^"]*" aria-roledescription="email")', '<div class="page"', html, count=1)


def test_browsers_and_mail_programs_get_the_same_elements(compared: Compared) -> None:
    assert without_known(for_browsers(compared.email.html)) == without_known(
        for_browsers(class_on_div(compared.by_npm))
    )


def test_outlook_gets_the_same_elements(compared: Compared) -> None:
    ours = for_outlook(compared.email.html)
    assert ours == for_outlook(compared.by_npm)
    assert len(ours) > 50


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_pixel_is_the_same(compared: Compared, scheme: str, mail_name: str, new_page: NewPage) -> None:
    page = new_page(color_scheme=scheme)
    show_pictures(page, compared.email.pictures)
    for width in (700, 600, 375):
        ours = draw(page, compared.email.html, width)
        theirs = draw(page, class_on_div(compared.by_npm), width)
        if ours != theirs:
            folder = CACHE / "screenshots" / "disagreement"
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{mail_name.replace('/', '-')}-{scheme}-{width}"
            (folder / f"{name}-ours.png").write_bytes(ours)
            (folder / f"{name}-npm.png").write_bytes(theirs)
            pytest.fail(f"{name}: {_difference(ours, theirs)}; see {folder.relative_to(CACHE.parent)}")


def show_pictures(page: Page, pictures: Mapping[str, MailPicture]) -> None:
    """Answer requests for the pictures of a mail from the mail itself."""

    def answer(route: Route) -> None:
        picture = pictures[route.request.url.rpartition("/")[2]]
        route.fulfill(body=picture.content, content_type=picture.media_type)

    page.route("**/media/*", answer)


def draw(page: Page, html: str, width: int) -> bytes:
    """The whole mail in a window of that width, as PNG."""
    page.set_viewport_size({"width": width, "height": 800})
    page.set_content(html)
    return page.screenshot(full_page=True, animations="disabled")


def _difference(ours: bytes, theirs: bytes) -> str:
    a, b = (Image.open(io.BytesIO(png)).convert("RGB") for png in (ours, theirs))
    if a.size != b.size:
        return f"ours is {a.size}, npm's {b.size}"
    return f"the pictures differ within {ImageChops.difference(a, b).getbbox()}"
