"""Do links work, say where they lead, and stand in both parts?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from html import escape, unescape
from urllib.parse import urlsplit

from newsletter.preflight.model import Draft, Finding, Level
from newsletter.rendering.model import LinkTag

VAGUE = frozenset({"click here", "here", "read more", "more", "link", "this link", "learn more", "this"})
SHORTENERS = frozenset({"bit.ly", "tinyurl.com", "t.co", "goo.gl", "ow.ly", "is.gd"})


def check(draft: Draft) -> Iterator[Finding]:
    """Links of one part that the other lacks, words that say nothing, plain http, shorteners."""

    def finding(level: Level, problem: str, remedy: str) -> Finding:
        return Finding(level, "links", draft.place, problem, remedy)

    html, text = draft.mail.html, draft.mail.text
    for href in dict.fromkeys(draft.hrefs()):
        if href.removeprefix("mailto:") not in text:
            yield finding(Level.STOP, f"the text part lacks the link {href}.", "Add it to the text template.")
        if href.startswith("http://") and not re.match(r"http://(127\.|localhost)", href):
            yield finding(Level.WARN, f"{href} is not encrypted.", "Use https:// when the site has it.")
        if _host(href) in SHORTENERS:
            yield finding(
                Level.WARN, f"{href} hides where it leads.", "Link to the page itself; shorteners look like spam."
            )
    yield from _changed_tags(draft)
    targets: dict[str, set[str]] = defaultdict(set)
    for href, inner in re.findall(r'<a\s[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', html, re.DOTALL):
        words = " ".join(unescape(re.sub(r"<[^>]*>", " ", inner)).split()).lower()
        alt = re.search(r'\balt="([^"]+)"', inner)
        name = words or (alt[1] if alt else "")
        if not name:
            yield finding(
                Level.STOP, f"the link to {unescape(href)} has no words.", "Give it words, or its picture an alt text."
            )
        elif name.strip(".!… ") in VAGUE:
            yield finding(Level.WARN, f"a link says only “{name}”.", "Say where it leads.")
        targets[name].add(href)
    for name, hrefs in targets.items():
        if name and len(hrefs) > 1:
            yield finding(
                Level.WARN, f"“{name}” leads to {len(hrefs)} different places.", "Give each link its own words."
            )


def _host(href: str) -> str:
    try:
        return (urlsplit(href).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _changed_tags(draft: Draft) -> Iterator[Finding]:
    """Tags that no token would take the place of, or whose link would lead nowhere."""
    for part, words in (("mail", draft.mail.html), ("text part", draft.mail.text), ("theme", draft.campaign.theme)):
        rest = words
        for tag in LinkTag:
            rest = rest.replace(escape(tag.link(draft.base_url)), "").replace(tag.link(draft.base_url), "")
        for tag in LinkTag:
            if tag.value in rest.lower():
                name = tag.name.lower()
                problem = f"the {part} has a changed {name} link, which would open for nobody."
                remedy = f"Leave {{{{ {name} }}}} in the template as it is, without a filter."
                yield Finding(Level.STOP, "links", draft.place, problem, remedy)
