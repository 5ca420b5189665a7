"""What follows from an event: pure functions of values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from newsletter.delivery.model import DeliveryState
from newsletter.provider_events.model import Reconciliation, SoftBounceRule
from newsletter.providers.contract import DropCause, EventKind, ProviderEvent
from newsletter.subscribers.model import SuppressionReason

SILENCE = timedelta(hours=1)
"""After so long without any event, while some should come, the webhook may be down."""

LATE_BOUNCE = timedelta(days=5)
"""How long after a mail it may still bounce: mail servers give up after 4 to 5 days (RFC 5321, 4.5.4.1)."""

SETTLED_AFTER = timedelta(hours=24)
"""SendGrid repeats an event that it could not post for so long; of what is older, all has come that will."""


@dataclass(frozen=True)
class Consequence:
    """What follows from an event for the delivery, for the address, and for the person.

    `kept` says whether a row of it stays. What only moves a delivery leaves its mark there; a row for each of a million
    deliveries would tell nothing more. `by_address` says whether it counts without the names that went with the mail:
    bounces that come later lack them, and the provider's own lists hold for all mail of its account.
    """

    delivery: DeliveryState | None = None
    suppress: SuppressionReason | None = None
    leaves: bool = False
    kept: bool = True
    by_address: bool = False


_KINDS: Mapping[EventKind, Consequence] = {
    EventKind.PROCESSED: Consequence(kept=False),
    EventKind.DELIVERED: Consequence(DeliveryState.DELIVERED, kept=False),
    EventKind.DEFERRED: Consequence(DeliveryState.DEFERRED, kept=False),
    EventKind.SOFT_BOUNCE: Consequence(DeliveryState.BOUNCED, by_address=True),
    EventKind.HARD_BOUNCE: Consequence(DeliveryState.BOUNCED, SuppressionReason.BOUNCED, by_address=True),
    EventKind.COMPLAINT: Consequence(suppress=SuppressionReason.COMPLAINED, by_address=True),
    EventKind.LEFT: Consequence(leaves=True, by_address=True),
    # Groups belong to other mail of the account; ours has none, so somebody means ours only when it names a mail.
    EventKind.LEFT_GROUP: Consequence(leaves=True),
    # Only the person may come back, by asking and confirming.
    EventKind.JOINED_GROUP: Consequence(),
    EventKind.ACCOUNT: Consequence(by_address=True),
    EventKind.OTHER: Consequence(),
}

_DROPS: Mapping[DropCause, Consequence] = {
    DropCause.BOUNCED: Consequence(DeliveryState.DROPPED, SuppressionReason.BOUNCED, by_address=True),
    DropCause.INVALID: Consequence(DeliveryState.DROPPED, SuppressionReason.BOUNCED, by_address=True),
    DropCause.COMPLAINED: Consequence(DeliveryState.DROPPED, SuppressionReason.COMPLAINED, by_address=True),
    DropCause.LEFT: Consequence(DeliveryState.DROPPED, leaves=True, by_address=True),
    DropCause.OTHER: Consequence(DeliveryState.DROPPED),
}


def consequence_of(event: ProviderEvent) -> Consequence:
    """What follows from an event."""
    if event.kind is EventKind.DROPPED:
        return _DROPS[event.cause or DropCause.OTHER]
    return _KINDS[event.kind]


def bounces_for_good(soft: Sequence[datetime], delivered: Sequence[datetime], rule: SoftBounceRule) -> bool:
    """Whether an address bounced softly so often that it counts as gone; the instants may stand in any order."""
    times = sorted(soft)
    for first, last in zip(times, times[rule.bounces - 1 :], strict=False):
        if last - first <= rule.within and not any(first < time < last for time in delivered):
            return True
    return False


def edition_of_bounce(mailed: Collection[tuple[int, DeliveryState]]) -> int | None:
    """The edition that a bounce without any name is about: the only one that went to the address lately, or None.

    One whose hand-over is uncertain may be the one that bounced, and may have gone to nobody.
    """
    editions = list(mailed)
    if len(editions) != 1 or editions[0][1] is DeliveryState.UNCERTAIN:
        return None
    return editions[0][0]


def gaps_in(found: Reconciliation, *, waits_since: datetime | None, going: bool, now: datetime) -> Reconciliation:
    """A reconciliation with a sentence for each thing that is missing or wrong, and what to do.

    `waits_since` is the oldest hand-over of which nothing was heard; `going` whether the send has not come to its end.
    """
    gaps = []
    heard = found.last_post_at
    unheard = waits_since is not None and now - waits_since > SILENCE and (heard is None or now - heard > SILENCE)
    if unheard and (going or not found.silent_for_a_day):
        gaps.append(
            "For more than an hour the provider has told nothing at all. The webhook may be down: see that SendGrid "
            "posts its events to /webhooks/sendgrid/events and that SENDGRID_WEBHOOK_PUBLIC_KEY is its key."
        )
    if found.silent_for_three:
        gaps.append(
            f"Of {_people(found.silent_for_three)} nothing was heard for more than 72 hours. Nothing will come any "
            "more: ask SendGrid's activity for them."
        )
    elif found.silent_for_a_day:
        gaps.append(
            f"Of {_people(found.silent_for_a_day)} nothing was heard for more than 24 hours. SendGrid repeats an event "
            "for 24 hours; look whether the webhook was down."
        )
    for batch, people in found.accepted_twice.items():
        gaps.append(f"Batch {batch} was accepted twice: {_people(people)} may have the mail two times.")
    return replace(found, gaps=tuple(gaps))


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"
