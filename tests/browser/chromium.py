"""Finds a Chromium, or fetches one that runs on a bare machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.node import NODE, install, once

_NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")

_UNPACK = "import chromium from '@sparticuz/chromium'; await chromium.executablePath()"

# The package's own fonts.conf names folders of the machine it was made for; with no font at all Chromium dies.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{folder}/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <dir>/usr/local/share/fonts</dir>
  <cachedir>{folder}/cache</cachedir>
</fontconfig>
"""

ARGUMENTS = (
    "--no-sandbox",  # as root Chromium starts in no other way
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
)


@dataclass(frozen=True)
class Chromium:
    """A browser to start, and what its environment needs beyond the usual."""

    executable: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_chromium() -> Chromium:
    """The Chromium that $CHROMIUM names, else one on the PATH, else the one from npm, fetched on first use."""
    if named := os.environ.get("CHROMIUM"):
        return Chromium(Path(named))
    for name in _NAMES:
        if found := shutil.which(name):
            return Chromium(Path(found))
    return _from_npm()


def _from_npm() -> Chromium:
    package = install(Path(__file__).parent)
    unpacked = package.with_name(package.name + "-unpacked")
    with once(unpacked) as half_made:
        if half_made:
            # The package unpacks into the folder for temporary files, and its own libnss3 only where it believes
            # itself to be in the place that it was made for.
            environment = {**os.environ, "TMPDIR": str(half_made), "AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
            subprocess.run([NODE, "--input-type=module", "--eval", _UNPACK], cwd=package, env=environment, check=True)
            (half_made / "fonts" / "fonts.conf").write_text(_FONTS.format(folder=unpacked / "fonts"))
    return Chromium(
        unpacked / "chromium",
        {
            "LD_LIBRARY_PATH": str(unpacked / "al2023" / "lib"),
            "FONTCONFIG_FILE": str(unpacked / "fonts" / "fonts.conf"),
        },
    )
