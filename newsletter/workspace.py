"""Makes a new workspace from the starter: the sample month, the templates, topics and consent, and keys of its own."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp

from newsletter.errors import Refused

STARTER = ("campaigns", "templates", "subscribers", "newsletter.toml")
"""What a workspace begins with; newsletter.toml comes last, because a folder that has it is a workspace."""

GITIGNORE = """\
# Keys, what the newsletter remembers, and lists of readers. None of it belongs into version control.
.env
var/
/*.csv
/*.xlsx
/*.zip
"""

ENV = """\
# The keys of this workspace. Keep this file secret, and keep a copy of it with your backups.

# Signs the links in mails. Without it, links in mails already sent stop working.
NEWSLETTER_SECRET_KEY={secret_key}

# Recognises addresses of people who asked to be erased. Never change it.
NEWSLETTER_SUPPRESSION_KEY={suppression_key}
"""


def create_workspace(target: Path) -> list[Path]:
    """Make a workspace at `target`, whole or not at all; gives its files.

    `target` may be new, or a folder with nothing in it but hidden things of other programs, such as `.git`.
    Raises Refused otherwise, and when it cannot be written.
    """
    target = target.absolute()
    try:
        _refuse_what_is_in_use(target)
        before = target if target.exists() else target.parent
        before.mkdir(parents=True, exist_ok=True)
        # Beside its place and on the same disk, so that the last step is a renaming, which does not stop half-way.
        stage = Path(mkdtemp(prefix=".newsletter-init-", dir=before))
        try:
            _build(stage / "workspace")
            _move(stage / "workspace", target)
        finally:
            shutil.rmtree(stage)
    except OSError as error:
        raise Refused(
            f"{target} cannot be made ({error.strerror}). Nothing was left there; choose another place."
        ) from None
    return sorted(path for name in (*STARTER, ".env", ".gitignore") for path in _files_in(target / name))


def _refuse_what_is_in_use(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise Refused(f"{target} is a file. Name a new folder instead.")
    there = {path.name for path in target.iterdir()}
    if "newsletter.toml" in there:
        raise Refused(f"{target} is a workspace already; nothing was changed.")
    in_the_way = sorted(name for name in there if not name.startswith(".") or name in (".env", ".gitignore"))
    if in_the_way:
        listed = ", ".join(in_the_way[:5]) + (" …" if len(in_the_way) > 5 else "")
        raise Refused(
            f"{target} is not empty: it has {listed}. Name a new folder, or empty this one; nothing was changed."
        )


def _build(workspace: Path) -> None:
    starter = starter_folder()
    workspace.mkdir()
    for name in STARTER:
        for path in _files_in(starter / name):
            copy = workspace / path.relative_to(starter)
            copy.parent.mkdir(parents=True, exist_ok=True)
            # Only the content: an installed package is often read-only, and a workspace is there to be edited.
            shutil.copyfile(path, copy)
    (workspace / ".gitignore").write_text(GITIGNORE, encoding="utf-8")
    keys = {"secret_key": secrets.token_urlsafe(32), "suppression_key": secrets.token_urlsafe(32)}
    readable_by_its_owner_only = os.open(workspace / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(readable_by_its_owner_only, "w", encoding="utf-8") as env:
        env.write(ENV.format(**keys))


def _move(workspace: Path, target: Path) -> None:
    if not target.exists():
        workspace.rename(target)
        return
    # Somebody may stand in the folder, or it may be a mounted disk: it is filled, not replaced.
    moved: list[Path] = []
    try:
        for name in (".gitignore", ".env", *STARTER):
            moved.append((workspace / name).rename(target / name))
    except OSError:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise


def starter_folder() -> Path:
    """The starter's folder: within the installed package, or the root of the source tree."""
    package = Path(str(files("newsletter")))
    packaged = package / "starter"
    return packaged if packaged.is_dir() else package.parent


def _files_in(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for inner in sorted(path.rglob("*")):
        if inner.is_file() and not any(part.startswith((".", "__")) for part in inner.relative_to(path).parts):
            yield inner
