"""The rules that the scheduler keeps, made once from the settings of the clinic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from newsletter.delivery import plan
from newsletter.provider_events.model import SoftBounceRule
from newsletter.schedule.due import WORKER_DEAD_AFTER
from newsletter.settings import Settings


@dataclass(frozen=True)
class EventRules:
    """What applying events needs: the key that hashes addresses, and the clinic's rules about bounces and keeping."""

    suppression_key: str
    soft_bounces: SoftBounceRule
    keep_days: int


@dataclass(frozen=True)
class Rules:
    """The clinic's zone, how late a send may start by itself, and when what is under way counts as given up."""

    zone: ZoneInfo
    late_after: timedelta
    base_url: str = ""
    """Where links begin now; an edition with others is held. Empty: whatever it has is right."""
    stale_after: timedelta = plan.STALE_AFTER
    dead_after: timedelta = WORKER_DEAD_AFTER
    events: EventRules | None = None
    """How provider events are applied; without, they wait."""
    pending_days: int = 30
    """Days after which a sign-up that nobody confirmed is deleted."""


def make_rules(settings: Settings) -> Rules:
    """The rules of a workspace that the scheduler keeps."""
    real = settings.machine.transport != "mailbox"
    return Rules(
        settings.clinic.zone,
        timedelta(hours=settings.sending.late_after),
        base_url=settings.machine.base_url if real else "",
        events=make_event_rules(settings),
        pending_days=settings.sending.pending_days,
    )


def make_event_rules(settings: Settings) -> EventRules | None:
    """How the events of the provider are applied; None without a key for the addresses that they name."""
    key = settings.machine.suppression_key.get_secret_value()
    if not key:
        return None
    rules = settings.sending
    return EventRules(
        key,
        SoftBounceRule(rules.soft_bounces, timedelta(days=rules.soft_bounce_days)),
        keep_days=rules.event_days,
    )
