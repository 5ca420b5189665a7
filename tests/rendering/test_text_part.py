"""The text part reads well: lists, quotes and long names, in lines that a terminal shows whole."""

from __future__ import annotations

from pathlib import Path

from newsletter.rendering.templates import plain
from newsletter.settings import read_settings
from newsletter.wiring import read_named_campaign, render_mailing

MARKDOWN = """\
- one
  - two
- three

> Said first.
>
> Said next.
>
> - a point that is long enough to be broken into a second line of the text part
> - another

1. first
2. second
"""

TEXT = """\
* one
  * two
* three

> Said first.
>
> Said next.
>
> * a point that is long enough to be broken into a second line of the
>   text part
> * another

1. first
2. second"""


def test_lists_stay_together_and_quotes_apart() -> None:
    assert plain(MARKDOWN) == TEXT


def test_a_long_name_and_theme_are_wrapped(workspace: Path) -> None:
    toml = workspace / "newsletter.toml"
    toml.write_text(
        toml.read_text("utf-8").replace('"Willow Lane Clinic"', f'"{"The Clinic of Willow Lane " * 5}"'), "utf-8"
    )
    yaml = workspace / "campaigns" / "2026-11-neuroplastic-pain" / "campaign.yaml"
    yaml.write_text(yaml.read_text("utf-8").replace("theme: Neuro", f"theme: {'A long theme ' * 9}neuro"), "utf-8")
    settings = read_settings(workspace, {})
    campaign = read_named_campaign(settings, "2026-11")
    text = render_mailing(settings, campaign, campaign.mailings[0]).text
    assert [line for line in text.splitlines() if len(line) > 72 and "://" not in line] == []
