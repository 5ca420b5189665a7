"""How a send is cut and paced, and what an answer means for it: pure functions of values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from newsletter.backoff import exponential_backoff
from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, GoingSend
from newsletter.providers.contract import Outcome, Receipt

CHUNK = 50_000
"""People planned in one transaction: a million at once would keep every other writer waiting for a second."""

LEASE = timedelta(seconds=60)
"""How long a worker may take to build a batch before another one may take it."""

STALE_AFTER = timedelta(minutes=2)
"""How long an attempt may be in flight: a transport answers within 30 seconds, the rest is margin."""

PATIENCE = timedelta(seconds=2)
"""How long after its commit an attempt may still begin: a worker that was frozen longer gives it up."""

MOST_DEFERRALS = 12
"""How often one person is tried again for a reason of their own, over about five hours, before it is for good."""

_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=2), timedelta(minutes=5)
_FIRST_DEFERRAL, _LONGEST_DEFERRAL = timedelta(minutes=5), timedelta(minutes=30)


@dataclass(frozen=True)
class Consequence:
    """What an answer means: the states that attempt, batch and its people move to (None: they stay planned).

    `again_at` is when a batch that is planned again may go; `pause` says why the send must stop for a person;
    `failed` counts towards the brake; `split` cuts the batch in two; `holds_send` lets every batch wait until
    `again_at`, since the provider asked to slow down.
    """

    attempt: AttemptState
    batch: BatchState
    people: DeliveryState | None
    again_at: datetime | None = None
    pause: str = ""
    failed: bool = True
    split: bool = False
    holds_send: bool = False


def consequence_of(
    receipt: Receipt, *, people: int, failures: int, now: datetime, went_before: bool = True
) -> Consequence:
    """What the answer to a batch of so many people means, after so many failing attempts in a row.

    `went_before` says that something of this send was accepted, so that its content is not what is wrong. People with
    an answer of their own are set aside before; this is about the rest.
    """
    apart = {answer.outcome for answer in receipt.people.values()}
    named = Outcome.REJECTED in apart
    match receipt.outcome:
        case Outcome.ACCEPTED:
            return Consequence(AttemptState.ACCEPTED, BatchState.ACCEPTED, DeliveryState.HANDED_OVER, failed=False)
        case Outcome.TRY_AGAIN if len(receipt.people) >= people:
            # Each has an answer of their own: it is not the provider that fails.
            return Consequence(AttemptState.NOT_SENT, BatchState.PLANNED, None, again_at=now, failed=False)
        case Outcome.TRY_AGAIN if receipt.not_before and not named:
            again = max(receipt.not_before, now)
            return Consequence(
                AttemptState.NOT_SENT, BatchState.PLANNED, None, again_at=again, failed=False, holds_send=True
            )
        case Outcome.TRY_AGAIN:
            # What keeps one batch from getting through keeps the others too.
            again = now if named else now + wait_after(failures)
            stuck = Outcome.ACCEPTED not in apart
            holds = stuck and not named
            return Consequence(
                AttemptState.NOT_SENT, BatchState.PLANNED, None, again_at=again, failed=stuck, holds_send=holds
            )
        case Outcome.REJECTED if named:
            # Those who caused it are set aside; the rest goes without them at once. It counts towards the brake: when
            # the fault is not theirs, it names one after the other.
            return Consequence(AttemptState.NOT_SENT, BatchState.PLANNED, None, again_at=now)
        case Outcome.REJECTED if people > 1:
            # Nobody is named: it is halved until the one who caused it is alone. One half goes at once, the other
            # lets it go first, so that it is soon known whether anything of this send is taken at all.
            again = now + wait_after(0)
            return Consequence(
                AttemptState.NOT_SENT, BatchState.PLANNED, None, again_at=again, failed=not went_before, split=True
            )
        case Outcome.REJECTED if went_before:
            return Consequence(AttemptState.REJECTED, BatchState.EMPTY, DeliveryState.REFUSED)
        case Outcome.TOO_LARGE if people > 1:
            return Consequence(AttemptState.NOT_SENT, BatchState.PLANNED, None, again_at=now, failed=False, split=True)
        case Outcome.REJECTED | Outcome.TOO_LARGE:
            reason = receipt.reason or receipt.outcome.value
            return Consequence(
                AttemptState.REJECTED, BatchState.REJECTED, None, pause=f"a batch was rejected: {reason}"
            )
        case Outcome.ACCOUNT_TROUBLE:
            reason = receipt.reason or "no reason given"
            return Consequence(
                AttemptState.NOT_SENT,
                BatchState.PLANNED,
                None,
                again_at=now,
                pause=f"the provider refuses us: {reason}",
            )
        case Outcome.UNCERTAIN:
            return Consequence(AttemptState.UNCERTAIN, BatchState.UNCERTAIN, DeliveryState.UNCERTAIN)


def wait_after(failures: int) -> timedelta:
    """How long to wait after so many failing attempts in a row: 2 s, doubled each time, at most 5 minutes."""
    return exponential_backoff(failures, first=_FIRST_WAIT, longest=_LONGEST_WAIT)


def wait_after_deferral(deferrals: int) -> timedelta:
    """How long one person waits who was to be tried again so often before: 5 minutes, doubled, at most 30.

    Mailboxes that put off who they do not know want some minutes (RFC 6647, 2.1).
    """
    return exponential_backoff(deferrals, first=_FIRST_DEFERRAL, longest=_LONGEST_DEFERRAL)


def state_of_person(outcome: Outcome, deferrals: int) -> DeliveryState | None:
    """What one person's own answer means for their delivery; None: it stays planned, and goes later by itself."""
    if outcome is Outcome.TRY_AGAIN and deferrals >= MOST_DEFERRALS:
        return DeliveryState.REFUSED
    answers: Mapping[Outcome, DeliveryState] = {
        Outcome.ACCEPTED: DeliveryState.HANDED_OVER,
        Outcome.REJECTED: DeliveryState.REFUSED,
        Outcome.UNCERTAIN: DeliveryState.UNCERTAIN,
    }
    return answers.get(outcome)


def reason_to_ask(
    send: GoingSend, *, transport: str, base_url: str, late_after: timedelta, now: datetime
) -> str | None:
    """Why a running send may not go on without a person; None when it may. An empty `base_url` fits every send."""
    if send.transport != transport:
        return f"it began with TRANSPORT={send.transport}, and TRANSPORT is {transport} now"
    if base_url and send.base_url != base_url:
        return f"its links begin with {send.base_url}, and BASE_URL is {base_url} now"
    if now - send.last_moved > late_after:
        since = send.last_moved.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return f"it stood still since {since}; resume it if it shall go on"
    return None


def may_resume(paused_at: datetime, now: datetime, late_after: timedelta) -> bool:
    """Whether a paused send may go on without asking: it has not waited longer than an edition may start late."""
    return now - paused_at <= late_after
