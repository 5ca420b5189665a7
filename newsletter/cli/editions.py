"""Commands from submit to the end of a send: submit, approve, schedule, status, pause, editions list and the like."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter.cli.campaigns import CampaignName, MailingName
from newsletter.cli.console import Json, load_settings, say, say_json
from newsletter.cli.rows import As, opened, who_acts
from newsletter.staff.roles import Act

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from newsletter.delivery.model import Progress, Verdict
    from newsletter.delivery.tables import Attempt
    from newsletter.editions.tables import Edition
    from newsletter.provider_events.model import Reconciliation
    from newsletter.settings import Settings
    from newsletter.staff.model import StaffActor
    from newsletter.staff.tables import Notice

EditionId = Annotated[str, typer.Argument(metavar="EDITION", help="An edition's id, such as 2026-11-opening-1.")]

app = typer.Typer(no_args_is_help=True, help="Editions: what was submitted, approved and sent.")


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (submit, approve, schedule, cancel, status, pause, resume, stop, settle):
        parent.command()(command)
    parent.command("send-back")(send_back)
    parent.command("take-back")(take_back)
    parent.add_typer(app, name="editions")


def submit(campaign: CampaignName, by: As = "", mailing: MailingName = None, json: Json = False) -> None:
    """Freeze a mailing as an edition that waits for a second person's approval."""
    from newsletter.editions import actions
    from newsletter.editions.freeze import freeze_edition
    from newsletter.errors import Refused
    from newsletter.wiring import check_mailing, choose_mailings, read_named_campaign, render_mailing

    settings = load_settings()
    month = read_named_campaign(settings, campaign)
    snapshots = []
    for chosen in choose_mailings(month, mailing):
        mail = render_mailing(settings, month, chosen)
        if not check_mailing(settings, month, chosen, mail).may_pass:
            raise Refused(f"{chosen.name} cannot be submitted yet. See what to mend: newsletter check {month.id}")
        snapshots.append(freeze_edition(mail, month, chosen, settings))
    with _acting(settings, by, Act.SUBMIT) as (session, actor, now):
        rows = [actions.submit(session, snapshot=one, actor=actor, now=now) for one in snapshots]
    if json:
        say_json([_as_json(row) for row in rows])
        return
    for row in rows:
        say(f"{row.id} waits for approval.")
        say(f"  Another person reads it, and then: newsletter approve {row.id} --as EMAIL")


def approve(edition: EditionId, by: As = "", json: Json = False) -> None:
    """Approve exactly what was submitted; neither its submitter nor its authors may."""
    from newsletter.editions import actions
    from newsletter.editions.model import EditionState

    settings = load_settings()
    rules = settings.sending
    with _acting(settings, by, Act.REVIEW, by_name=True) as (session, actor, now):
        row = actions.approve(
            session, edition, actor=actor, now=now, needed=rules.approvals_needed, days=rules.approval_days
        )
    if row.state is EditionState.APPROVED:
        _tell(row, settings, json, f"{row.id} is approved. Next: newsletter schedule {row.id} --as EMAIL")
    else:
        _tell(row, settings, json, f"Your approval of {row.id} is kept; it needs {rules.approvals_needed} in all.")


def send_back(
    edition: EditionId,
    by: As = "",
    note: Annotated[str, typer.Option("--note", help="What should be changed.")] = "",
    json: Json = False,
) -> None:
    """Send an edition back to its authors."""
    from newsletter.editions import actions

    settings = load_settings()
    with _acting(settings, by, Act.REVIEW, by_name=True) as (session, actor, now):
        row = actions.send_back(session, edition, actor=actor, now=now, note=note)
    _tell(row, settings, json, f"{row.id} was sent back. What is mended is submitted as a new edition.")


def schedule(
    edition: EditionId,
    by: As = "",
    at: Annotated[
        str,
        typer.Option("--at", help="Clinic time: '2026-11-03 09:00', 'in 10 minutes' or now. Default: the campaign's."),
    ] = "",
    json: Json = False,
) -> None:
    """Set when an approved edition goes out, or move it."""
    from newsletter.cli.times import read_time
    from newsletter.clock import in_clinic_time
    from newsletter.editions import actions

    settings = load_settings()
    zone = settings.clinic.zone
    with _acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        time = read_time(at, zone=zone, now=now) if at else None
        row = actions.schedule(session, edition, actor=actor, now=now, at=time)
    assert row.send_at is not None
    _tell(row, settings, json, f"{row.id} goes out on {in_clinic_time(row.send_at, zone)}.")


def take_back(edition: EditionId, by: As = "", json: Json = False) -> None:
    """Take an edition from the schedule; it stays approved."""
    from newsletter.editions import actions

    settings = load_settings()
    with _acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        row = actions.take_back(session, edition, actor=actor, now=now)
    _tell(row, settings, json, f"{row.id} is no longer scheduled; it stays approved.")


def cancel(edition: EditionId, by: As = "", json: Json = False) -> None:
    """End a scheduled or held edition for good."""
    from newsletter.editions import actions

    settings = load_settings()
    with _acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        row = actions.cancel(session, edition, actor=actor, now=now)
    _tell(row, settings, json, f"{row.id} is cancelled and will never go out.")


def pause(edition: EditionId, by: As = "", json: Json = False) -> None:
    """Let a running send wait; what is on its way still arrives."""
    from newsletter.delivery import steering

    settings = load_settings()
    with _acting(settings, by, Act.STEER) as (session, actor, now):
        steering.pause(session, edition, actor=actor, now=now)
    _tell_send(edition, "paused", json, f"The send of {edition} is paused. Go on with: newsletter resume {edition}")


def resume(
    edition: EditionId,
    by: As = "",
    although_late: Annotated[bool, typer.Option("--although-late", help="Send the rest even hours later.")] = False,
    json: Json = False,
) -> None:
    """Let a paused send go on."""
    from newsletter.delivery import steering
    from newsletter.schedule.runner import make_rules

    settings = load_settings()
    with _acting(settings, by, Act.STEER) as (session, actor, now):
        late_after = make_rules(settings).late_after
        steering.resume(session, edition, actor=actor, now=now, late_after=late_after, although_late=although_late)
    _tell_send(edition, "running", json, f"The send of {edition} goes on.")


def stop(edition: EditionId, by: As = "", json: Json = False) -> None:
    """End a send for good; whoever has it keeps it, nobody else gets it."""
    from newsletter.delivery import steering

    settings = load_settings()
    with _acting(settings, by, Act.STEER) as (session, actor, now):
        people = steering.stop(session, edition, actor=actor, now=now)
    _tell_send(edition, "stopped", json, f"The send of {edition} is stopped; {_people(people)} will not get it.")


def settle(
    edition: EditionId,
    attempt: Annotated[
        str, typer.Argument(metavar="[ATTEMPT]", help="The attempt without an answer, as status shows it.")
    ] = "",
    verdict: Annotated[str, typer.Argument(metavar="[VERDICT]", help="sent, not-sent or send-again.")] = "",
    for_all: Annotated[
        str, typer.Option("--all", metavar="VERDICT", help="The same for every attempt of the edition without one.")
    ] = "",
    people: Annotated[
        int, typer.Option("--people", min=0, help="With --all: how many people it is about, as status shows it.")
    ] = 0,
    by: As = "",
    json: Json = False,
) -> None:
    """Say what became of an attempt without an answer, once you know; it is never repeated by itself."""
    from newsletter.delivery import steering
    from newsletter.errors import Refused

    if bool(for_all) == bool(attempt):
        raise Refused(f"Name an attempt and a verdict, or say --all VERDICT. See: newsletter status {edition}")
    said = _read_verdict(for_all or verdict)
    settings = load_settings()
    if for_all:
        with _acting(settings, by, Act.STEER, by_name=True) as (session, actor, now):
            attempts = steering.settle_all_uncertain(session, edition, said, people=people, actor=actor, now=now)
        told = f"{attempts} attempts of {edition}, {_people(people)}, are settled as {said.value}, in your name."
        _tell_send(edition, "settled", json, told)
        return
    with _acting(settings, by, Act.STEER, by_name=True) as (session, actor, now):
        steering.settle_uncertain(session, edition, attempt, said, actor=actor, now=now)
    _tell_send(edition, "settled", json, f"{attempt} of {edition} is settled as {said.value}, in your name.")


def _read_verdict(word: str) -> Verdict:
    from newsletter.delivery.model import Verdict
    from newsletter.errors import Refused

    try:
        return Verdict(word.strip().lower().replace("-", " "))
    except ValueError:
        raise Refused(f"`{word}` is not a verdict. Write sent, not-sent or send-again.") from None


def status(
    edition: Annotated[
        str, typer.Argument(metavar="[EDITION]", help="One edition; without it, all that are open.")
    ] = "",
    people: Annotated[
        bool, typer.Option("--people", help="Also each person in the send: who has it, who was left out and why.")
    ] = False,
    json: Json = False,
) -> None:
    """Show where editions stand: what waits for whom, what is scheduled, and how far a send is."""
    from newsletter.clock import SystemClock, in_clinic_time
    from newsletter.database.instance import HOW_TO_UNLOCK, find_lock
    from newsletter.delivery.queries import find_trouble, get_progress, list_deliveries, list_uncertain
    from newsletter.editions.model import OPEN, EditionState
    from newsletter.editions.queries import get_edition, list_editions
    from newsletter.errors import Refused
    from newsletter.operations.health import check_events
    from newsletter.operations.model import State
    from newsletter.provider_events.queries import list_reasons, reconcile, tells_later
    from newsletter.staff.notices import list_notices

    if people and not edition:
        raise Refused("Name the edition whose people you want to see: newsletter status EDITION --people")
    settings = load_settings()
    with opened(settings) as database, database.read() as session:
        locked = find_lock(session)
        if edition:
            rows = [get_edition(session, edition)]
        else:
            rows = [row for row in list_editions(session) if row.state in OPEN | {EditionState.SENDING}]
        sending = [row.id for row in rows if row.state is EditionState.SENDING]
        sends = {name: get_progress(session, name) for name in sending}
        waiting = [name for name in sending if sends[name].planned and not sends[name].note]
        troubles = {name: find_trouble(session, name) for name in waiting}
        uncertain = {name: list_uncertain(session, name) for name in sending if sends[name].uncertain}
        deliveries = list(list_deliveries(session, edition)) if people and sending else []
        came_back = list_reasons(session, edition) if deliveries else {}
        persons = [{**vars(one), "reason": one.reason or came_back.get(one.subscriber, "")} for one in deliveries]
        notices = {row.id: list_notices(session, row.id) for row in rows}
        events = check_events(session, settings, SystemClock().now())
        told_of = [name for name in sending if tells_later(session, name)]
        told = {name: reconcile(session, name, now=SystemClock().now()) for name in told_of}
    if json:
        answer = [
            {
                **_as_json(row),
                "send": _progress_as_json(sends.get(row.id)),
                "events": _events_as_json(told.get(row.id)),
                "notices": [_notice_as_json(notice) for notice in notices[row.id]],
            }
            for row in rows
        ]
        say_json([{**one, "people": persons} for one in answer] if people else answer)
        return
    if locked:
        say(f"Nothing is sent from this database: {locked}. {HOW_TO_UNLOCK}")
    if events.state is not State.OK:
        say(f"Provider events: {events.told}. {events.remedy}")
    for row in rows:
        say(_line(row, settings))
        if row.id in sends:
            _say_progress(sends[row.id])
            if trouble := troubles.get(row.id):
                assert trouble.answered_at is not None
                say(f"  Last answer, {in_clinic_time(trouble.answered_at, settings.clinic.zone)}: {trouble.answer}")
            _say_uncertain(row.id, uncertain.get(row.id, ()), settings)
        if row.id in told:
            _say_events(told[row.id])
        for notice in notices[row.id]:
            say(f"  {_line_of_notice(notice, settings)}")
    for one in persons:
        why = f" ({one['reason']})" if one["reason"] else ""
        say(f"  {one['address'] or 'erased':32} {one['state'].value}{why}")
    if not rows:
        say("Nothing waits, is scheduled or goes out. Begin with: newsletter submit CAMPAIGN --as EMAIL")


@app.command("list")
def list_(json: Json = False) -> None:
    """Show all editions, newest first."""
    from newsletter.editions.queries import list_editions

    settings = load_settings()
    with opened(settings) as database, database.read() as session:
        rows = list_editions(session)
    if json:
        say_json([_as_json(row) for row in rows])
        return
    for row in rows:
        say(_line(row, settings))
    if not rows:
        say("None yet. Begin with: newsletter submit CAMPAIGN --as EMAIL")


@app.command()
def show(edition: EditionId, json: Json = False) -> None:
    """Show one edition: what it says, who approved it, and how its send went."""
    from newsletter.clock import in_clinic_time
    from newsletter.delivery.queries import get_progress
    from newsletter.editions.model import EditionState
    from newsletter.editions.queries import get_edition, list_approvals
    from newsletter.staff.queries import list_people

    settings = load_settings()
    zone = settings.clinic.zone
    with opened(settings) as database, database.read() as session:
        row = get_edition(session, edition)
        names = {person.number: person.email for person in list_people(session)}
        approvals = list_approvals(session, row.serial)
        progress = get_progress(session, edition) if row.state is EditionState.SENDING else None
    if json:
        by = [{"by": names[a.person], "at": a.at.isoformat()} for a in approvals]
        say_json(
            {
                **_as_json(row),
                "submitted_by": names[row.submitted_by],
                "approvals": by,
                "send": _progress_as_json(progress),
            }
        )
        return
    say(_line(row, settings))
    say(f"  Subject: {row.subject}")
    say(f"  Content: {row.content_hash}")
    say(f"  Submitted by {names[row.submitted_by]}, {in_clinic_time(row.submitted_at, zone)}")
    for approval in approvals:
        say(f"  Approved by {names[approval.person]}, {in_clinic_time(approval.at, zone)}")
    if progress:
        _say_progress(progress)


@app.command()
def verify(edition: EditionId, json: Json = False) -> None:
    """Compare an edition with what was approved, byte for byte, pictures too."""
    from newsletter.editions.queries import find_damage, get_edition
    from newsletter.errors import Refused

    with opened(load_settings()) as database, database.read() as session:
        row = get_edition(session, edition)
        damage = find_damage(session, row.serial)
    if damage:
        raise Refused(f"{edition} is damaged: {'; '.join(damage)}. It is not sent; submit it again.")
    if json:
        say_json({"id": row.id, "content_hash": row.content_hash, "intact": True})
    else:
        say(f"{edition} is exactly what was submitted: {row.content_hash}")


@contextmanager
def _acting(
    settings: Settings, by: str, act: Act, *, by_name: bool = False
) -> Iterator[tuple[Session, StaffActor, datetime]]:
    from newsletter.clock import SystemClock

    with opened(settings) as database, database.write() as session:
        yield session, who_acts(session, by, act, by_name=by_name), SystemClock().now()


def _tell(row: Edition, settings: Settings, json: bool, text: str) -> None:
    if json:
        say_json(_as_json(row))
    else:
        say(text)


def _tell_send(edition: str, state: str, json: bool, text: str) -> None:
    if json:
        say_json({"id": edition, "send": state})
    else:
        say(text)


def _line(row: Edition, settings: Settings) -> str:
    from newsletter.clock import in_clinic_time

    when = f", {in_clinic_time(row.send_at, settings.clinic.zone)}" if row.send_at else ""
    note = f" ({row.note})" if row.note else ""
    return f"{row.id}  {row.state.value}{when}{note}"


def _say_progress(progress: Progress) -> None:
    from newsletter.subscribers.model import EXPLANATIONS

    note = f": {progress.note}" if progress.note else ""
    say(f"  Send {progress.state.value}{note}")
    if progress.state.value == "paused":
        say(f"  When nothing stands in its way: newsletter resume {progress.edition} --as EMAIL")
    say(f"  Handed over to {_people(progress.handed_over)}, {progress.planned} to go.")
    if progress.refused:
        say(f"  Refused by the provider: {_people(progress.refused)}.")
    if progress.uncertain:
        say(f"  Uncertain: {_people(progress.uncertain)}. Nobody knows whether they have it; nothing is repeated.")
    for reason, count in progress.left_out.items():
        say(f"  Left out, as {EXPLANATIONS[reason]}: {_people(count)}.")


def _say_events(found: Reconciliation) -> None:
    words = ("delivered", "bounced", "dropped", "deferred")
    parts = [f"{getattr(found, word)} {word}" for word in words if getattr(found, word)]
    say(f"  Of these: {', '.join([*parts, f'{found.not_heard_of} not heard of yet'])}.")
    if found.complaints or found.left:
        say(f"  Called it spam: {_people(found.complaints)}. Left by way of the provider: {_people(found.left)}.")
    for gap in found.gaps:
        say(f"  {gap}")


def _line_of_notice(notice: Notice, settings: Settings) -> str:
    from newsletter.clock import in_clinic_time

    what = f"{notice.kind.value}: {notice.reason}"
    if notice.sent_at:
        return f"Staff were told at {in_clinic_time(notice.sent_at, settings.clinic.zone)}: {what}"
    return f"Staff could not be told: {notice.trouble} ({what})" if notice.trouble else f"Staff will be told: {what}"


def _notice_as_json(notice: Notice) -> dict[str, Any]:
    return {
        "kind": notice.kind.value,
        "reason": notice.reason,
        "wanted_at": notice.wanted_at.isoformat(),
        "told_at": notice.sent_at.isoformat() if notice.sent_at else None,
        "trouble": "" if notice.sent_at else notice.trouble,
    }


def _events_as_json(found: Reconciliation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    last = found.last_post_at
    return {**vars(found), "last_post_at": last.isoformat() if last else None}


def _say_uncertain(edition: str, attempts: Sequence[tuple[Attempt, int]], settings: Settings) -> None:
    from newsletter.clock import in_clinic_time

    for attempt, people in attempts:
        when = in_clinic_time(attempt.started_at, settings.clinic.zone)
        say(f"    {attempt.id}: {_people(people)}, tried {when}. {attempt.answer}")
    if attempts:
        say("    Ask the provider for that name, and then:")
        say(f"    newsletter settle {edition} NAME sent|not-sent|send-again --as EMAIL")
    if len(attempts) > 1:
        everybody = sum(people for _, people in attempts)
        say("    Or, where you know the same of all of them:")
        say(f"    newsletter settle {edition} --all sent|not-sent|send-again --people {everybody} --as EMAIL")


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"


def _as_json(row: Edition) -> dict[str, Any]:
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
    }


def _progress_as_json(progress: Progress | None) -> dict[str, Any] | None:
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
        "finished_at": progress.finished_at.isoformat() if progress.finished_at else None,
    }
