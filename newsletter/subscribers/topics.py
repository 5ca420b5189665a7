"""Topics: what a subscriber chooses to hear about, in readers' words, from `subscribers/topics.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, RootModel

from newsletter.errors import DefinitionFaults
from newsletter.staff_files import FileFaults, parse, read_text, read_yaml


@dataclass(frozen=True)
class Topic:
    """A topic: its id in files and rows, and how readers read it."""

    id: str
    title: str
    description: str


class TopicEntry(BaseModel):
    """One topic of `topics.yaml`, under its id."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    title: Annotated[str, Field(min_length=1, max_length=80)] = Field(description="The topic in readers' words.")
    description: Annotated[str, Field(max_length=300)] = Field(
        "", description="One sentence more, for the sign-up page."
    )


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
    return {key: Topic(key, entry.title, entry.description) for key, entry in entries.items()}
