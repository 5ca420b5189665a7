"""Do links work, say where they lead, and stand in both parts?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from html import unescape

from newsletter.preflight.model import Draft, Finding, Level

VAGUE = frozenset({"click here", "here", "read more", "more", "link", "this link", "learn more", "this"})
SHORTENERS = ("bit.ly/", "tinyurl.com/", "t.co/", "goo.gl/", "ow.ly/", "is.gd/")


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
        if any(short in href for short in SHORTENERS):
            yield finding(
                Level.WARN, f"{href} hides where it leads.", "Link to the page itself; shorteners look like spam."
            )
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
