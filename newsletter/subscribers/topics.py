"""Topics: what a subscriber chooses to hear about, in readers' words, from `subscribers/topics.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel

from newsletter.errors import DefinitionFaults
from newsletter.staff_files import FileFaults, Language, parse, read_text, read_yaml


class TopicWords(BaseModel):
    """A topic as readers read it, in one language."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    title: Annotated[str, Field(min_length=1, max_length=80)] = Field(description="The topic in readers' words.")
    description: Annotated[str, Field(max_length=300)] = Field(
        "", description="One sentence more, for the sign-up page."
    )


class TopicEntry(TopicWords):
    """One topic of `topics.yaml`, under its id: in the clinic's own language, and in others."""

    translations: Mapping[Language, TopicWords] = Field(
        default_factory=dict, description="The same in other languages, by their codes."
    )


@dataclass(frozen=True)
class Topic:
    """A topic: its id in files and rows, and how readers read it."""

    id: str
    title: str
    description: str
    translations: Mapping[str, TopicWords] = field(default_factory=dict)

    def words(self, language: str) -> Topic:
        """The topic in a language, or as it is where it is not translated."""
        translated = self.translations.get(language)
        return replace(self, title=translated.title, description=translated.description) if translated else self


class _TopicsFile(RootModel[dict[Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")], TopicEntry]]):
    pass


def read_topics(workspace: Path) -> Mapping[str, Topic]:
    """The topics of a workspace by id, none when there is no topics.yaml; raises DefinitionFaults."""
    path = workspace / "subscribers" / "topics.yaml"
    if not path.exists():
        return {}
    name = "subscribers/topics.yaml"
    try:
        entries = parse(_TopicsFile, read_yaml(read_text(path, name), name)).root
    except FileFaults as error:
        raise DefinitionFaults(error.faults) from None
    return {key: Topic(key, entry.title, entry.description, entry.translations) for key, entry in entries.items()}
