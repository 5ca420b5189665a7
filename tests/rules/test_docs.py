"""The documentation says what the program does, and its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.write_docs import pages
from tests.node import ROOT
from tests.rules.tracked import tracked_files, tracked_texts


@pytest.mark.parametrize("page", sorted(pages()))
def test_reference_pages_are_what_the_program_says(page: str) -> None:
    assert (ROOT / "docs" / page).read_text("utf-8") == pages()[page], "run scripts/write-docs"


def test_every_command_that_help_names_is_documented() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "newsletter", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    named = re.findall(r"^  ([a-z][a-z-]+)", shown.partition("Commands:")[2], re.MULTILINE)
    assert "init" in named
    documented = re.findall(r"^## ([a-z-]+)", (ROOT / "docs" / "commands.md").read_text("utf-8"), re.MULTILINE)
    assert set(named) == set(documented)


def test_links_in_the_documentation_lead_somewhere() -> None:
    texts = tracked_texts("*.md", ":!campaigns", ":!tests", ":!subscribers")
    broken = []
    for name, text in texts.items():
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", prose):
            path, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            target = (ROOT / name).parent / path if path else ROOT / name
            if not target.exists() or (anchor and anchor not in _anchors(target)):
                broken.append(f"{name}: {link}")
    assert broken == []


def test_the_architecture_shows_the_tree_as_it_is() -> None:
    tree = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("```\n")[2].partition("```")[0]
    names = re.findall(r"^( *)([\w.]+)/?(?= |$)", tree, re.MULTILINE)
    shown = {name for indent, name in names if indent == ""}, {name for indent, name in names if indent == "  "}
    files = [file.relative_to(ROOT).parts for file in tracked_files()]
    folders = {parts[0] for parts in files if len(parts) > 1 and not parts[0].startswith(".")}
    rooms = {parts[1] for parts in files if parts[0] == "newsletter" and not parts[1].startswith("__")}
    assert shown == (folders | {"newsletter.toml"}, rooms)


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
