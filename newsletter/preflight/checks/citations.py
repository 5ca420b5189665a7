"""Do citations and references agree?"""

from __future__ import annotations

from collections.abc import Iterator

from newsletter.campaigns.citations import check_citations
from newsletter.campaigns.markdown import to_words
from newsletter.campaigns.model import Article
from newsletter.preflight.model import Draft, Finding, Level


def check(draft: Draft) -> Iterator[Finding]:
    """What is cited and not listed, listed and not cited, or spelt in two ways."""
    for item in draft.mailing.items:
        if isinstance(item, Article):
            for found in check_citations(to_words(item.body), item.references):
                level = Level.NOTE if found.kind == "order" else Level.WARN
                yield Finding(level, "citations", item.name, found.problem, found.remedy)
