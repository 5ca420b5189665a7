"""The texts that readers agree to: `subscribers/consent/0001.en.md`, numbered, one file for each language.

A wording that somebody has agreed to is never changed; the next number takes its place. What was shown is kept with
the consent word for word, so that it holds even when somebody did change the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from newsletter.errors import DefinitionFaults, Fault
from newsletter.staff_files import FileFaults, read_language, read_text
from newsletter.subscribers.model import Wording

FOLDER = "subscribers/consent"
_NAME = re.compile(r"([0-9]{4})\.([A-Za-z0-9-]{2,35})\.md")


def read_wordings(workspace: Path) -> Mapping[str, Wording]:
    """The newest wording of each language, by its code; raises DefinitionFaults for a file that cannot be one."""
    faults: list[Fault] = []
    newest: dict[str, Wording] = {}
    for path in sorted((workspace / FOLDER).glob("*.md")):
        try:
            wording = _read(path)
        except FileFaults as error:
            faults.extend(error.faults)
        else:
            newest[wording.language] = wording
    if faults:
        raise DefinitionFaults(faults)
    return newest


def _read(path: Path) -> Wording:
    name = f"{FOLDER}/{path.name}"
    found = _NAME.fullmatch(path.name)
    try:
        language = read_language(found[2]) if found else ""
    except ValueError:
        language = ""
    if not language:
        raise FileFaults(Fault(name, 0, "", "is not named as a wording.", "Name it such as 0002.en.md."))
    text = read_text(path, name).strip()
    if not text:
        raise FileFaults(Fault(name, 1, "", "is empty.", "Write what readers agree to, or remove the file."))
    return Wording(path.name.removesuffix(".md"), language, text)
