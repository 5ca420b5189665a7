"""The rendered letter: both parts agree, the same input gives the same bytes, nothing of an author's acts."""

from __future__ import annotations

import html as html_entities
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from newsletter.campaigns.model import Article, Author, Campaign, Item, Podcast, Video
from newsletter.errors import TemplateFault
from newsletter.rendering.blocks import spell_duration
from newsletter.rendering.brand import read_brand
from newsletter.rendering.email import render_email
from newsletter.rendering.mjml import to_html
from newsletter.rendering.model import LinkTag, RenderedEmail
from newsletter.settings import Settings, read_settings
from newsletter.wiring import read_named_campaign, render_mailing
from tests.node import ROOT


@pytest.fixture(scope="module")
def settings() -> Settings:
    return read_settings(ROOT, {})


@pytest.fixture(scope="module")
def campaign(settings: Settings) -> Campaign:
    return read_named_campaign(settings, "2026-11")


def hrefs(html: str) -> set[str]:
    return {html_entities.unescape(href) for href in re.findall(r'<a\s[^>]*?href="([^"]*)"', html)}


def video(**changes: Any) -> Video:
    return replace(Video("https://v.example.org/1", "A title", None, None, None, False, None, None), **changes)


def article(body: str = "Words.", **changes: Any) -> Article:
    return replace(Article("a.md", "A title", body, 1, None, None, (), None, None, None), **changes)


def letter(settings: Settings, campaign: Campaign, *items: Item, language: str = "en", **changes: Any) -> RenderedEmail:
    mailing = replace(campaign.mailings[0], items=items, **changes)
    return render_mailing(settings, replace(campaign, language=language), mailing)


@pytest.mark.parametrize("at", [0, 1])
def test_every_link_of_one_part_is_in_the_other(settings: Settings, campaign: Campaign, at: int) -> None:
    mail = render_mailing(settings, campaign, campaign.mailings[at])
    in_html = hrefs(mail.html)
    in_text = set(re.findall(r"https?://[^\s<>]+", mail.text))
    assert {tag.link(settings.machine.base_url) for tag in LinkTag} < in_html
    assert in_html == in_text
    assert len(in_html) > 5


@pytest.mark.parametrize("at", [0, 1])
def test_the_same_input_gives_the_same_bytes(settings: Settings, campaign: Campaign, at: int) -> None:
    first = render_mailing(settings, campaign, campaign.mailings[at])
    again = render_mailing(settings, read_named_campaign(settings, "2026-11"), campaign.mailings[at])
    assert first == again


@pytest.mark.parametrize("at", [0, 1])
def test_the_html_stays_far_below_where_gmail_cuts(settings: Settings, campaign: Campaign, at: int) -> None:
    assert len(render_mailing(settings, campaign, campaign.mailings[at]).html.encode()) < 80_000


def test_language_and_direction_stand_on_html_and_on_everything_in_body(settings: Settings, campaign: Campaign) -> None:
    for language, direction in (("en", "ltr"), ("ar", "rtl"), ("pt-BR", "ltr")):
        html = letter(settings, campaign, video(), language=language).html
        body = html.partition("<body")[2]
        assert re.search(rf'<html lang="{language}" dir="{direction}"', html)
        assert body.count(f'lang="{language}" dir="{direction}"') == 2
        assert "und" not in re.findall(r'lang="([^"]*)"', html)


def test_the_preheader_is_hidden_without_tiny_or_white_text(settings: Settings, campaign: Campaign) -> None:
    html = render_mailing(settings, campaign, campaign.mailings[0]).html
    hidden = re.search(r"<body[^>]*>\s*(<div[^>]*>)", html)
    assert hidden
    assert "display:none" in hidden[1]
    assert "color" not in hidden[1]
    assert "font-size" not in hidden[1]


def test_conditional_comments_open_and_close_in_pairs(settings: Settings, campaign: Campaign) -> None:
    for mailing in campaign.mailings:
        html = render_mailing(settings, campaign, mailing).html
        assert html.count("<!--[if") == html.count("<![endif]")


def test_a_mailing_without_a_preheader_leads_with_its_first_words(settings: Settings, campaign: Campaign) -> None:
    mail = letter(settings, campaign, video(), preheader=None, opening="One *short* sentence. " * 10)
    assert mail.preheader.startswith("One short sentence.")
    assert len(mail.preheader) <= 92


HOSTILE = [
    '"><img src=x onerror=alert(1)>',
    "<script>alert(1)</script>",
    "{{7*7}} {% for i in range(10) %}x{% endfor %}",
    "é > b < c & d \" ' \\ end",
    "日本語> 🎧 > 1",
    "<![endif]--> <!--[if mso]>",
    "a\u00a0b\u202fc\u200dd\u00ade\u200ff",
    "नमस्ते สวัสดี e\u0301",
    "</mj-text></mj-column><mj-include path='/etc/passwd' />",
    "&amp; &#106; &nbsp;",
    "}}}{{{x}}} <%asm_group_unsubscribe_raw_url%>",
]


def test_the_words_of_a_picture_are_escaped_once(settings: Settings, campaign: Campaign) -> None:
    picture = campaign.mailings[1].items[0]
    assert isinstance(picture, Video)
    html = letter(settings, campaign, replace(picture, title='Q&A: "pain" – нет')).html
    alts = [html_entities.unescape(alt) for alt in re.findall(r'alt="([^"]*)"', html)]
    assert 'Play video: Q&A: "pain" – нет' in alts


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_shown_as_they_are_and_do_nothing(settings: Settings, campaign: Campaign, words: str) -> None:
    author = Author("a", words, words, (words,), None)
    items: tuple[Item, ...] = (
        article(f"Words.\n\n{words}", title=words, author=author, references=(words,)),
        video(title=words, by=words, duration=timedelta(minutes=5), captions=True, summary="S " + words),
        Podcast("https://p.example.org/1", words, words, words, None, None, "https://p.example.org/t", "S " + words),
    )
    mail = letter(settings, replace(campaign, theme=words), *items, subject=words, preheader=words)
    shown = " ".join(
        html_entities.unescape(re.sub(r"<!--.*?-->|<style.*?</style>|<[^>]*>", " ", mail.html, flags=re.DOTALL)).split()
    )
    assert " ".join(words.split()) in shown
    assert " ".join(words.split()) in " ".join(mail.text.split())
    assert "<script" not in mail.html
    assert "onerror=" not in re.sub(r'"[^"]*"', "", "".join(re.findall(r"<[a-z][^>]*>", mail.html)))
    assert "\\u{" not in mail.html
    assert mail.html.count("<!--[if") == mail.html.count("<![endif]")


@given(words=st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=60))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_title_can_break_the_letter(settings: Settings, campaign: Campaign, words: str) -> None:
    mail = letter(settings, campaign, video(title=words, summary=words), subject=words)
    assert mail.html.count("<!--[if") == mail.html.count("<![endif]")
    assert mail.html.rstrip().endswith("</html>")


@pytest.mark.parametrize(
    "mjml",
    [
        "<mjml><mj-body><mj-section><mj-column><mj-text>é > b</mj-text></mj-column></mj-section></mj-body></mjml>",
        "<mjml><mj-body><![endif",
        "no mjml",
        "",
    ],
)
def test_what_the_renderer_panics_on_is_a_clear_fault(mjml: str) -> None:
    with pytest.raises(TemplateFault, match="renderer"):
        to_html(mjml, language="en", direction="ltr")


def test_pictures_are_found_where_they_are_said_to_be(settings: Settings, campaign: Campaign) -> None:
    mail = render_email(
        campaign,
        campaign.mailings[1],
        clinic=settings.clinic,
        brand=read_brand(ROOT),
        workspace=ROOT,
        base_url="https://news.example.org",
    )
    sources = re.findall(r'<img[^>]*? src="([^"]*)"', mail.html)
    assert {source.rpartition("/")[2] for source in sources} == set(mail.pictures)
    assert all(source.startswith("https://news.example.org/media/") for source in sources)


def test_a_picture_that_breaks_off_is_refused_by_name(workspace: Path) -> None:
    path = workspace / "campaigns/2026-11-neuroplastic-pain/pictures/road.png"
    path.write_bytes(path.read_bytes()[:5000])
    settings = read_settings(workspace, {})
    campaign = read_named_campaign(settings, "2026-11")
    with pytest.raises(TemplateFault, match=r"pictures/road\.png"):
        render_mailing(settings, campaign, campaign.mailings[0])


def test_durations_speak_the_readers_language() -> None:
    assert spell_duration(timedelta(minutes=12, seconds=40), "fr") == "13\xa0min"
    assert spell_duration(timedelta(seconds=20), "de") == "1 Min."
    assert spell_duration(timedelta(hours=1, minutes=2), "fr") == "1\u202fh 2\xa0min"


def test_a_letter_that_is_kept_out_of_the_archive_has_no_link_to_it(settings: Settings, campaign: Campaign) -> None:
    public, kept_out = (
        render_mailing(settings, replace(campaign, in_archive=in_archive), campaign.mailings[0])
        for in_archive in (True, False)
    )
    assert all("/archive/2026-11-opening" in part for part in (public.html, public.text))
    assert not any("archive" in part or "View in your browser" in part for part in (kept_out.html, kept_out.text))


def test_the_fixed_words_of_a_letter_are_in_its_language(settings: Settings, campaign: Campaign) -> None:
    mail = render_mailing(settings, replace(campaign, language="de-AT"), campaign.mailings[0])
    for part in (mail.html, mail.text):
        assert all(words in part for words in ("Abmelden", "Literatur", "Im Browser ansehen"))
        assert not any(words in part for words in ("Unsubscribe", "References", "View in your browser"))
