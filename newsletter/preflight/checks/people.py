"""Does a text name how to reach somebody who is not the clinic? A list of readers must never become a letter."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from newsletter.addresses import find_emails
from newsletter.campaigns.markdown import to_words
from newsletter.campaigns.model import Article, Item
from newsletter.preflight.model import Draft, Finding, Level


def check(draft: Draft) -> Iterator[Finding]:
    """E-mail addresses in an item, or in the opening, that are not the clinic's own: one finding for each of them."""
    texts = [(draft.place, to_words(draft.mailing.opening or ""))]
    texts += [(item.name if isinstance(item, Article) else draft.place, _words(item)) for item in draft.mailing.items]
    for place, words in texts:
        strange = [email for email in dict.fromkeys(find_emails(words)) if not _is_own(email, draft)]
        if strange:
            more = f" and {len(strange) - 1} more of other people" if strange[1:] else ""
            yield Finding(
                Level.WARN,
                "people",
                place,
                f"every reader would see the e-mail address {strange[0]}{more}.",
                "Take it out, unless whoever it belongs to has agreed.",
            )


def _words(item: Item) -> str:
    if isinstance(item, Article):
        return "\n".join([item.title, to_words(item.body), *item.references])
    return f"{item.title}\n{to_words(item.summary or '')}"


def _is_own(email: str, draft: Draft) -> bool:
    email = email.lower()
    if email == draft.sender.reply_to.lower():
        return True
    site = urlsplit(draft.clinic.website or "").hostname or ""
    own = {draft.sender.address.lower().rpartition("@")[2], site.removeprefix("www.")} - {""}
    domain = email.rpartition("@")[2]
    return any(domain == one or domain.endswith(f".{one}") for one in own)
