"""The commands that look at a month leave nothing half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def newsletter(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NEWSLETTER_")}
    return subprocess.run(
        [sys.executable, "-m", "newsletter", *arguments],
        cwd=folder,
        env={**plain, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_written_when_one_of_the_mailings_cannot_be_rendered(workspace: Path) -> None:
    cover = workspace / "campaigns" / "2026-11-neuroplastic-pain" / "pictures" / "night.png"
    assert cover.name in (cover.parent.parent / "campaign.yaml").read_text("utf-8").partition("watch-and-listen")[2]
    cover.write_bytes(cover.read_bytes()[:2000])
    refused = newsletter(workspace, "render", "2026-11", "--output", "preview")
    assert refused.returncode == 1
    assert "is damaged" in refused.stderr
    assert not (workspace / "preview").exists()


def test_a_program_gets_one_document_of_a_month_that_cannot_go_out(workspace: Path) -> None:
    yaml = workspace / "campaigns" / "2026-11-neuroplastic-pain" / "campaign.yaml"
    yaml.write_text(yaml.read_text("utf-8").replace("subject: Pain", "subject: TBC Pain"), "utf-8")
    checked = newsletter(workspace, "check", "2026-11", "--json")
    assert checked.returncode == 1
    assert [finding["level"] for finding in json.loads(checked.stdout)["opening"]] == ["stop"]


def test_a_file_is_no_folder_to_write_to(workspace: Path) -> None:
    for output in ("newsletter.toml", "newsletter.toml/inside"):
        refused = newsletter(workspace, "render", "2026-11", "--output", output)
        assert refused.returncode == 1
        assert "is not a folder. Choose another one." in refused.stderr


def test_a_workspace_that_the_environment_names_wrongly_is_told(tmp_path: Path) -> None:
    refused = newsletter(tmp_path, "check", "2026-11", NEWSLETTER_WORKSPACE=str(tmp_path / "gone"))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"NEWSLETTER_WORKSPACE is {tmp_path / 'gone'}, where there is no newsletter.toml.")
