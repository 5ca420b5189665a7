"""The mails that are compared: every mailing of the sample month, and campaigns made to be difficult."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from newsletter.rendering.model import RenderedEmail
from newsletter.settings import read_settings
from newsletter.wiring import read_named_campaign, render_mailing
from newsletter.workspace import create_workspace
from tests.node import NODE, ROOT, install

HERE = Path(__file__).parent
DIFFICULT = HERE / "campaigns"


@dataclass(frozen=True)
class Compared:
    """One mail as our engine drew it, and as npm's did from the same MJML."""

    email: RenderedEmail
    by_npm: str


def _names() -> list[str]:
    files = [*(ROOT / "campaigns").glob("*/campaign.yaml"), *DIFFICULT.glob("*/campaign.yaml")]
    return sorted(
        f"{file.parent.name}/{mailing['name']}"
        for file in files
        for mailing in yaml.safe_load(file.read_text("utf-8"))["mailings"]
    )


@pytest.fixture(scope="session")
def all_compared(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Compared]:
    """Every mail by its name, such as `2026-11-neuroplastic-pain/opening`."""
    workspace = tmp_path_factory.mktemp("oracle") / "workspace"
    create_workspace(workspace)
    shutil.copytree(DIFFICULT, workspace / "campaigns", dirs_exist_ok=True)
    sample = next((ROOT / "campaigns").glob("*/pictures"))
    for difficult in DIFFICULT.iterdir():
        shutil.copytree(sample, workspace / "campaigns" / difficult.name / "pictures")

    settings = read_settings(workspace, {})
    emails = {}
    for name in _names():
        folder, _, mailing_name = name.partition("/")
        campaign = read_named_campaign(settings, folder)
        mailing = next(mailing for mailing in campaign.mailings if mailing.name == mailing_name)
        emails[name] = render_mailing(settings, campaign, mailing)
    pages = render_by_npm([email.mjml for email in emails.values()])
    return {name: Compared(email, page) for (name, email), page in zip(emails.items(), pages, strict=True)}


@pytest.fixture(params=_names())
def mail_name(request: pytest.FixtureRequest) -> str:
    """Each mail in turn, by its name."""
    return str(request.param)


@pytest.fixture
def compared(mail_name: str, all_compared: Mapping[str, Compared]) -> Compared:
    """Each mail in turn."""
    return all_compared[mail_name]


def render_by_npm(documents: list[str]) -> list[str]:
    """The HTML that npm's mjml makes of MJML documents; a document that it finds a fault in fails the test."""
    done = subprocess.run(
        [NODE, HERE / "render.mjs"],
        check=False,
        cwd=install(HERE),
        input=json.dumps(documents),
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    pages: list[str] = json.loads(done.stdout)
    return pages
