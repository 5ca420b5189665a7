"""A letter on the web is the letter that was mailed, without what belongs to one reader."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml.html import fromstring

from newsletter.rendering.model import LinkTag
from newsletter.rendering.web_page import put_on_the_web
from newsletter.settings import read_settings
from newsletter.wiring import read_named_campaign, render_mailing
from tests.node import ROOT

SITE = "https://news.example.org"
PATH = "/archive/2026-11-opening"
LEAVE = LinkTag.UNSUBSCRIBE.link(SITE)


def body(html: str) -> str:
    return put_on_the_web(f"<html><body>{html}</body></html>", base_url=SITE, path=PATH).body


@pytest.fixture(scope="module")
def mailed() -> str:
    settings = read_settings(ROOT, {})
    campaign = read_named_campaign(settings, "2026-11")
    return render_mailing(settings, campaign, campaign.mailings[0]).html


def test_all_that_the_letter_says_is_there_and_nothing_else(mailed: str) -> None:
    letter = put_on_the_web(mailed, base_url="http://127.0.0.1:8000", path=PATH)
    gone = ["Unsubscribe", "Change what you receive", "View in your browser"]
    gone.append("You receive this letter because you asked Willow Lane Clinic for it.")
    before = words(re.sub("<!--.*?-->", "", mailed[mailed.index('<div aria-label="') :], flags=re.DOTALL))
    assert all(text in before for text in gone)
    assert words(letter.body) == [text for text in before if text not in gone]


def words(html: str) -> list[str]:
    texts = (" ".join(text.split()) for text in fromstring(html).itertext())
    return [text for text in texts if text.strip("\u200a")]


def test_links_to_what_can_be_watched_heard_and_read_stay(mailed: str) -> None:
    letter = put_on_the_web(mailed, base_url="http://127.0.0.1:8000", path=PATH)
    kept = {link for _, _, link, _ in fromstring(letter.body).iterlinks() if link.startswith("https:")}
    there = set(re.findall(r'<a\s[^>]*?href="(https:[^"]*)"', mailed))
    assert kept == there
    assert any("doi.org" in link for link in kept)


def test_pictures_come_from_the_site_and_the_first_large_one_stands_for_the_letter(mailed: str) -> None:
    letter = put_on_the_web(mailed, base_url="http://127.0.0.1:8000", path=PATH)
    pictures = re.findall(r'src="([^"]*)"', letter.body)
    assert len(pictures) == mailed.count("<img ")
    assert all(re.fullmatch(r"/media/[0-9a-f]{64}\.\w+", one) for one in pictures)
    assert letter.picture in letter.body
    assert letter.alt == "A path worn into a meadow"


def test_a_personal_link_goes_with_the_box_around_it() -> None:
    box = f'<table><tr><td><div><a href="{LEAVE}">Leave</a></div></td></tr></table>'
    assert body(f"<p>Hello</p>{box}") == "<div><p>Hello</p></div>"


def test_in_a_sentence_the_words_of_a_personal_link_stay() -> None:
    sentence = f'<p>You may <a href="{LEAVE}">leave</a> at any time.</p>'
    assert body(sentence) == "<div><p>You may leave at any time.</p></div>"


def test_a_link_of_the_letter_to_itself_is_gone() -> None:
    assert body(f'<p>Hello</p><p><a href="{SITE}{PATH}">In your browser</a></p>') == "<div><p>Hello</p></div>"


def test_what_is_marked_as_mailed_is_gone() -> None:
    box = '<table><tr><td class="quiet mailed">You asked</td></tr></table>'
    assert body(f"<p>Hello</p>{box}") == "<div><p>Hello</p></div>"


def test_what_speaks_to_outlook_and_the_hidden_preheader_are_gone() -> None:
    hidden = '<div style="display:none">Preheader</div>'
    words = "<!--[if mso]><p>Outlook</p><![endif]--><p>Hello</p>"
    letter = f'<div role="article" aria-roledescription="email">{words}</div>'
    assert body(hidden + letter) == '<div role="article"><p>Hello</p></div>'


PARTS = [
    *(tag.value for tag in LinkTag),
    *(tag.link(SITE) for tag in LinkTag),
    "a",
    '"',
    "<p>",
    "<a href='",
    "'>",
    "</a>",
    "&",
    "\x00",
    "é",
]


@given(st.lists(st.sampled_from(PARTS)))
def test_whatever_a_template_does_with_a_personal_link_none_is_left(parts: list[str]) -> None:
    shown = body("".join(parts))
    assert not any(tag.value in shown for tag in LinkTag)
