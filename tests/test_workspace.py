"""`newsletter init`: a workspace that works at once, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dotenv import dotenv_values

from newsletter.campaigns.catalogue import list_campaigns
from newsletter.errors import Refused
from newsletter.settings import read_settings
from newsletter.subscribers.topics import read_topics
from newsletter.wiring import read_named_campaign
from newsletter.workspace import create_workspace

ROOT = Path(__file__).resolve().parent.parent


def test_the_sample_month_of_a_new_workspace_reads_without_faults(tmp_path: Path) -> None:
    files = create_workspace(tmp_path / "clinic")

    settings = read_settings(tmp_path / "clinic", environ={})
    campaigns = [read_named_campaign(settings, folder.name) for folder in list_campaigns(tmp_path / "clinic")]

    assert [campaign.theme for campaign in campaigns] == ["Neuroplastic pain"]
    assert "chronic-pain" in read_topics(tmp_path / "clinic")
    assert files == sorted(path for path in (tmp_path / "clinic").rglob("*") if path.is_file())
    assert {path.name for path in (tmp_path / "clinic").iterdir()} == {
        ".env", ".gitignore", "campaigns", "newsletter.toml", "subscribers", "templates",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["clinic"]


def test_only_its_owner_may_read_the_keys(tmp_path: Path) -> None:
    create_workspace(tmp_path / "clinic")
    assert stat.S_IMODE((tmp_path / "clinic" / ".env").stat().st_mode) == 0o600
    assert {".env", "var/"} <= set((tmp_path / "clinic" / ".gitignore").read_text().splitlines())


def test_every_workspace_has_keys_of_its_own(tmp_path: Path) -> None:
    keys: list[str] = []
    for name in ("one", "two"):
        create_workspace(tmp_path / name)
        machine = read_settings(tmp_path / name, environ={}).machine
        keys += [machine.secret_key.get_secret_value(), machine.suppression_key.get_secret_value()]
        assert set(dotenv_values(tmp_path / name / ".env")) == {"NEWSLETTER_SECRET_KEY", "NEWSLETTER_SUPPRESSION_KEY"}
    assert len(set(keys)) == 4
    assert min(map(len, keys)) >= 43


def test_an_empty_folder_with_only_a_repository_in_it_is_filled(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    create_workspace(tmp_path)
    assert (tmp_path / ".git").is_dir()
    assert read_settings(tmp_path, environ={}).clinic.name == "Willow Lane Clinic"
    assert not list(tmp_path.glob(".newsletter-init-*"))


@pytest.mark.parametrize("there", ["notes.txt", ".env", ".gitignore", "campaigns/2026-01-sleep/campaign.yaml"])
def test_a_folder_with_work_in_it_is_left_alone(tmp_path: Path, there: str) -> None:
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).write_text("work")
    with pytest.raises(Refused, match=r"is not empty: it has .+; nothing was changed"):
        create_workspace(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [there]


def test_a_workspace_is_never_made_over_another(tmp_path: Path) -> None:
    create_workspace(tmp_path / "clinic")
    before = (tmp_path / "clinic" / ".env").read_bytes()
    with pytest.raises(Refused, match="is a workspace already; nothing was changed"):
        create_workspace(tmp_path / "clinic")
    assert (tmp_path / "clinic" / ".env").read_bytes() == before


def test_a_file_is_not_a_place_for_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "clinic").write_text("")
    with pytest.raises(Refused, match="is a file"):
        create_workspace(tmp_path / "clinic")
    with pytest.raises(Refused, match="cannot be made"):
        create_workspace(tmp_path / "clinic" / "inside")


def test_an_installed_package_brings_its_own_starter(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "newsletter"
    shutil.copytree(ROOT / "newsletter", package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("campaigns", "templates", "subscribers"):
        shutil.copytree(ROOT / folder, package / "starter" / folder)
    shutil.copy(ROOT / "newsletter.toml", package / "starter")
    for path in (package / "starter").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)

    done = _newsletter(tmp_path, "init", "clinic", source=package.parent)

    assert done.stderr == ""
    settings = read_settings(tmp_path / "clinic", environ={})
    assert read_named_campaign(settings, "2026-11").theme == "Neuroplastic pain"
    (tmp_path / "clinic" / "newsletter.toml").write_text("# edited")
    (tmp_path / "clinic" / "campaigns" / "2026-12-sleep").mkdir()
    assert (tmp_path / "clinic" / "newsletter.toml").stat().st_mode & stat.S_IWUSR
    assert (tmp_path / "clinic" / "campaigns").stat().st_mode & stat.S_IWUSR


def test_the_command_says_what_to_type_next(tmp_path: Path) -> None:
    done = _newsletter(tmp_path, "init", "my clinic")
    assert (done.returncode, done.stderr) == (0, "")
    assert "  cd 'my clinic'\n  newsletter check 2026-11-neuroplastic-pain\n" in done.stdout

    again = _newsletter(tmp_path, "init", "my clinic")
    assert again.returncode == 1
    assert "is a workspace already" in again.stderr
    assert "Traceback" not in again.stderr


def test_programs_get_the_files_as_json(tmp_path: Path) -> None:
    done = _newsletter(tmp_path, "init", ".", "--json")
    result = json.loads(done.stdout)
    assert result["workspace"] == str(tmp_path.resolve())
    assert {".env", "newsletter.toml", "campaigns/authors.yaml"} <= set(result["files"])
    assert not result["next"][0].startswith("cd")


def _newsletter(folder: Path, *words: str, source: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "newsletter", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
