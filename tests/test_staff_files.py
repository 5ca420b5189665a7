"""What staff mistype is told in their words, with the line, and never in those of a parser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from newsletter.staff_files import FileFaults, read_text, read_toml, read_yaml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theme: Pain: the story", "a colon too many"),
        ('theme: "Pain', "a quotation mark that is never closed"),
        ('theme: "Pain\n', "a quotation mark that is never closed"),
        ("theme: *bold* words", "begins with * or &"),
        ("theme: & words", "begins with * or &"),
        ("theme: !important", "begins with !"),
        ("theme: @clinic", "begins with a sign such as @"),
        ("theme: %5", "begins with a sign such as @"),
        ("theme: `code`", "begins with a sign such as @"),
        ("month: x\n\ttheme: y", "has a tab"),
        ("theme:\n\t- y", "has a tab"),
        ("theme: [a", "cannot be read here"),
    ],
)
def test_a_slip_in_yaml_is_named_as_what_somebody_typed(text: str, words: str) -> None:
    with pytest.raises(FileFaults) as refused:
        read_yaml(text, "campaign.yaml")
    (fault,) = refused.value.faults
    assert words in fault.problem
    assert fault.line in (1, 2)
    assert "YAML" not in str(fault)


@pytest.mark.parametrize("text", ["[clinic]\nname = Willow", "[clinic]\nname = “Willow”", '[clinic]\nname = "Willow\n'])
def test_a_slip_in_toml_is_told_with_its_line(text: str) -> None:
    with pytest.raises(FileFaults, match=r"newsletter\.toml:2: cannot be read here\. Each line is"):
        read_toml(text, "newsletter.toml")


def test_brackets_without_end_are_refused() -> None:
    with pytest.raises(FileFaults, match="cannot be read here"):
        read_toml("a = " + "[" * 10_000, "newsletter.toml")


def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(FileFaults, match="not a file"):
            read_text(tmp_path / name, "brand.yaml")
