"""The command submit: a month's mailings become editions that wait for a second person's approval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from newsletter.cli.campaigns import CampaignName, MailingName
from newsletter.cli.console import Json, load_settings, say, say_json, warn
from newsletter.cli.rows import As, acting
from newsletter.cli.shown import edition_as_json
from newsletter.staff.roles import Act

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from newsletter.campaigns.model import Campaign, Mailing
    from newsletter.editions.model import Snapshot
    from newsletter.editions.tables import Edition
    from newsletter.settings import Settings
    from newsletter.staff.model import StaffActor


@dataclass(frozen=True)
class _NotSubmitted:
    """A mailing that was left as it is, why, and whether staff must mend something before it can be submitted."""

    mailing: str
    reason: str
    to_mend: bool


def register(parent: typer.Typer) -> None:
    """Add this command to the command line."""
    parent.command()(submit)


def submit(campaign: CampaignName, by: As = "", mailing: MailingName = None, json: Json = False) -> None:
    """Freeze mailings as editions that wait for a second person's approval.

    Without --mailing: every mailing of the month that is ready and new; of each other one it is said why not.
    """
    from newsletter.staff.model import require
    from newsletter.staff.queries import list_who_may
    from newsletter.wiring import choose_mailings, read_named_campaign

    settings = load_settings()
    month = read_named_campaign(settings, campaign)
    chosen = choose_mailings(month, mailing)
    frozen = [_freeze(settings, month, one) for one in chosen]
    alone = len(chosen) == 1
    with acting(settings, by, Act.SUBMIT) as (session, actor, now):
        require(actor.person, Act.SUBMIT)
        results = [_submit_one(session, one, actor, now, alone=alone) for one in frozen]
        reviewers = {person.number for person in list_who_may(session, Act.REVIEW)}
    submitted = [one for one in results if not isinstance(one, _NotSubmitted)]
    others = [one for one in results if isinstance(one, _NotSubmitted)]
    if json:
        say_json([*map(edition_as_json, submitted), *(_as_json(month, one) for one in others)])
    else:
        _say(submitted, others)
    if submitted and not reviewers - {actor.person.number}:
        warn(
            "Nobody else is a reviewer, and who submits an edition may not approve it. Give another person the role: "
            "newsletter staff add EMAIL --role reviewer --as ADMINISTRATOR"
        )
    _end(campaign, submitted, others, json)


def _freeze(settings: Settings, month: Campaign, mailing: Mailing) -> Snapshot | _NotSubmitted:
    from newsletter.editions.freeze import freeze_edition
    from newsletter.preflight.model import Level
    from newsletter.wiring import check_mailing, render_mailing

    mail = render_mailing(settings, month, mailing)
    report = check_mailing(settings, month, mailing, mail)
    if report.may_pass:
        return freeze_edition(mail, month, mailing, settings)
    stops = [f"  {finding}" for finding in report.findings if finding.level is Level.STOP]
    return _NotSubmitted(mailing.name, "\n".join(["It cannot be submitted yet:", *stops]), to_mend=True)


def _submit_one(
    session: Session, frozen: Snapshot | _NotSubmitted, actor: StaffActor, now: datetime, *, alone: bool
) -> Edition | _NotSubmitted:
    """One mailing submitted, or left as it is and the reason; `alone`, a refusal is the answer of the command."""
    from newsletter.editions import actions
    from newsletter.errors import Refused

    if isinstance(frozen, _NotSubmitted):
        if alone:
            raise Refused(f"{frozen.mailing} was not submitted. {frozen.reason}")
        return frozen
    if alone:
        return actions.submit(session, snapshot=frozen, actor=actor, now=now)
    try:
        # What a refused mailing has begun to change is taken back, and the others stay submitted.
        with session.begin_nested():
            return actions.submit(session, snapshot=frozen, actor=actor, now=now)
    except Refused as refusal:
        to_mend = not isinstance(refusal, actions.NothingToSubmit)
        return _NotSubmitted(frozen.mailing, str(refusal), to_mend)


def _as_json(month: Campaign, left: _NotSubmitted) -> dict[str, Any]:
    return {"campaign": month.id, "mailing": left.mailing, "refused": left.reason, "to_mend": left.to_mend}


def _say(submitted: list[Edition], others: list[_NotSubmitted]) -> None:
    for row in submitted:
        say(f"{row.id} waits for approval.")
        say(f"  Another person reads it, and then: newsletter approve {row.id} --as EMAIL")
    for left in others:
        say(f"{left.mailing} was not submitted. {left.reason}")


def _end(campaign: str, submitted: list[Edition], others: list[_NotSubmitted], json: bool) -> None:
    """Exit with 1 when staff must mend a mailing, or when none was new."""
    from newsletter.errors import Refused

    to_mend = [left.mailing for left in others if left.to_mend]
    if submitted and not to_mend:
        return
    if json:
        raise typer.Exit(1)  # a second document beside the result would spoil it
    if to_mend:
        how = f"newsletter submit {campaign} --mailing {to_mend[0]} --as EMAIL"
        raise Refused(f"{' and '.join(to_mend)} must be mended first. To submit one mailing then: {how}")
    raise Refused(
        f"Nothing was submitted, for nothing is new. See what is: newsletter status, newsletter check {campaign}"
    )
