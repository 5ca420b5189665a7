"""The files that git tracks, as they stand in the working tree."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.node import ROOT


def tracked_files(*patterns: str) -> list[Path]:
    """The tracked files that match git's patterns, all of them when none is given."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def tracked_texts(*patterns: str) -> dict[str, str]:
    """The text of each tracked file that is text, by its path in the repository."""
    texts = {}
    for path in tracked_files(*patterns):
        content = path.read_bytes()
        if b"\0" not in content:
            # Some exports of other services are in another encoding, on purpose.
            texts[path.relative_to(ROOT).as_posix()] = content.decode("utf-8", errors="replace")
    return texts
