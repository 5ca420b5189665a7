"""The words of the sign-up page, from `subscribers/signup.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from newsletter.addresses import read_website
from newsletter.errors import DefinitionFaults
from newsletter.staff_files import FileFaults, Language, parse, read_text, read_yaml

FILE = "subscribers/signup.yaml"


class PrivacyNotice(BaseModel):
    """The clinic's privacy notice; its version stands in every consent."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    version: Annotated[str, Field(min_length=1, max_length=40)] = Field(
        description="Its version or date, such as 2026-05; change it whenever the notice changes."
    )
    url: Annotated[str, AfterValidator(read_website)] = Field(description="Where it can be read.")


class SignUpWords(BaseModel):
    """What the page says, in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    title: Annotated[str, Field(min_length=1, max_length=120)] = Field(description="The title of the page.")
    introduction: Annotated[str, Field(max_length=2_000)] = Field(
        "", description="What readers may expect; paragraphs are parted by an empty line."
    )
    age_statement: Annotated[str, Field(max_length=200)] = Field(
        "",
        description="A second box that must be ticked, such as: I am 16 or older. Leave it out when nobody younger "
        "can come to the page.",
    )


class SignUpPage(SignUpWords):
    """The words of the sign-up page, in the clinic's own language and in others."""

    privacy_notice: PrivacyNotice | None = Field(None, description="The privacy notice that the page links to.")
    translations: Mapping[Language, SignUpWords] = Field(
        default_factory=dict, description="The words above in other languages, by their codes."
    )

    def words(self, language: str) -> SignUpWords:
        """The words in a language, or in the clinic's own where they are not translated."""
        return self.translations.get(language, self)


PLAIN_PAGE = SignUpPage(title="Newsletter")
"""The words of a workspace that has none of its own."""


def read_sign_up_page(workspace: Path) -> SignUpPage:
    """The words of the page; plain ones when there is no such file. Raises DefinitionFaults."""
    path = workspace / FILE
    if not path.exists():
        return PLAIN_PAGE
    try:
        return parse(SignUpPage, read_yaml(read_text(path, FILE), FILE))
    except FileFaults as error:
        raise DefinitionFaults(error.faults) from None
