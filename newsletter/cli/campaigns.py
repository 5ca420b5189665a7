"""Commands for looking at a month: check, render."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from newsletter.cli.console import Json, load_settings, say, say_json

CampaignName = Annotated[str, typer.Argument(help="The campaign's folder, or the beginning of its name: 2026-11.")]
MailingName = Annotated[str | None, typer.Option("--mailing", "-m", help="Only this mailing of the campaign.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(check)
    app.command()(render)


def check(campaign: CampaignName, mailing: MailingName = None, json: Json = False) -> None:
    """Read, render and check a campaign, and say everything that should be mended."""
    from newsletter.errors import Refused
    from newsletter.wiring import check_mailing, choose_mailings, read_named_campaign, render_mailing

    settings = load_settings()
    month = read_named_campaign(settings, campaign)
    reports = {
        m.name: check_mailing(settings, month, m, render_mailing(settings, month, m))
        for m in choose_mailings(month, mailing)
    }
    if json:
        say_json(
            {name: [{**vars(f), "level": f.level.value} for f in report.findings] for name, report in reports.items()}
        )
    else:
        for name, report in reports.items():
            say(f"{month.id} · {name}")
            for finding in report.findings:
                say(f"  {finding}")
            if not report.findings:
                say("  nothing to mend")
    stopped = [name for name, report in reports.items() if not report.may_pass]
    if stopped and json:
        raise typer.Exit(1)  # a second document beside the findings would spoil the first
    if stopped:
        raise Refused(f"{' and '.join(stopped)} cannot go out yet: mend what is marked `stop` above, then check again.")


def render(
    campaign: CampaignName,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write to; made when it is not there.")],
    mailing: MailingName = None,
    json: Json = False,
) -> None:
    """Write each mailing as html, txt, mjml and eml, with its pictures, to look at."""
    from newsletter.outputs import write_mailings
    from newsletter.wiring import choose_mailings, read_named_campaign

    settings = load_settings()
    month = read_named_campaign(settings, campaign)
    written = write_mailings(settings, month, choose_mailings(month, mailing), output)
    if json:
        say_json([str(path) for path in written])
    else:
        for path in written:
            say(str(path))
