"""Builds the parts from the settings, once, for web, scheduler, commands and tests."""

from __future__ import annotations

from newsletter.campaigns.catalogue import find_campaign
from newsletter.campaigns.model import Campaign
from newsletter.campaigns.reader import read_campaign
from newsletter.campaigns.send_times import SendTime, read_send_time
from newsletter.errors import Fault, SettingsFaults
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


def _sending_rule(settings: Settings) -> SendTime:
    try:
        return read_send_time(settings.sending.rule)
    except ValueError as error:
        problem, _, remedy = str(error).partition(" | ")
        raise SettingsFaults([Fault(WORKSPACE_FILE, 0, "sending.rule", problem, remedy)]) from None
