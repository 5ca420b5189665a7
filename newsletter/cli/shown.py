"""How editions, sends and consent are shown: as lines for people, and as JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from newsletter.cli.console import people, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from newsletter.delivery.model import Progress, SendState
    from newsletter.delivery.tables import Attempt
    from newsletter.editions.tables import Edition
    from newsletter.provider_events.model import Reconciliation
    from newsletter.staff.tables import Notice
    from newsletter.subscribers.tables import Consent


def standing(row: Edition, send: SendState | None) -> str:
    """Where an edition stands for people: its state, and once its send has ended, how that ended."""
    from newsletter.delivery.model import SendState
    from newsletter.editions.model import EditionState

    ends = {SendState.FINISHED: "sent", SendState.STOPPED: "stopped"}
    if row.state is not EditionState.SENDING or send not in ends:
        return row.state.value
    return ends[send]


def edition_line(row: Edition, zone: ZoneInfo, send: SendState | None) -> str:
    """An edition on one line: where it stands, when it goes out, and why it waits."""
    from newsletter.clock import in_clinic_time

    when = f", {in_clinic_time(row.send_at, zone)}" if row.send_at else ""
    note = f" ({row.note})" if row.note else ""
    return f"{row.id}  {standing(row, send)}{when}{note}"


def edition_as_json(row: Edition) -> dict[str, Any]:
    """An edition for a program."""
    return {
        "id": row.id,
        "campaign": row.campaign,
        "mailing": row.mailing,
        "state": row.state.value,
        "note": row.note,
        "subject": row.subject,
        "content_hash": row.content_hash,
        "send_at": row.send_at.isoformat() if row.send_at else None,
        "approved_until": row.approved_until.isoformat() if row.approved_until else None,
        "in_archive": row.in_archive,
    }


def say_progress(progress: Progress, zone: ZoneInfo) -> None:
    """How far a send is, and what to do while it is paused or can be undone."""
    from newsletter.clock import in_clinic_time
    from newsletter.subscribers.model import EXPLANATIONS

    note = f": {progress.note}" if progress.note else ""
    say(f"  Send {progress.state.value}{note}")
    if progress.state.value == "paused":
        say(f"  When nothing stands in its way: newsletter resume {progress.edition} --as EMAIL")
    if progress.wait_until:
        since, until = in_clinic_time(progress.opened_at, zone), in_clinic_time(progress.wait_until, zone)
        say(f"  Sent by hand at {since}; nobody has it before {until}.")
        say(f"  Undo it until then: newsletter cancel {progress.edition} --as EMAIL")
    say(f"  Handed over to {people(progress.handed_over)}, {progress.planned} to go.")
    if progress.refused:
        say(f"  Refused by the provider: {people(progress.refused)}.")
    if progress.uncertain:
        say(f"  Uncertain: {people(progress.uncertain)}. Nobody knows whether they have it; nothing is repeated.")
    for reason, count in progress.left_out.items():
        say(f"  Left out, as {EXPLANATIONS[reason]}: {people(count)}.")


def progress_as_json(progress: Progress | None) -> dict[str, Any] | None:
    """How far a send is, for a program."""
    if progress is None:
        return None
    return {
        "state": progress.state.value,
        "note": progress.note,
        "planned": progress.planned,
        "handed_over": progress.handed_over,
        "refused": progress.refused,
        "uncertain": progress.uncertain,
        "left_out": {reason.value: count for reason, count in progress.left_out.items()},
        "batches": {state.value: count for state, count in progress.batches.items()},
        "opened_at": progress.opened_at.isoformat(),
        "wait_until": progress.wait_until.isoformat() if progress.wait_until else None,
        "finished_at": progress.finished_at.isoformat() if progress.finished_at else None,
    }


def say_trouble(attempt: Attempt, zone: ZoneInfo) -> None:
    """What a provider said last to a send that does not go on."""
    from newsletter.clock import in_clinic_time

    assert attempt.answered_at is not None
    say(f"  Last answer, {in_clinic_time(attempt.answered_at, zone)}: {attempt.answer}")


def say_uncertain(edition: str, attempts: Sequence[tuple[Attempt, int]], zone: ZoneInfo) -> None:
    """The attempts without a clear answer, with their people, and how to settle them."""
    from newsletter.clock import in_clinic_time

    for attempt, count in attempts:
        say(f"    {attempt.id}: {people(count)}, tried {in_clinic_time(attempt.started_at, zone)}. {attempt.answer}")
    if attempts:
        say("    Ask the provider for that name, and then:")
        say(f"    newsletter settle {edition} NAME sent|not-sent|send-again --as EMAIL")
    if len(attempts) > 1:
        everybody = sum(count for _, count in attempts)
        say("    Or, where you know the same of all of them:")
        say(f"    newsletter settle {edition} --all sent|not-sent|send-again --people {everybody} --as EMAIL")


def say_events(found: Reconciliation) -> None:
    """What the provider told of those to whom an edition was handed over, and what is missing."""
    words = ("delivered", "bounced", "dropped", "deferred")
    parts = [f"{getattr(found, word)} {word}" for word in words if getattr(found, word)]
    say(f"  Of these: {', '.join([*parts, f'{found.not_heard_of} not heard of yet'])}.")
    if found.complaints or found.left:
        say(f"  Called it spam: {people(found.complaints)}. Left by way of the provider: {people(found.left)}.")
    for gap in found.gaps:
        say(f"  {gap}")


def events_as_json(found: Reconciliation | None) -> dict[str, Any] | None:
    """What the provider told, for a program."""
    if found is None:
        return None
    last = found.last_post_at
    return {**vars(found), "last_post_at": last.isoformat() if last else None}


def notice_line(notice: Notice, zone: ZoneInfo) -> str:
    """A notice on one line: whether staff have been told, and what."""
    from newsletter.clock import in_clinic_time

    what = f"{notice.kind.value}: {notice.reason}"
    if notice.sent_at:
        return f"Staff were told at {in_clinic_time(notice.sent_at, zone)}: {what}"
    return f"Staff could not be told: {notice.trouble} ({what})" if notice.trouble else f"Staff will be told: {what}"


def notice_as_json(notice: Notice) -> dict[str, Any]:
    """A notice for a program."""
    return {
        "kind": notice.kind.value,
        "reason": notice.reason,
        "wanted_at": notice.wanted_at.isoformat(),
        "told_at": notice.sent_at.isoformat() if notice.sent_at else None,
        "trouble": "" if notice.sent_at else notice.trouble,
    }


CONSENT_IN_WORDS = {
    "asked": "Somebody signed up with the address, at {source}.",
    "confirmed": "They confirmed it by the link that was mailed to them ({method}; page: {source}).",
    "given": "They had agreed by other means: {source}. Entered by {by}.",
    "imported": "They had agreed elsewhere: {source}. Imported by {by}.",
    "changed": "They chose anew what they receive, at {source}.",
    "paused": "They paused, at {source}.",
    "resumed": "The pause ended: {source}.",
    "withdrawn": "They left, by {source}.",
    "told why": "They said why they left.",
    "lifted": "Staff took back that the address must not be mailed: {source}. They may sign up again.",
    "undone": "The import that brought them was undone: {source}.",
    "erased": "They were erased, by {source}.",
}
"""Each act of consent as a sentence for staff."""


def say_consent(row: Consent, zone: ZoneInfo) -> None:
    """One act of consent in plain words: when, what, how it is known, and what it was about."""
    from newsletter.clock import in_clinic_time

    words = CONSENT_IN_WORDS[row.act.value].format(source=row.source, method=row.method, by=row.by)
    say(f"{in_clinic_time(row.at, zone)}  {words}")
    if row.given_at:
        say(f"    Given on {in_clinic_time(row.given_at, zone)}.")
    if row.topics is not None:
        say(f"    Topics: {', '.join(row.topics) or 'all'}; language: {row.language}.")
    if row.wording:
        say(f"    Wording {row.wording}, SHA-256 {row.wording_hash}.")
    if row.controller or row.privacy_notice:
        say(f"    To {row.controller}{f', privacy notice {row.privacy_notice}' if row.privacy_notice else ''}.")
    for name, value in (row.details or {}).items():
        if value:
            say(f"    {name.capitalize()}: {value}.")


def consent_as_json(row: Consent) -> dict[str, Any]:
    """One act of consent for a program, with everything that is on its record."""
    return {
        "act": row.act.value,
        "at": row.at.isoformat(),
        "by": row.by,
        "source": row.source,
        "method": row.method,
        "wording": row.wording,
        "wording_hash": row.wording_hash,
        "language": row.language,
        "topics": row.topics,
        "controller": row.controller,
        "privacy_notice": row.privacy_notice,
        "age_statement": row.age_statement,
        "given_at": row.given_at.isoformat() if row.given_at else None,
        "tracking": row.tracking,
        "details": row.details,
    }
