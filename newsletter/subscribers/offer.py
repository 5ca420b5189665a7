"""What readers can sign up for: the words of the page, the topics, and the texts that they agree to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from newsletter.subscribers.model import Wording
from newsletter.subscribers.sign_up_page import PLAIN_PAGE, SignUpPage, read_sign_up_page
from newsletter.subscribers.topics import Topic, read_topics
from newsletter.subscribers.wordings import read_wordings


@dataclass(frozen=True)
class Offer:
    """The folder `subscribers/` as values; `wordings` has the newest of each language. Without one nobody can sign up.

    `language` is the clinic's own, in which page and topics are written that are not translated.
    """

    language: str = "en"
    page: SignUpPage = PLAIN_PAGE
    topics: Mapping[str, Topic] = field(default_factory=dict)
    wordings: Mapping[str, Wording] = field(default_factory=dict)

    def wording(self, language: str) -> Wording | None:
        """The text to agree to on a page in a language: in the clinic's own, or any, where that one has none."""
        wished = (self.wordings.get(code) for code in (language, self.language))
        return next((one for one in wished if one), next(iter(self.wordings.values()), None))

    def find_wording(self, hashed: str) -> Wording | None:
        """The text with a hash, if it is one that is shown at present."""
        return next((one for one in self.wordings.values() if one.hash == hashed), None)


def read_offer(workspace: Path, *, language: str) -> Offer:
    """What a workspace offers; raises DefinitionFaults for a file that is wrong."""
    return Offer(language, read_sign_up_page(workspace), read_topics(workspace), read_wordings(workspace))
