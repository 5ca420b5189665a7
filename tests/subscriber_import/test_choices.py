"""Topics and languages are read as people write them, and what is neither is not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.subscriber_import.choices import find_language, find_topics, spell_topics
from newsletter.subscriber_import.columns import Column, find_column
from newsletter.subscriber_import.model import Reason
from tests.subscriber_import.reading import TOPICS, read_bytes

SPELLED = spell_topics(TOPICS)
IDS = tuple(topic.id for topic in TOPICS)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("sleep", {"sleep"}),
        ("sleep, pain", {"sleep", "pain"}),
        ("sleep;pain", {"sleep", "pain"}),
        ("sleep | PAIN", {"sleep", "pain"}),
        ("sleep\r\npain", {"sleep", "pain"}),
        ("sleep clinic-news", {"sleep", "clinic-news"}),
        ("Better sleep", {"sleep"}),
        ("better  SLEEP, Living with pain", {"sleep", "pain"}),
        ("Leben mit Schmerzen", {"pain"}),
        ("News, talks and courses", {"clinic-news"}),
        ("News, talks and courses; sleep, pain", {"clinic-news", "sleep", "pain"}),
        (" ;, ", set()),
        ("", set()),
    ],
)
def test_topics_are_read_by_id_and_by_title_whatever_stands_between(text: str, ids: set[str]) -> None:
    assert find_topics(text, SPELLED) == (ids, [])


def test_a_topic_that_is_none_is_told_whole() -> None:
    assert find_topics("sleep, Worse sleep, pain", SPELLED) == ({"sleep", "pain"}, ["Worse sleep"])
    assert find_topics("sleep unheard-of", SPELLED) == (set(), ["sleep unheard-of"])


@given(
    st.lists(st.sampled_from([*IDS, *(topic.title for topic in TOPICS if "," not in topic.title)])),
    st.sampled_from([";", ", ", "|", "\n", " ; "]),
)
def test_any_topics_come_back_from_any_separator(names: list[str], separator: str) -> None:
    chosen, unknown = find_topics(separator.join(names), SPELLED)
    assert unknown == []
    titles = {topic.title: topic.id for topic in TOPICS}
    assert chosen == {titles.get(name, name) for name in names}


@pytest.mark.parametrize("title", ["Themen", "sujets", "Temas", "topics"])
def test_a_column_of_topics_is_known_by_its_title(title: str) -> None:
    assert find_column(title) is Column.TOPICS


@pytest.mark.parametrize("title", ["Interests", "Interessen", "Intérêts", "Theme"])
def test_what_another_service_asked_is_no_topic_of_ours(title: str) -> None:
    assert find_column(title) is not Column.TOPICS


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("de", "de"),
        ("pt_BR", "pt-BR"),
        ("Deutsch", "de"),
        ("german", "de"),
        ("English", "en"),
        ("Englisch", "en"),
        ("FRANÇAIS", "fr"),
        ("Brazilian Portuguese", "pt-BR"),
        ("Türkçe", "tr"),
        ("Klingon", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_a_language_is_known_by_its_code_and_by_its_name(text: str, code: str | None) -> None:
    assert find_language(text, "en") == code


def test_a_language_is_known_by_its_name_in_the_clinics_own() -> None:
    assert (find_language("allemand", "fr"), find_language("allemand", "en")) == ("de", None)


def test_a_list_as_a_clinic_writes_it_is_read(tmp_path: Path) -> None:
    rows, _ = read_bytes(
        tmp_path,
        b"E-Mail;Sprache;Themen\nann@example.org;Deutsch;sleep, pain\n"
        b"bob@example.org;Englisch;Better sleep\neve@example.org;;Yoga for all\n",
    )
    assert [(row.language, row.topics) for row in rows[:2]] == [("de", ["pain", "sleep"]), ("en", ["sleep"])]
    assert (rows[2].reason, rows[2].note) == (Reason.UNKNOWN_TOPIC, "Yoga for all")
