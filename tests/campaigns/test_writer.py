"""Writing into a campaign adds lines and changes none, writes all or nothing, and reads back without a fault."""

from __future__ import annotations

import difflib
import resource
import signal
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from newsletter.campaigns.article_import import ImportedArticle, ImportedAuthor
from newsletter.campaigns.model import Article, Campaign
from newsletter.campaigns.reader import read_authors, read_campaign
from newsletter.campaigns.send_times import read_send_time
from newsletter.campaigns.writer import PLACEHOLDER, Workplace, make_slug, new_campaign, write_article
from newsletter.errors import DefinitionFaults, NotFound, Refused

PLACE = Workplace(ZoneInfo("Europe/London"), read_send_time("first tuesday 09:00"), ("sleep", "stress"))
AUTHOR = ImportedAuthor("Dr Zoë O’Hara", "Nurse: nights", ("M.Sc. Nursing", "#1 in class"))
ARTICLE = ImportedArticle(
    "Sleep: a “tune” # of its own", "Some words.\n", ('Roy, A. (2010). X: y # z \\ "q".',), AUTHOR, ()
)
CAMPAIGN = """\
# The month of sleep: a long comment, far beyond any width that a YAML library would choose by itself, for sure.
month:    2026-11
theme: 'Sleep'   # quoted by hand
audience: {topics: [sleep]}

mailings:
- name: opening
  send_at: 2026-11-03 09:00
  subject: "Sleep well, and read this very long subject line which nobody should ever break into two lines please"
  items:
  - article: sleep.md   # the first one
  # between

  - video: https://video.example.org/1
    title: >-
      A video
      of two lines

# the second letter
- name: later
  subject: Again
  items:
  - article: sleep.md
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A campaign written by hand, with comments and a layout of its own."""
    folder = tmp_path / "campaigns" / "2026-11-sleep"
    folder.mkdir(parents=True)
    (folder / "campaign.yaml").write_text(CAMPAIGN, "utf-8")
    (folder / "sleep.md").write_text("---\ntitle: A title\n---\n\nSome words.\n", "utf-8")
    (folder.parent / "authors.yaml").write_text("# people\nana-petrov:\n  name: 'Dr Ana Petrov' # quoted\n", "utf-8")
    return folder


def read(folder: Path) -> Campaign:
    return read_campaign(
        folder, time_zone=PLACE.time_zone, sending_rule=PLACE.sending_rule, topics=PLACE.topics
    )  # fmt: skip


def added(before: str, after: str) -> list[str]:
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert not [line for line in lines if line.startswith("- ")]
    return [line[2:] for line in lines if line.startswith("+ ")]


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_article_is_added_after_the_last_item_and_no_line_is_touched(folder: Path) -> None:
    people = (folder.parent / "authors.yaml").read_text("utf-8")

    written = write_article(folder, ARTICLE, PLACE)

    assert added(CAMPAIGN, (folder / "campaign.yaml").read_text("utf-8")) == [
        "  - article: sleep-a-tune-of-its-own.md",
        "",
    ]
    assert "" not in added(people, (folder.parent / "authors.yaml").read_text("utf-8"))[1:]
    assert (written.file.name, written.mailing) == ("sleep-a-tune-of-its-own.md", "opening")


def test_what_was_written_reads_back_as_what_was_meant(folder: Path) -> None:
    written = write_article(folder, ARTICLE, PLACE, mailing="later")

    article = read(folder).mailings[1].items[-1]
    assert isinstance(article, Article)
    assert (article.title, article.references) == (ARTICLE.title, ARTICLE.references)
    assert article.body.strip() == "Some words."
    assert article.author is not None
    assert (article.author.id, written.author_id, written.author_is_new) == ("zoe-ohara", "zoe-ohara", True)
    assert (article.author.name, article.author.role, article.author.credentials) == (
        AUTHOR.name,
        AUTHOR.role,
        AUTHOR.credentials,
    )


@pytest.mark.parametrize("name", ["Dr Ana Petrov", "ana petrov", "Prof. Ána Petrov", "ana-petrov"])
def test_a_known_author_is_not_added_again(folder: Path, name: str) -> None:
    before = (folder.parent / "authors.yaml").read_bytes()

    written = write_article(folder, ImportedArticle("X", "Y\n", (), ImportedAuthor(name, "Coach"), ()), PLACE)

    assert (written.author_id, written.author_is_new) == ("ana-petrov", False)
    assert (folder.parent / "authors.yaml").read_bytes() == before
    assert "these were kept" in written.notes[0]


def test_another_person_whose_name_gives_the_same_id_gets_a_number(folder: Path) -> None:
    (folder.parent / "authors.yaml").write_text("zoe-ohara:\n  name: Someone else\n", "utf-8")

    assert write_article(folder, ARTICLE, PLACE).author_id == "zoe-ohara-2"


def test_without_an_authors_file_one_is_made(folder: Path) -> None:
    (folder.parent / "authors.yaml").unlink()

    write_article(folder, ARTICLE, PLACE)

    assert list(read_authors(folder.parent)) == ["zoe-ohara"]


def test_an_article_of_the_same_title_is_refused_unless_it_shall_be_replaced(folder: Path) -> None:
    write_article(folder, ARTICLE, PLACE)
    before = everything(folder.parent)
    changed = ImportedArticle(ARTICLE.title, "Other words.\n", (), None, ())

    with pytest.raises(Refused, match="--replace"):
        write_article(folder, changed, PLACE)
    assert everything(folder.parent) == before

    written = write_article(folder, changed, PLACE, mailing="later", replace=True)
    assert "Other words." in written.file.read_text("utf-8")
    assert (folder / "campaign.yaml").read_text("utf-8").count(written.file.name) == 1
    assert "in the mailing `opening` already" in written.notes[0]


def test_windows_line_ends_stay_windows_line_ends(folder: Path) -> None:
    (folder / "campaign.yaml").write_bytes(CAMPAIGN.replace("\n", "\r\n").encode())

    write_article(folder, ARTICLE, PLACE)

    text = (folder / "campaign.yaml").read_bytes()
    assert text.count(b"\n") == text.count(b"\r\n")
    assert len(read(folder).mailings[0].items) == 3


def test_a_list_in_brackets_is_added_to_as_well(folder: Path) -> None:
    flow = CAMPAIGN.replace("  items:\n  - article: sleep.md\n", "  items: [{article: sleep.md}]\n")
    assert flow != CAMPAIGN
    (folder / "campaign.yaml").write_text(flow, "utf-8")

    write_article(folder, ARTICLE, PLACE, mailing="later")

    assert len(read(folder).mailings[1].items) == 2
    assert CAMPAIGN.splitlines()[0] in (folder / "campaign.yaml").read_text("utf-8")


def test_a_file_without_a_line_end_at_its_end_is_added_to(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN.rstrip("\n"), "utf-8")

    write_article(folder, ARTICLE, PLACE, mailing="later")

    assert len(read(folder).mailings[1].items) == 2


def test_an_unknown_mailing_is_refused_with_the_ones_there_are(folder: Path) -> None:
    before = everything(folder.parent)

    with pytest.raises(NotFound, match="opening, later"):
        write_article(folder, ARTICLE, PLACE, mailing="third")

    assert everything(folder.parent) == before


def test_nothing_is_written_when_the_campaign_would_not_read_back(folder: Path) -> None:
    before = everything(folder.parent)

    with pytest.raises(DefinitionFaults, match="picture inside the text"):
        write_article(folder, ImportedArticle("X", "![a](https://www.example.org/b.png)\n", (), AUTHOR, ()), PLACE)

    assert everything(folder.parent) == before


def test_when_a_file_cannot_be_written_none_is_changed(folder: Path) -> None:
    before = everything(folder.parent)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(Refused, match="Nothing was changed"):
            write_article(folder, ImportedArticle("X", "Some words.\n" * 400, (), AUTHOR, ()), PLACE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert everything(folder.parent) == before


def test_a_new_month_reads_without_a_fault_and_says_what_to_write(tmp_path: Path) -> None:
    made = new_campaign(tmp_path, "2026-12", "Rest: “well” & long", PLACE, language="fr")

    campaign = read(made.folder)
    assert made.folder.name == "2026-12-rest-well-long"
    assert (campaign.theme, campaign.language, campaign.in_archive) == ("Rest: “well” & long", "fr", True)
    assert [mailing.name for mailing in campaign.mailings] == ["opening"]
    assert PLACEHOLDER in campaign.mailings[0].subject
    (article,) = campaign.mailings[0].items
    assert isinstance(article, Article)
    assert PLACEHOLDER in article.body


def test_a_new_month_takes_over_the_ways_of_the_last_one(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(
        CAMPAIGN.replace("topics: [sleep]", "topics: [sleep], not_mailed_within: 5")
        .replace("2026-11-03 09:00", "third friday 10:00")
        .replace("theme:", "language: de\narchive: false\ntheme:"),
        "utf-8",
    )

    campaign = read(new_campaign(folder.parent.parent, "2026-12", "Rest", PLACE, like=folder).folder)

    assert (campaign.language, campaign.audience.topics, campaign.audience.not_mailed_within) == ("de", ("sleep",), 5)
    assert not campaign.in_archive
    assert [(m.name, f"{m.send_at:%m-%d %H}") for m in campaign.mailings] == [
        ("opening", "12-18 10"),
        ("later", "12-01 09"),
    ]


def test_a_last_month_with_faults_does_not_stand_in_the_way(folder: Path) -> None:
    (folder / "campaign.yaml").write_text("month: never\n", "utf-8")

    made = new_campaign(folder.parent.parent, "2026-12", "Rest", PLACE, like=folder)

    assert made.like is None
    assert "has faults" in made.notes[0]
    read(made.folder)


@pytest.mark.parametrize(
    ("month", "theme", "words"),
    [("december", "x", "not a month"), ("2026-12", " ", "theme"), ("2026-13", "x", "2026-11")],
)
def test_a_month_or_theme_that_cannot_be_is_refused(tmp_path: Path, month: str, theme: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        new_campaign(tmp_path, month, theme, PLACE)

    assert not (tmp_path / "campaigns").exists()


def test_a_month_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    new_campaign(tmp_path, "2026-12", "Rest", PLACE)
    before = everything(tmp_path)

    with pytest.raises(Refused, match="there already"):
        new_campaign(tmp_path, "2026-12", "Rest!", PLACE)

    assert everything(tmp_path) == before


def test_an_imported_article_takes_the_place_of_the_untouched_starter(tmp_path: Path) -> None:
    folder = new_campaign(tmp_path, "2026-12", "Rest", PLACE).folder

    written = write_article(folder, ARTICLE, PLACE)

    (article,) = read(folder).mailings[0].items
    assert isinstance(article, Article)
    assert article.title == ARTICLE.title
    assert not (folder / "first-article.md").exists()
    assert "held only its sample text, so it was deleted" in written.notes[0]


def test_a_starter_that_somebody_wrote_into_is_kept(tmp_path: Path) -> None:
    folder = new_campaign(tmp_path, "2026-12", "Rest", PLACE).folder
    starter = folder / "first-article.md"
    starter.write_text(starter.read_text("utf-8") + "\nMy own words.\n", "utf-8")

    write_article(folder, ARTICLE, PLACE)

    assert len(read(folder).mailings[0].items) == 2


@pytest.mark.parametrize(("text", "slug"), [("Dr’s “Été” & Søn!", "drs-ete-son"), ("睡眠", ""), ("x" * 99, "x" * 56)])
def test_a_slug_has_small_letters_digits_and_dashes(text: str, slug: str) -> None:
    assert make_slug(text) == slug


def test_titles_in_another_script_give_files_of_their_own(folder: Path) -> None:
    for title in ("النوم الجيد", "القلق"):
        write_article(folder, replace(ARTICLE, title=title, author=None), PLACE)
    assert {path.stem for path in folder.glob("*.md")} >= {"النوم-الجيد", "القلق"}
    assert len(read(folder).mailings[0].items) == 4


def test_a_campaign_that_cannot_be_read_takes_no_article(folder: Path) -> None:
    (folder / "campaign.yaml").write_text("month: [\n")
    before = everything(folder.parent)
    with pytest.raises(DefinitionFaults, match=r"campaign\.yaml"):
        write_article(folder, ARTICLE, PLACE)
    assert everything(folder.parent) == before


def test_a_link_that_leads_nowhere_is_in_the_way_of_a_new_month(tmp_path: Path) -> None:
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "campaigns" / "2026-12-rest").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused, match="is there already"):
        new_campaign(tmp_path, "2026-12", "Rest", PLACE)
