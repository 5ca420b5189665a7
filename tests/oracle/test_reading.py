"""The comparison itself: it overlooks how a thing is written, and nothing of what is written."""

from __future__ import annotations

import pytest

from tests.oracle.conftest import render_by_npm
from tests.oracle.reading import for_browsers, for_outlook, read_html

ONE_COMMENT = '<!--[if mso | IE]><table width="600" class="a b"><tr><![endif]--><p>Hello  you</p>'


@pytest.mark.parametrize(
    "same",
    [
        '<!--[if mso | IE]><table class="b a" width="600"><![endif]--><!--[if mso | IE]><tr><![endif]-->'
        "<p>Hello you</p>",
        '<!--[if mso | IE]>\n<table width="600"  class="a  b" style="">\n<tr><![endif]-->\n<p >\nHello you\n</p>\n',
    ],
)
def test_ways_of_writing_the_same_are_the_same(same: str) -> None:
    assert read_html(same) == read_html(ONE_COMMENT)


@pytest.mark.parametrize(
    "other",
    [
        ONE_COMMENT.replace("600", "560"),
        ONE_COMMENT.replace("mso | IE", "mso"),
        ONE_COMMENT.replace("<tr>", ""),
        ONE_COMMENT.replace("you", "You"),
        ONE_COMMENT.replace("<p>", '<p dir="rtl">'),
    ],
)
def test_another_thing_is_another(other: str) -> None:
    assert read_html(other) != read_html(ONE_COMMENT)


def test_each_reader_gets_its_own_part() -> None:
    html = "<!--[if mso]><b>Outlook</b><![endif]--><!--[if !mso]><!--><i>others</i><!--<![endif]-->all"
    assert for_outlook(html) == ["[if mso] <b>", "[if mso] Outlook", "[if mso] </b>"]
    assert for_browsers(html) == ["[if !mso] <i>", "[if !mso] others", "[if !mso] </i>", "all"]


def test_what_npm_finds_a_fault_in_is_told() -> None:
    with pytest.raises(AssertionError, match="mj-nonsense"):
        render_by_npm(["<mjml><mj-body><mj-nonsense /></mj-body></mjml>"])
