"""Which campaigns there are, and the folder behind a name that a person types."""

from __future__ import annotations

from pathlib import Path

from newsletter.errors import NotFound


def list_campaigns(workspace: Path) -> list[Path]:
    """The folders of all campaigns, in the order of their names, which begin with the month."""
    return sorted(path.parent for path in (workspace / "campaigns").glob("*/campaign.yaml"))


def find_campaign(workspace: Path, name: str) -> Path:
    """The folder meant by a name: the folder's name, its path, or the beginning of it when only one has that.

    Raises NotFound with the names there are.
    """
    folders = list_campaigns(workspace)
    plain = Path(name).name if "/" in name or "\\" in name else name
    meant = [f for f in folders if f.name == plain] or [f for f in folders if plain and f.name.startswith(plain)]
    if len(meant) == 1:
        return meant[0]
    there = ", ".join(f.name for f in meant or folders) or "none yet; `newsletter new` begins one"
    if meant:
        raise NotFound(f"Several campaigns begin with `{name}`. Write more of the name: {there}.")
    raise NotFound(f"There is no campaign `{name}`. Campaigns: {there}.")
