"""The command that says who would get a mailing, and who would not and why: audience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import Json, load_settings, people, say, say_json
from newsletter.cli.rows import opened

if TYPE_CHECKING:
    from newsletter.subscribers.audience import Audience


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(audience)


def audience(
    campaign: Annotated[str, typer.Argument(help="The campaign, by its folder: 2026-11-neuroplastic-pain.")],
    json: Json = False,
) -> None:
    """Show how many people would get a campaign now, and for everybody left out the reason."""
    from newsletter.clock import SystemClock
    from newsletter.delivery.queries import mailed_since
    from newsletter.subscribers.audience import count_audience, lately, resolve_audience
    from newsletter.wiring import read_named_campaign

    settings = load_settings()
    read = read_named_campaign(settings, campaign)
    now = SystemClock().now()
    since = lately(read.audience, now)
    everybody = resolve_audience(
        read.audience,
        language=read.language,
        at=now,
        zone=settings.clinic.zone,
        mailed_lately=mailed_since(since) if since else None,
    )
    with opened(settings) as database, database.read() as session:
        found = count_audience(session, everybody)
    if json:
        left_out = {reason.value: count for reason, count in found.left_out.items()}
        say_json({"campaign": read.id, "people": found.people, "text_only": found.text_only, "left_out": left_out})
    else:
        _say(read.id, found)


def _say(campaign: str, found: Audience) -> None:
    from newsletter.subscribers.model import EXPLANATIONS

    beside = f", {found.text_only} of them as text without pictures" if found.text_only else ""
    say(f"{campaign} would go to {people(found.people)} now{beside}.")
    for reason, count in found.left_out.items():
        say(f"  Left out, as {EXPLANATIONS[reason]}: {people(count)}.")
