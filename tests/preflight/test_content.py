"""What an author overlooks in a month is found before anybody else sees it."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.settings import read_settings
from newsletter.wiring import check_mailing, read_named_campaign, render_mailing

FOLDER = "campaigns/2026-11-neuroplastic-pain"


def findings(workspace: Path) -> str:
    settings = read_settings(workspace, {})
    campaign = read_named_campaign(settings, "20")
    mailing = campaign.mailings[0]
    report = check_mailing(settings, campaign, mailing, render_mailing(settings, campaign, mailing))
    return "\n".join(map(str, report.findings))


def change(workspace: Path, old: str, new: str, file: str = f"{FOLDER}/campaign.yaml") -> None:
    text = (workspace / file).read_text("utf-8")
    assert old in text
    (workspace / file).write_text(text.replace(old, new, 1), "utf-8")


def test_a_date_outside_of_the_month_is_asked_about(workspace: Path) -> None:
    change(workspace, "send_at: first tuesday 09:00", "send_at: 2025-11-04 09:00")
    assert "it would go out on 2025-11-04, outside of its month, 2026-11." in findings(workspace)


def test_a_copied_folder_that_kept_the_old_month_is_asked_about(workspace: Path) -> None:
    (workspace / FOLDER).rename(workspace / "campaigns" / "2026-12-better-sleep")
    assert "the folder is named for 2026-12, but `month` is 2026-11." in findings(workspace)


@pytest.mark.parametrize("tag", ["<b>", "</div>", '<span class="x">', "<!-- later -->", "<br/>"])
@pytest.mark.parametrize("file", [f"{FOLDER}/neuroplastic-pain.md", f"{FOLDER}/campaign.yaml"])
def test_html_that_readers_would_see_as_it_stands_is_found(workspace: Path, tag: str, file: str) -> None:
    old = "The main idea of this month" if file.endswith("yaml") else "\n---\n"
    change(workspace, old, f"{old}\n\nWords {tag} words.\n" if file.endswith("md") else f"{tag} {old}", file)
    assert f"readers would see `{tag[:4]}" in findings(workspace)


@pytest.mark.parametrize("key", ["subject", "preheader", "theme"])
def test_what_nobody_has_written_yet_is_found_wherever_it_stands(workspace: Path, key: str) -> None:
    change(workspace, f"{key}: ", f"{key}: Replace this text with the {key} ")
    assert "stop" in findings(workspace)


@pytest.mark.parametrize("part", ["layouts/letter.txt.j2", "blocks/footer.mjml.j2"])
def test_a_link_to_leave_that_a_template_changes_is_found(workspace: Path, part: str) -> None:
    file = f"templates/email/{part}"
    beside = {"layouts/letter.txt.j2": "{{ unsubscribe }}", "blocks/footer.mjml.j2": '(unsubscribe, _("Unsubscribe"))'}
    old = beside[part]
    assert "changed unsubscribe link" not in findings(workspace)
    change(workspace, old, f"{old}, {old.replace('unsubscribe', 'unsubscribe | upper', 1)}".replace("}},", "}}"), file)
    assert "stop" in findings(workspace)
    assert "has a changed unsubscribe link, which would open for nobody." in findings(workspace)


def test_a_site_whose_name_ends_like_that_of_a_shortener_is_none(workspace: Path) -> None:
    place = "\n---\n"
    change(
        workspace, place, f"{place}\nSee <https://heart.co/a> and <https://t.co/b>.\n", f"{FOLDER}/neuroplastic-pain.md"
    )
    found = findings(workspace)
    assert "https://t.co/b hides where it leads" in found
    assert "heart.co/a hides" not in found


def test_what_nobody_has_written_yet_is_named_with_its_own_file_and_line(workspace: Path) -> None:
    article = f"{FOLDER}/neuroplastic-pain.md"
    change(workspace, "\n---\n", "\n---\n\nWords.\n\nNow replace\nthis text with words.\n", article)
    change(workspace, "subject: Pain", "subject: TODO Pain")
    text = (workspace / article).read_text("utf-8")
    line = text[: text.index("Now replace")].count("\n") + 1
    campaign = (workspace / FOLDER / "campaign.yaml").read_text("utf-8")
    subject_line = campaign[: campaign.index("subject: TODO")].count("\n") + 1

    found = [one for one in findings(workspace).splitlines() if "is still in" in one]

    assert found == [
        f"stop  {FOLDER}/campaign.yaml:{subject_line} (opening): `TODO` is still in the subject. Write the real words.",
        f"stop  {article}:{line}: `replace this text` is still in the text. Write the real words.",
    ]


@pytest.mark.parametrize(
    ("old", "file"),
    [
        ("Hello, and welcome", "campaign.yaml"),
        ("Safe signals, loud", "campaign.yaml"),
        ("The main idea", "campaign.yaml"),
        ("title: ", "neuroplastic-pain.md"),
    ],
)
def test_what_nobody_has_written_yet_is_found_once_in_every_file(workspace: Path, old: str, file: str) -> None:
    change(workspace, old, f"{old} TODO " if old.endswith(" ") else f"TODO {old}", f"{FOLDER}/{file}")
    (found,) = [one for one in findings(workspace).splitlines() if "is still in" in one]
    assert found.startswith(f"stop  {FOLDER}/{file}:")


def test_a_sign_and_an_address_are_no_html(workspace: Path) -> None:
    change(
        workspace,
        "\n---\n",
        "\n---\n\nFor 3 < 5 and 5 > 3, see <https://example.org/a> and [b](mailto:a@example.org).\n",
        f"{FOLDER}/neuroplastic-pain.md",
    )
    assert "readers would see" not in findings(workspace)


@pytest.mark.parametrize("words", ["ann@example.com", "[ann](mailto:ann@example.com)", "<ann@example.com>."])
def test_an_address_of_somebody_else_is_asked_about_once_for_each_article(workspace: Path, words: str) -> None:
    text = f"\n---\n\nAsk {words} or bob@example.com, or ann@example.com again.\n"
    change(workspace, "\n---\n", text, f"{FOLDER}/neuroplastic-pain.md")
    found = findings(workspace)
    assert found.count("e-mail address") == 1
    where = "neuroplastic-pain.md: every reader would see the e-mail address ann@example.com and 1 more of other people"
    assert f"warn  {FOLDER}/{where}" in found


def test_an_address_of_somebody_else_is_found_in_opening_and_summary(workspace: Path) -> None:
    change(workspace, "Hello, and", "Write to ann@example.com. Hello, and")
    change(workspace, "summary: The main idea", "summary: From bob@example.com. The main idea")
    found = findings(workspace)
    assert "e-mail address ann@example.com." in found
    assert "e-mail address bob@example.com." in found


def test_the_clinics_own_addresses_may_stand_in_a_letter(workspace: Path) -> None:
    sender = read_settings(workspace, {}).sender
    domain = sender.address.partition("@")[2]
    own = f"\n---\n\nWrite to {sender.reply_to}, {sender.address}, desk@{domain} or desk@mail.{domain}.\n"
    change(workspace, "\n---\n", own, f"{FOLDER}/neuroplastic-pain.md")
    assert "e-mail address" not in findings(workspace)
