"""Commands for editions that were submitted, until they go out: approve, schedule, send-now, take-back and cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import Json, agrees, load_settings, say, say_json
from newsletter.cli.rows import As, acting, opened
from newsletter.cli.shown import edition_as_json, edition_line, progress_as_json, say_progress, standing
from newsletter.staff.roles import Act

if TYPE_CHECKING:
    from newsletter.editions.tables import Edition

EditionId = Annotated[str, typer.Argument(metavar="EDITION", help="An edition's id, such as 2026-11-opening-1.")]

app = typer.Typer(no_args_is_help=True, help="Editions: what was submitted, approved and sent.")


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (approve, send_back, schedule, send_now, take_back, cancel):
        parent.command(command.__name__.replace("_", "-"))(command)
    parent.add_typer(app, name="editions")


def approve(edition: EditionId, by: As = "", json: Json = False) -> None:
    """Approve exactly what was submitted; neither its submitter nor its authors may."""
    from newsletter.editions import actions
    from newsletter.editions.model import EditionState

    settings = load_settings()
    rules = settings.sending
    with acting(settings, by, Act.REVIEW, by_name=True) as (session, actor, now):
        row = actions.approve(
            session, edition, actor=actor, now=now, needed=rules.approvals_needed, days=rules.approval_days
        )
    if row.state is EditionState.APPROVED:
        _tell(row, json, f"{row.id} is approved. Next: newsletter schedule {row.id} --as EMAIL")
    else:
        _tell(row, json, f"Your approval of {row.id} is kept; it needs {rules.approvals_needed} in all.")


def send_back(
    edition: EditionId,
    by: As = "",
    note: Annotated[str, typer.Option("--note", help="What should be changed.")] = "",
    json: Json = False,
) -> None:
    """Send an edition back to its authors."""
    from newsletter.editions import actions

    settings = load_settings()
    with acting(settings, by, Act.REVIEW, by_name=True) as (session, actor, now):
        row = actions.send_back(session, edition, actor=actor, now=now, note=note)
    _tell(row, json, f"{row.id} was sent back. What is mended is submitted as a new edition.")


def schedule(
    edition: EditionId,
    by: As = "",
    at: Annotated[
        str | None,
        typer.Option("--at", help="Clinic time: '2026-11-03 09:00', 'in 10 minutes' or now. Default: the campaign's."),
    ] = None,
    json: Json = False,
) -> None:
    """Set when an approved edition goes out, or move it."""
    from newsletter.cli.times import read_time
    from newsletter.clock import in_clinic_time
    from newsletter.editions import actions

    settings = load_settings()
    zone = settings.clinic.zone
    with acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        time = read_time(at, zone=zone, now=now) if at is not None else None
        row = actions.schedule(session, edition, actor=actor, now=now, at=time)
    assert row.send_at is not None
    _tell(row, json, f"{row.id} goes out on {in_clinic_time(row.send_at, zone)}.")


def send_now(
    edition: EditionId,
    by: As = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask at a terminal whether it shall really go.")] = False,
    json: Json = False,
) -> None:
    """Send an approved edition now; for some minutes it can be undone with nobody mailed."""
    from datetime import timedelta

    from newsletter.cli.rows import who_acts
    from newsletter.clock import SystemClock, in_clinic_time
    from newsletter.delivery.planning import send_now
    from newsletter.editions.queries import get_edition
    from newsletter.errors import Refused
    from newsletter.schedule.rules import make_rules
    from newsletter.wiring import make_worker

    settings = load_settings()
    rules, clock = make_rules(settings), SystemClock()
    with opened(settings) as database:
        worker = make_worker(settings, database, clock)
        with database.read() as session:
            subject = get_edition(session, edition).subject
        if not (yes or agrees(f"Send {edition}, “{subject}”, to its readers now?")):
            raise Refused(f"{edition} was not sent.")
        with database.write() as session:
            send = send_now(
                session,
                edition,
                actor=who_acts(session, by, Act.SCHEDULE),
                now=clock.now(),
                undo_delay=timedelta(minutes=settings.sending.undo_minutes),
                late_after=rules.late_after,
                base_url=rules.base_url,
                transport=worker.transport.name,
                batch_limit=worker.transport.batch_limit,
            )
        with database.read() as session:
            row = get_edition(session, edition)
    assert send.wait_until is not None
    if json:
        say_json({**edition_as_json(row), "wait_until": send.wait_until.isoformat()})
        return
    say(f"{edition} begins to go out on {in_clinic_time(send.wait_until, settings.clinic.zone)}.")
    say(f"  Until then nobody has it. Undo it with: newsletter cancel {edition} --as EMAIL")


def take_back(edition: EditionId, by: As = "", json: Json = False) -> None:
    """Take an edition from the schedule; it stays approved."""
    from newsletter.editions import actions

    settings = load_settings()
    with acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        row = actions.take_back(session, edition, actor=actor, now=now)
    _tell(row, json, f"{row.id} is no longer scheduled; it stays approved.")


def cancel(edition: EditionId, by: As = "", json: Json = False) -> None:
    """End an edition for good: scheduled, held, or sent by hand a moment ago."""
    from newsletter.delivery import steering

    settings = load_settings()
    with acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        row = steering.cancel(session, edition, actor=actor, now=now)
    _tell(row, json, f"{row.id} is cancelled and will never go out.")


@app.command("list")
def list_(json: Json = False) -> None:
    """Show all editions, newest first."""
    from newsletter.delivery.queries import list_sends
    from newsletter.editions.queries import list_editions

    settings = load_settings()
    zone = settings.clinic.zone
    with opened(settings) as database, database.read() as session:
        rows = list_editions(session)
        sends = {send.edition: send.state for send in list_sends(session)}
    if json:
        say_json([{**edition_as_json(row), "standing": standing(row, sends.get(row.serial))} for row in rows])
        return
    for row in rows:
        say(edition_line(row, zone, sends.get(row.serial)))
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
    send = progress.state if progress else None
    if json:
        by = [{"by": names[a.person], "at": a.at.isoformat()} for a in approvals]
        say_json(
            {
                **edition_as_json(row),
                "standing": standing(row, send),
                "submitted_by": names[row.submitted_by],
                "approvals": by,
                "send": progress_as_json(progress),
            }
        )
        return
    say(edition_line(row, zone, send))
    say(f"  Subject: {row.subject}")
    say(f"  Content: {row.content_hash}")
    if not row.in_archive:
        say("  Not in the public archive.")
    say(f"  Submitted by {names[row.submitted_by]}, {in_clinic_time(row.submitted_at, zone)}")
    for approval in approvals:
        say(f"  Approved by {names[approval.person]}, {in_clinic_time(approval.at, zone)}")
    if progress:
        say_progress(progress, zone)


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


@app.command()
def hide(
    edition: EditionId,
    by: As = "",
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit.")] = "",
    json: Json = False,
) -> None:
    """Take the page of an edition out of the public archive, or keep it out before it goes."""
    from newsletter.editions import actions
    from newsletter.errors import Refused

    if not reason.strip():
        raise Refused("Say why, for whoever asks later: --reason TEXT")
    settings = load_settings()
    with acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        row = actions.set_in_archive(session, edition, False, actor=actor, now=now, reason=reason.strip())
    _tell(row, json, f"{row.id} has no page in the archive. Whoever was mailed it still has the mail.")


@app.command()
def publish(edition: EditionId, by: As = "", json: Json = False) -> None:
    """Give an edition its page in the public archive, as soon as it has gone out."""
    from newsletter.editions import actions

    settings = load_settings()
    with acting(settings, by, Act.SCHEDULE) as (session, actor, now):
        row = actions.set_in_archive(session, edition, True, actor=actor, now=now)
    _tell(row, json, f"{row.id} is for the archive: everybody can read it once it has gone out.")


def _tell(row: Edition, json: bool, text: str) -> None:
    if json:
        say_json(edition_as_json(row))
    else:
        say(text)
