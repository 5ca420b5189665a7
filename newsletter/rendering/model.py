"""What rendering gives: one mailing as HTML and text, with a tag where each reader's own tokens go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class LinkTag(Enum):
    """What stands in the rendered mail in place of each reader's own token, at the end of a link.

    A token is hexadecimal digits and full stops, so the same tag serves HTML and text. The tags are SendGrid
    substitution tags: closed, no spaces, none the beginning of another, replaced by plain string replacement in every
    transport.
    """

    UNSUBSCRIBE = "-unsubscribe-token-"
    PREFERENCES = "-preferences-token-"

    def link(self, base_url: str) -> str:
        """The link that the tag ends, as it stands in text."""
        return f"{base_url}/{self.name.lower()}/{self.value}"


@dataclass(frozen=True)
class MailPicture:
    """A picture as readers get it: re-encoded, without the maker's metadata.

    `sha256` is of `content`; `name` is `<sha256>.<ext>`; width and height are pixels of the file.
    """

    name: str
    sha256: str
    media_type: str
    content: bytes
    width: int
    height: int


@dataclass(frozen=True)
class RenderedEmail:
    """One mailing, rendered for everybody: what is checked, approved and sent.

    `html` and `text` hold tags (see LinkTag); `mjml` is what the HTML was made from; `pictures` are by file name.
    """

    subject: str
    preheader: str
    html: str
    text: str
    mjml: str
    pictures: Mapping[str, MailPicture]
