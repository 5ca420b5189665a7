"""What tests of this room need: a file read as rows, with nothing written."""

from __future__ import annotations

from pathlib import Path

from newsletter.subscriber_import.choices import spell_topics
from newsletter.subscriber_import.model import StagedRow, TableUse, Wish
from newsletter.subscriber_import.reading import Reading
from newsletter.subscriber_import.rows import Terms
from newsletter.subscribers.topics import Topic, TopicWords
from tests.factories import KEY, NOON

EXPORTS = Path(__file__).parent / "exports"
TOPICS = (
    Topic("pain", "Living with pain", "", {"de": TopicWords(title="Leben mit Schmerzen", description="")}),
    Topic("sleep", "Better sleep", ""),
    Topic("clinic-news", "News, talks and courses", ""),
)
TERMS = Terms("en", spell_topics(TOPICS), KEY)


def read_files(*files: Path, wish: Wish = Wish.WANTS) -> tuple[list[StagedRow], list[TableUse]]:
    """The rows of files and what was used of each table; times after NOON are yet to come."""
    reading = Reading(files, TERMS, NOON, wish)
    return list(reading.rows()), reading.tables


def read_bytes(folder: Path, content: bytes, name: str = "people.csv") -> tuple[list[StagedRow], list[TableUse]]:
    """The rows of one file with this content."""
    file = folder / name
    file.write_bytes(content)
    return read_files(file)


def wishes(rows: list[StagedRow]) -> dict[str, str]:
    """What is wished for each address."""
    return {row.address: row.wish.value for row in rows if row.address}
