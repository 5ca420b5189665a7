"""The mail can be read by everybody: axe finds nothing, and no window is too narrow for it."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.conftest import NewPage
from tests.node import CACHE
from tests.oracle.conftest import Compared
from tests.oracle.test_agreement import draw, show_pictures

NOT_FOR_MAIL = {
    "region": "a mail is one article in the page of the mail program, which has the landmarks",
    "landmark-one-main": "the main landmark is the mail program's",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(compared: Compared, scheme: str, mail_name: str, new_page: NewPage) -> None:
    page = new_page(color_scheme=scheme)
    show_pictures(page, compared.email.pictures)
    folder = CACHE / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    options = {"resultTypes": ["violations"], "rules": {rule: {"enabled": False} for rule in NOT_FOR_MAIL}}
    for width in (700, 375):
        picture = draw(page, compared.email.html, width)
        (folder / f"{mail_name.replace('/', '-')}-{scheme}-{width}.png").write_bytes(picture)
        found = Axe().run(page, options=options).response["violations"]
        assert [(fault["id"], fault["impact"], [node["html"] for node in fault["nodes"]]) for fault in found] == [], (
            f"at {width} px"
        )


def test_nothing_is_wider_than_the_window(compared: Compared, new_page: NewPage) -> None:
    page = new_page()
    show_pictures(page, compared.email.pictures)
    page.set_content(compared.email.html)
    for width in (320, 375, 600, 700):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_that_do_not_load_leave_their_words(compared: Compared, new_page: NewPage) -> None:
    page = new_page(viewport={"width": 375, "height": 800})
    page.route("**/media/*", lambda route: route.fulfill(body=b"", content_type="image/png"))
    page.set_content(compared.email.html)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    for image in page.locator("img").all():
        assert image.get_attribute("alt") is not None


def test_words_run_in_the_direction_of_their_language(compared: Compared, new_page: NewPage) -> None:
    page = new_page()
    show_pictures(page, compared.email.pictures)
    page.set_content(compared.email.html)
    directions = "all => [...new Set(all.map(it => getComputedStyle(it).direction))]"
    wanted = page.locator("html").get_attribute("dir")
    assert page.locator("h1, h2, h3, p, li").evaluate_all(directions) == [wanted]
