"""Builds the parts from the settings, once, for web, scheduler, commands and tests."""

from __future__ import annotations

from newsletter.campaigns.catalogue import find_campaign
from newsletter.campaigns.model import Campaign, Mailing
from newsletter.campaigns.reader import read_campaign
from newsletter.campaigns.send_times import SendTime, read_send_time
from newsletter.errors import Fault, NotFound, SettingsFaults
from newsletter.preflight.model import Draft, Report
from newsletter.preflight.runner import run_checks
from newsletter.rendering.brand import read_brand
from newsletter.rendering.email import render_email
from newsletter.rendering.model import RenderedEmail
from newsletter.settings import WORKSPACE_FILE, Settings
from newsletter.subscribers.topics import read_topics


def read_named_campaign(settings: Settings, name: str) -> Campaign:
    """The campaign that a person named, read from the workspace; raises NotFound or DefinitionFaults."""
    return read_campaign(
        find_campaign(settings.workspace, name),
        time_zone=settings.clinic.zone,
        sending_rule=_sending_rule(settings),
        topics=read_topics(settings.workspace).keys(),
    )


def choose_mailings(campaign: Campaign, name: str | None) -> tuple[Mailing, ...]:
    """The mailing of a name, or all of them; raises NotFound with the names there are."""
    chosen = tuple(m for m in campaign.mailings if name in (None, m.name))
    if not chosen:
        there = ", ".join(m.name for m in campaign.mailings)
        raise NotFound(f"{campaign.id} has no mailing `{name}`. Its mailings: {there}.")
    return chosen


def render_mailing(
    settings: Settings, campaign: Campaign, mailing: Mailing, *, pictures_at: str | None = None
) -> RenderedEmail:
    """A mailing rendered with the workspace's brand and templates; see `rendering.email.render_email`."""
    return render_email(
        campaign,
        mailing,
        clinic=settings.clinic,
        brand=read_brand(settings.workspace),
        workspace=settings.workspace,
        base_url=settings.machine.base_url,
        pictures_at=pictures_at,
    )


def check_mailing(settings: Settings, campaign: Campaign, mailing: Mailing, mail: RenderedEmail) -> Report:
    """The preflight report of a rendered mailing."""
    return run_checks(Draft(campaign, mailing, mail, read_brand(settings.workspace), settings.clinic))


def _sending_rule(settings: Settings) -> SendTime:
    try:
        return read_send_time(settings.sending.rule)
    except ValueError as error:
        problem, _, remedy = str(error).partition(" | ")
        raise SettingsFaults([Fault(WORKSPACE_FILE, 0, "sending.rule", problem, remedy)]) from None
