"""Reading a campaign: everything that is wrong is told at once, with file, line and field."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from newsletter.campaigns.model import Campaign
from newsletter.campaigns.reader import read_campaign
from newsletter.campaigns.send_times import read_send_time
from newsletter.errors import DefinitionFaults, Fault, NotFound

ARTICLE = "---\ntitle: A title\n---\n\nSome words.\n"
CAMPAIGN = """\
month: 2026-11
theme: Sleep
mailings:
  - name: opening
    send_at: 2026-11-03 09:00
    subject: Sleep well
    items:
      - article: sleep.md
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A campaign of one article, without a fault."""
    folder = tmp_path / "campaigns" / "2026-11-sleep"
    folder.mkdir(parents=True)
    (folder / "campaign.yaml").write_text(CAMPAIGN)
    (folder / "sleep.md").write_text(ARTICLE)
    return folder


def read(folder: Path, *, topics: tuple[str, ...] = ("sleep",)) -> Campaign:
    rule = read_send_time("first tuesday 09:00")
    return read_campaign(folder, time_zone=ZoneInfo("Europe/London"), sending_rule=rule, topics=topics)


def faults_of(folder: Path) -> tuple[Fault, ...]:
    with pytest.raises(DefinitionFaults) as refused:
        read(folder)
    return refused.value.faults


def test_a_good_campaign_is_read_whole(folder: Path) -> None:
    campaign = read(folder)
    assert (campaign.id, campaign.theme, campaign.year, campaign.month) == ("2026-11-sleep", "Sleep", 2026, 11)
    assert campaign.mailings[0].send_at.isoformat() == "2026-11-03T09:00:00+00:00"
    assert campaign.mailings[0].items[0].title == "A title"


def test_a_missing_folder_says_how_to_begin_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="newsletter new"):
        read(tmp_path / "campaigns" / "2027-01-nothing")


def test_every_fault_of_every_file_is_told_in_one_reading(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(
        "month: 2026-13\nteme: Sleep\naudience: {topics: [sleeep]}\nmailings:\n"
        "  - name: opening\n    subject: ''\n    items:\n      - article: sleep.md\n        pictre: {}\n"
    )
    told = {(fault.line, fault.field) for fault in faults_of(folder)}
    assert told == {
        (1, "month"),
        (1, "theme"),
        (2, "teme"),
        (6, "mailings[1].subject"),
        (9, "mailings[1].items[1].pictre"),
    }


def test_faults_of_articles_come_with_those_of_the_campaign(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN + "audience: {topics: [sleeep]}\n")
    (folder / "sleep.md").write_text("---\ntitle: A title\nauthor: nobody\n---\n\n![x](x.png)\n\n[here](page.html)\n")
    places = [(fault.file.rpartition("/")[2], fault.line) for fault in faults_of(folder)]
    assert places == [("campaign.yaml", 9), ("sleep.md", 3), ("sleep.md", 6), ("sleep.md", 8)]


@pytest.mark.parametrize(
    ("send_at", "words"),
    [
        ("2026-11-31 09:00", "not a real date"),
        ("9999-12-31 23:59", "not a real date and time of this century"),
        ("next week", "not a send time"),
        ("fifth tuesday 09:00", "has no day"),
        ("2026-03-29 01:30", "does not exist"),
        ("2026-10-25 01:30", "comes twice"),
    ],
)
def test_a_time_that_cannot_be_is_refused_with_what_to_write(folder: Path, send_at: str, words: str) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("2026-11-03 09:00", send_at))
    (fault,) = faults_of(folder)
    assert (fault.line, fault.field) == (5, "mailings[1].send_at")
    assert words in fault.problem
    assert fault.remedy


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_that_nobody_means_is_refused(folder: Path, day: str) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN + f"audience: {{joined_before: {day}}}\n")
    (fault,) = faults_of(folder)
    assert fault.field == "audience.joined_before"
    assert fault.problem == f"{day} is not between 2000 and 2100."


@pytest.mark.parametrize("name", ["../secret.md", "/etc/passwd", "a/../../x.md", "C:/x.md", "~/x.md"])
def test_no_file_outside_of_the_campaign_is_ever_read(folder: Path, name: str) -> None:
    (folder.parent / "secret.md").write_text(ARTICLE)
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("sleep.md", f"'{name}'"))
    (fault,) = faults_of(folder)
    assert "leads out of the folder" in fault.problem


def test_a_link_that_leads_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder.parent / "secret.md").write_text(ARTICLE)
    (folder / "sleep.md").unlink()
    (folder / "sleep.md").symlink_to(folder.parent / "secret.md")
    (fault,) = faults_of(folder)
    assert "leads out of the folder" in fault.problem


def test_links_that_lead_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "road.png").symlink_to(folder / "road.png")
    (folder / "sleep.md").unlink()
    (folder / "sleep.md").symlink_to(folder / "sleep.md")
    picture = "\n        picture: {file: road.png, alt: A road}"
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("sleep.md", f"sleep.md{picture}"))
    assert [fault.field.rpartition(".")[2] for fault in faults_of(folder)] == ["article", "file"]


def test_a_path_as_windows_writes_it_is_refused_with_how_to_write_it(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("sleep.md", "texts\\sleep.md"))
    (fault,) = faults_of(folder)
    assert "backslash" in fault.problem
    assert "/ between folders" in fault.remedy


def test_a_picture_with_far_too_many_pixels_is_not_called_anything_else(folder: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(folder / "road.png")
    picture = "\n        picture: {file: road.png, alt: A road}"
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("sleep.md", f"sleep.md{picture}"))
    (fault,) = faults_of(folder)
    assert "far too many pixels" in fault.problem


@pytest.mark.parametrize(
    "text", ["- a\n", "ines-varga:\n", "ines-varga: {role: x}\n", "Ines Varga: {name: x}\n", "a: [\n"]
)
def test_a_broken_authors_file_is_the_only_thing_that_is_told_about_authors(folder: Path, text: str) -> None:
    (folder.parent / "authors.yaml").write_text(text)
    (folder / "sleep.md").write_text(ARTICLE.replace("---\n\n", "author: ines-varga\n---\n\n"))
    (fault,) = faults_of(folder)
    assert fault.file == "campaigns/authors.yaml"


@pytest.mark.parametrize(
    ("name", "suggested"), [("Opening Letter", "opening-letter"), ("Début_2", "debut-2"), ("日本", "ines-varga")]
)
def test_names_that_ids_cannot_have_are_refused_in_plain_words(folder: Path, name: str, suggested: str) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("name: opening", f"name: {name}"), "utf-8")
    (fault,) = faults_of(folder)
    assert fault.problem == f"`{name}` may have small letters, digits and dashes only."
    assert fault.remedy == f"Write it like {suggested}."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [x]\nb: [*a, *a]\n", "begins with * or &"),
        ("month: !!python/object/apply:os.system ['true']\n", "begins with !"),
        ("month: [\n", "cannot be read here"),
        ("a: 1\na: 2\n", "twice"),
        ("[" * 10_000, "nested too deeply"),
        ("a: " + "{b: " * 50 + "}" * 50, "nested too deeply"),
        ("---\na: 1\n---\nb: 1\n", "goes on after a line"),
        ("- a\n- b\n", "must have keys"),
        ("a: \x07\n", "control character"),
        ("", "missing"),
        ("x" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(folder: Path, text: str, words: str) -> None:
    (folder / "campaign.yaml").write_text(text)
    assert any(words in fault.problem for fault in faults_of(folder))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("---\ntitle: Schlaf für alle\n---\n\nGrüße\n".encode("cp1252"), "Windows-1252"),
        ("---\ntitle: A\n---\n\nText\n".encode("utf-16"), "UTF-16"),
        (b"No title at all.\n", "does not begin with a line `---`"),
        (b"---\ntitle: A\n", "no second line `---`"),
        (b"---\ntitle: A\n---\n\n", "has no text"),
        (b"---\n---\n\nText\n", "missing"),
    ],
)
def test_an_article_that_cannot_be_read_is_named(folder: Path, content: bytes, words: str) -> None:
    (folder / "sleep.md").write_bytes(content)
    faults = faults_of(folder)
    assert all(fault.file.endswith("sleep.md") for fault in faults)
    assert any(words in fault.problem for fault in faults)


def test_a_byte_order_mark_and_foreign_line_ends_are_no_fault(folder: Path) -> None:
    (folder / "sleep.md").write_bytes(b"\xef\xbb\xbf" + ARTICLE.replace("\n", "\r\n").encode())
    assert read(folder).mailings[0].items[0].title == "A title"


@pytest.mark.parametrize(
    "content", [b"no picture", b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n"]
)
def test_a_picture_that_is_none_is_refused_with_its_line(folder: Path, content: bytes) -> None:
    (folder / "moon.png").write_bytes(content)
    (folder / "campaign.yaml").write_text(CAMPAIGN + "        picture: {file: moon.png, alt: The moon}\n")
    (fault,) = faults_of(folder)
    assert (fault.line, fault.field) == (9, "mailings[1].items[1].picture.file")
    assert "not a picture" in fault.problem


def test_an_item_is_one_thing_only(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN + "        video: https://video.example.org/1\n")
    (fault,) = faults_of(folder)
    assert (fault.line, fault.problem) == (8, "must be one article, one video or one podcast.")


def test_scalars_stay_what_was_written(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("theme: Sleep", "theme: 1.10"))
    assert read(folder).theme == "1.10"


def test_mailings_need_names_of_their_own(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN + CAMPAIGN.partition("mailings:\n")[2])
    (fault,) = faults_of(folder)
    assert (fault.line, fault.field) == (9, "mailings[2].name")


def test_an_empty_month_is_refused(folder: Path) -> None:
    (folder / "campaign.yaml").write_text("month: 2026-11\ntheme: Sleep\nmailings: []\n")
    (fault,) = faults_of(folder)
    assert (fault.line, fault.problem) == (3, "is an empty list.")


def test_a_mailing_without_items_is_refused(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN.partition("    items:")[0] + "    items: []\n")
    (fault,) = faults_of(folder)
    assert (fault.line, fault.field) == (7, "mailings[1].items")


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "www.example.org",
        "https://a b.example",
        "ftp://x.example",
        "https://u:p@x.example",
        'https://x.example/"onload="x',
    ],
)
def test_only_whole_web_addresses_are_taken(folder: Path, address: str) -> None:
    text = CAMPAIGN.replace("      - article: sleep.md", f"      - video: '{address}'\n        title: Sleep")
    (folder / "campaign.yaml").write_text(text)
    (fault,) = faults_of(folder)
    assert (fault.line, fault.field) == (8, "mailings[1].items[1].video")


def test_a_subject_cannot_carry_a_second_header(folder: Path) -> None:
    (folder / "campaign.yaml").write_text(CAMPAIGN.replace("Sleep well", '"Sleep\\r\\nBcc: x@example.org"'))
    (fault,) = faults_of(folder)
    assert fault.field == "mailings[1].subject"
