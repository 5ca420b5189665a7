"""Markdown of authors: safe HTML, and text made from the same tokens."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.campaigns.markdown import find_faults, to_blocks, to_html


def test_headings_begin_where_the_mail_wants_them_and_skip_no_level() -> None:
    html = to_html("# One\n\n### Two\n\n# Three", top_heading=3)
    assert html == "<h3>One</h3>\n<h4>Two</h4>\n<h3>Three</h3>"


def test_a_deeper_heading_that_comes_first_does_not_jump() -> None:
    assert to_html("### Two\n\n# One", top_heading=3) == "<h3>Two</h3>\n<h3>One</h3>"


def test_words_on_two_lines_keep_a_space_between_them() -> None:
    assert to_html("**one**\n*two*") == "<p><strong>one</strong> <em>two</em></p>"


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](data:text/html,x)",
        "<a href='https://x.example' onclick='x'>x</a>",
        "[x](https://x.example 'a\" onmouseover=\"x')",
        '<https://x.example/"onload=x>',
    ],
)
def test_no_script_of_an_author_survives(attack: str) -> None:
    seen: list[tuple[str, str, str | None]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            seen.extend((tag, name, value) for name, value in attrs or [("", None)])

    Reader().feed(to_html(attack))
    assert {(tag, name) for tag, name, _ in seen} <= {("p", ""), ("a", "href")}
    assert all(value and value.startswith("https:") for tag, _, value in seen if tag == "a")


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=200))
def test_any_text_becomes_well_formed_and_free_of_bare_marks(text: str) -> None:
    html = to_html(text)
    assert html.count("<p>") == html.count("</p>")
    assert "<script" not in html


def test_every_style_reaches_its_tag() -> None:
    assert to_html("a [b](https://c.example)", styles={"p": "margin:0", "a": "color:#000000"}) == (
        '<p style="margin:0">a <a href="https://c.example" style="color:#000000">b</a></p>'
    )


def test_text_names_each_link_after_its_words() -> None:
    text = "* See [the page](https://a.example/) now\n* <https://b.example/>\n\n1. one\n2. two\n\n> said"
    assert list(to_blocks(text)) == [
        ("* ", "See the page <https://a.example/> now"),
        ("* ", "https://b.example/"),
        ("1. ", "one"),
        ("2. ", "two"),
        ("> ", "said"),
    ]


def test_pictures_and_links_that_lead_nowhere_are_faults_with_their_line() -> None:
    faults = find_faults("Text\n\n![x](x.png)\n\n[page](page.html) [ok](mailto:a@example.org)", "a.md", 5)
    assert [(fault.line, fault.problem) for fault in faults] == [
        (7, "has a picture inside the text."),
        (9, "has a link to `page.html`, which works in no mail."),
    ]


@pytest.mark.parametrize(
    "text", ["> " * 5000 + "x", "- " * 3000 + "x", "[" * 50_000, "*" * 50_000, "((((" * 20_000, "`" * 50_000]
)
def test_hostile_nesting_is_answered_and_never_crashes(text: str) -> None:
    find_faults(text, "a.md", 1)
    to_html(text)
    list(to_blocks(text))
