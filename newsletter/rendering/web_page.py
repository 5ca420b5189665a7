"""A letter that was mailed as a part of a web page for everybody: the same HTML, without what belongs to one reader.

What the letter's template marks with the class `mailed` is left out, for it is true of a mail alone. So are the links
to leave, to choose and to this page itself, with the box that holds nothing else; in the middle of a sentence the words
of a link stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from html import escape

from lxml.html import HtmlElement, document_fromstring, tostring

from newsletter.rendering.model import LinkTag

MAILED = "mailed"
_SHARED_FROM = 400
"""CSS pixels from which a picture is large enough to stand for the letter elsewhere."""


@dataclass(frozen=True)
class LetterOnTheWeb:
    """A letter for a page: its style elements, its body, and the first large picture in it, as HTML and addresses.

    `picture` is a path on the site such as `/media/….png`, and `alt` its words; both empty when there is none.
    """

    styles: str
    body: str
    picture: str
    alt: str


@lru_cache(maxsize=32)
def put_on_the_web(html: str, *, base_url: str, path: str) -> LetterOnTheWeb:
    """The letter of an edition for its page at `path`; `base_url` is where its links and pictures begin."""
    document = document_fromstring(html)
    for comment in document.xpath("//comment()"):  # all of them speak to Outlook
        comment.drop_tree()
    for element in document.xpath(f'//*[contains(concat(" ", @class, " "), " {MAILED} ")]'):
        _drop_with_holder(element)
    not_for_here = {*(tag.link(base_url) for tag in LinkTag), f"{base_url}{path}"}
    for link in document.xpath("//a[@href]"):
        if link.get("href") in not_for_here:
            _drop_link(link)
    pictures = document.xpath("//img[@src]")
    for picture in pictures:
        picture.set("src", picture.get("src").replace(f"{base_url}/media/", "/media/", 1))
    large = next((one for one in pictures if _width(one) >= _SHARED_FROM), None)
    body = _letter_of(document)
    return LetterOnTheWeb(
        styles="\n".join(_html(style) for style in document.xpath("//head/style")),
        body=_without_tags(_html(body), base_url),
        picture=large.get("src") if large is not None else "",
        alt=large.get("alt", "") if large is not None else "",
    )


def _letter_of(document: HtmlElement) -> HtmlElement:
    """The letter itself; beside it stands only the preheader, which no page needs."""
    letter = next(iter(document.xpath('//body//*[@role="article"]')), None)
    if letter is None:
        letter = document.find("body")
        letter.tag = "div"
    letter.attrib.pop("aria-roledescription", None)
    return letter


def _drop_link(link: HtmlElement) -> None:
    holder = link.getparent()
    if _is_all_of(link, holder):
        _drop_with_holder(link)
    else:
        link.drop_tag()


def _drop_with_holder(element: HtmlElement) -> None:
    """Take an element out, and what would be left empty around it."""
    while (holder := element.getparent()) is not None and holder.tag != "body" and _is_all_of(element, holder):
        element = holder
    if element.getparent() is not None:
        element.drop_tree()


def _is_all_of(element: HtmlElement, holder: HtmlElement) -> bool:
    words = (holder.text or "") + (element.tail or "")
    return len(holder) == 1 and not words.strip()


def _width(picture: HtmlElement) -> int:
    width = picture.get("width", "")
    return int(width) if width.isdecimal() else 0


def _html(element: HtmlElement) -> str:
    text: str = tostring(element, encoding="unicode", with_tail=False)
    return text


def _without_tags(html: str, base_url: str) -> str:
    for tag in LinkTag:
        html = html.replace(escape(tag.link(base_url)), "").replace(tag.value, "")
    return html
