"""Does the mail say who sends it, from where, and how to leave? (CAN-SPAM, PECR, CASL, the Gmail sender rules.)"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from newsletter.preflight.model import Draft, Finding, Level
from newsletter.rendering.model import LinkTag

_TEXT = "layouts/letter.txt.j2"


def check(draft: Draft) -> Iterator[Finding]:
    """The links to leave and to choose, the clinic's name and postal address, in both parts."""
    html, text = draft.mail.html, draft.mail.text
    for tag in LinkTag:
        link = tag.link(draft.base_url)
        if link not in draft.hrefs():
            yield _stop(draft, f"the mail has no {tag.name.lower()} link.")
        if link not in text:
            yield _stop(draft, f"the text part has no {tag.name.lower()} link.", _TEXT)
    flowed = " ".join(text.split())
    for what, words in (("name", draft.clinic.name), ("postal address", draft.clinic.postal_address)):
        if escape(words) not in html and words not in html:
            yield _stop(draft, f"the mail does not show the clinic's {what}.")
        if " ".join(words.split()) not in flowed:
            yield _stop(draft, f"the text part does not show the clinic's {what}.", _TEXT)


def _stop(draft: Draft, problem: str, template: str = "blocks/footer.mjml.j2") -> Finding:
    return Finding(Level.STOP, "compliance", draft.place, problem, f"Restore templates/email/{template}.")
