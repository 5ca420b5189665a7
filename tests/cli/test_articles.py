"""The commands that begin a month and bring in articles, run as staff run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaigns.made_up_article import DEGREES, NAME, TEXT, TITLE

SETTINGS = """\
[clinic]
name = "Willow Lane Clinic"
postal_address = "12 Willow Lane, Exampleton"
time_zone = "Europe/London"

[sender]
name = "Willow Lane Clinic"
address = "news@clinic.example.org"
reply_to = "hello@clinic.example.org"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A workspace with settings and topics, and no campaign yet."""
    (tmp_path / "newsletter.toml").write_text(SETTINGS, "utf-8")
    (tmp_path / "campaigns").mkdir()
    (tmp_path / "subscribers").mkdir()
    (tmp_path / "subscribers" / "topics.yaml").write_text("sleep:\n  title: Better sleep\n", "utf-8")
    (tmp_path / "text.txt").write_text(TEXT, "utf-8")
    return tmp_path


def newsletter(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NEWSLETTER_")}
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.run(
        [sys.executable, "-m", "newsletter", *arguments],
        cwd=place,
        env={**environment, "PYTHONPATH": root, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )


def test_a_month_is_begun_and_a_text_brought_in(place: Path) -> None:
    begun = newsletter(place, "new", "2026-12", "Better sleep")
    assert (begun.returncode, begun.stderr) == (0, "")
    assert "Made campaigns/2026-12-better-sleep." in begun.stdout

    done = newsletter(place, "import-article", "text.txt")

    assert (done.returncode, done.stderr) == (0, "")
    assert all(words in done.stdout for words in (TITLE, NAME, *DEGREES, "Did you mean Verlaes?", "was added to"))
    text = (place / "campaigns" / "2026-12-better-sleep" / "restless-nights.md").read_text("utf-8")
    assert text.startswith(f"---\ntitle: {TITLE}\nauthor: marta-quillfeather\nreferences:\n")


def test_one_word_is_one_word_and_the_sample_that_it_replaces_is_said_to_be_deleted(place: Path) -> None:
    newsletter(place, "new", "2026-12", "Better sleep")
    (place / "short.md").write_text("# Rest\n\nSleep.\n", "utf-8")
    said = newsletter(place, "import-article", "short.md").stdout
    assert "Text:       1 word; " in said
    assert "first-article.md held only its sample text, so it was deleted." in said


def test_a_program_gets_json(place: Path) -> None:
    made = json.loads(newsletter(place, "new", "2026-12", "Better sleep", "--json").stdout)
    assert made["folder"].endswith("2026-12-better-sleep")

    result = json.loads(newsletter(place, "import-article", "text.txt", "--json").stdout)

    assert result["title"] == TITLE
    assert result["author"]["credentials"] == list(DEGREES)
    assert result["written"]["mailing"] == "opening"


def test_the_second_month_is_begun_from_the_first(place: Path) -> None:
    newsletter(place, "new", "2026-11", "Better sleep")

    begun = newsletter(place, "new", "2026-12", "Calm")

    assert "are those of 2026-11-better-sleep" in begun.stdout
    assert "It goes to everybody; change `audience` in campaigns/2026-12-calm/campaign.yaml." in begun.stdout


def test_whom_a_new_month_goes_to_is_said(place: Path) -> None:
    newsletter(place, "new", "2046-11", "Better sleep")
    file = place / "campaigns" / "2046-11-better-sleep" / "campaign.yaml"
    rule = "audience:\n  topics: [sleep]\n  not_mailed_within: 30\n"
    file.write_text(file.read_text("utf-8").replace("# audience: {topics: [a-topic]}\n", rule), "utf-8")

    begun = newsletter(place, "new", "2046-12", "Calm")

    who = "It goes to readers of: sleep, who had no mail for 30 days; change `audience` in "
    assert f"{who}campaigns/2046-12-calm/campaign.yaml." in begun.stdout
    assert "Look:" not in begun.stdout
    made = json.loads(newsletter(place, "new", "2047-01", "Rest", "--json").stdout)
    assert (made["audience"]["topics"], made["notes"]) == (["sleep"], [])


def test_a_month_that_has_a_campaign_already_or_is_past_is_asked_about(place: Path) -> None:
    newsletter(place, "new", "2046-12", "Better sleep")
    second = newsletter(place, "new", "2046-12", "Calm").stdout
    assert "Look: 2046-12 has a campaign already: 2046-12-better-sleep." in second
    assert "newsletter check 2046-12-calm" in second
    assert "Look: 2020-01 lies in the past" in newsletter(place, "new", "2020-01", "Calm").stdout


def test_with_several_months_a_text_is_shown_and_nothing_is_written(place: Path) -> None:
    newsletter(place, "new", "2026-11", "Better sleep")
    newsletter(place, "new", "2026-12", "Calm")
    before = sorted(place.rglob("*"))

    shown = newsletter(place, "import-article", "text.txt")

    assert shown.returncode == 0
    assert "Nothing was written: say which campaign it is for with --campaign." in shown.stdout
    assert sorted(place.rglob("*")) == before
    assert newsletter(place, "import-article", "text.txt", "--campaign", "2026-12").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import-article", "nowhere.txt"), "nowhere.txt cannot be read"),
        (("import-article", "newsletter.pdf"), "is a PDF"),
        (("import-article", "text.txt", "--campaign", "2031-01"), "There is no campaign `2031-01`"),
        (("import-article", "text.txt", "--mailing", "third"), "has no mailing `third`"),
        (("import-article", "."), "is a folder"),
        (("new", "soon", "Calm"), "is not a month"),
        (("new", "2026-12", " "), "The theme is empty"),
        (("new", "2026-12", "long " * 80), "is longer than 300 characters"),
        (("new", "2026-12", "Better sleep"), "is there already"),
    ],
)
def test_a_mistake_is_refused_in_a_sentence_without_a_traceback(
    place: Path, arguments: tuple[str, ...], words: str
) -> None:
    (place / "newsletter.pdf").write_bytes(b"%PDF-1.7")
    newsletter(place, "new", "2026-12", "Better sleep")

    refused = newsletter(place, *arguments)

    assert refused.returncode == 1
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


READERS = "address,name\n" + "".join(f"reader{n}@example.org,Reader {n}\n" for n in range(5))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("readers.csv", "is a table"),
        ("readers.txt", "looks like a list of people"),
        ("readers.md", "looks like a list of people"),
        ("readers.log", "ends in .log, and an article is a .txt, .md or .docx file"),
        ("readers", "has no ending, and an article is a .txt, .md or .docx file"),
    ],
)
def test_a_list_of_readers_becomes_no_article(place: Path, name: str, words: str) -> None:
    newsletter(place, "new", "2026-12", "Better sleep")
    (place / name).write_text(READERS, "utf-8")
    before = {path: path.read_bytes() for path in (place / "campaigns").rglob("*") if path.is_file()}

    refused = newsletter(place, "import-article", name, "--campaign", "2026-12")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert words in refused.stderr
    assert {path: path.read_bytes() for path in (place / "campaigns").rglob("*") if path.is_file()} == before


def test_the_same_text_twice_is_refused_unless_it_shall_be_replaced(place: Path) -> None:
    newsletter(place, "new", "2026-12", "Better sleep")
    newsletter(place, "import-article", "text.txt")

    assert "is there already" in newsletter(place, "import-article", "text.txt").stderr
    assert newsletter(place, "import-article", "text.txt", "--replace").returncode == 0
