"""Commands for sends under way: status, pause, resume, stop, settle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import Json, load_settings, people, say, say_json
from newsletter.cli.editions import EditionId
from newsletter.cli.rows import As, acting, opened
from newsletter.cli.shown import (
    edition_as_json,
    edition_line,
    events_as_json,
    notice_as_json,
    notice_line,
    progress_as_json,
    say_events,
    say_progress,
    say_trouble,
    say_uncertain,
    standing,
)
from newsletter.staff.roles import Act

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from newsletter.delivery.model import Progress, SendState, Verdict
    from newsletter.delivery.tables import Attempt
    from newsletter.editions.tables import Edition
    from newsletter.provider_events.model import Reconciliation
    from newsletter.staff.tables import Notice


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (status, pause, resume, stop, settle):
        parent.command()(command)


@dataclass(frozen=True)
class _Look:
    """Where an edition stands, and its send when there is one."""

    edition: Edition
    progress: Progress | None = None
    trouble: Attempt | None = None
    uncertain: Sequence[tuple[Attempt, int]] = ()
    events: Reconciliation | None = None
    notices: Sequence[Notice] = ()

    @property
    def send(self) -> SendState | None:
        """How far its send is, when there is one."""
        return self.progress.state if self.progress else None


def status(
    edition: Annotated[
        str,
        typer.Argument(metavar="[EDITION]", help="One edition; without it, all that wait, go out or are uncertain."),
    ] = "",
    each_person: Annotated[
        bool, typer.Option("--people", help="Also each person in the send: who has it, who was left out and why.")
    ] = False,
    json: Json = False,
) -> None:
    """Show where editions stand: what waits for whom, what is scheduled, and how far a send is."""
    from newsletter.clock import SystemClock
    from newsletter.database.instance import HOW_TO_UNLOCK, find_lock
    from newsletter.delivery.queries import list_deliveries, list_over
    from newsletter.editions.model import OPEN, EditionState
    from newsletter.editions.queries import get_edition, list_editions
    from newsletter.errors import Refused
    from newsletter.operations.health import check_events
    from newsletter.operations.model import State
    from newsletter.provider_events.queries import list_reasons

    if each_person and not edition:
        raise Refused("Name the edition whose people you want to see: newsletter status EDITION --people")
    settings = load_settings()
    with opened(settings) as database, database.read() as session:
        locked = find_lock(session)
        if edition:
            rows = [get_edition(session, edition)]
        else:
            over = list_over(session)
            rows = [row for row in list_editions(session) if row.state in OPEN | {EditionState.SENDING}]
            rows = [row for row in rows if row.serial not in over]
        looks = [_look_at(session, row, SystemClock().now()) for row in rows]
        sent = each_person and looks[0].progress is not None
        deliveries = list(list_deliveries(session, edition)) if sent else []
        came_back = list_reasons(session, edition) if deliveries else {}
        persons = [{**vars(one), "reason": one.reason or came_back.get(one.subscriber, "")} for one in deliveries]
        events = check_events(session, settings, SystemClock().now())
    if json:
        beside = {"people": persons} if each_person else {}
        say_json([{**_as_json(look), **beside} for look in looks])
        return
    if locked:
        say(f"Nothing is sent from this database: {locked}. {HOW_TO_UNLOCK}")
    if events.state is not State.OK:
        say(f"Provider events: {events.told}. {events.remedy}")
    for look in looks:
        _say(look, settings.clinic.zone)
    for one in persons:
        why = f" ({one['reason']})" if one["reason"] else ""
        say(f"  {one['address'] or 'erased':32} {one['state'].value}{why}")
    if not looks:
        say("Nothing waits, is scheduled or goes out. Begin with: newsletter submit CAMPAIGN --as EMAIL")
        say("What has gone out: newsletter editions list")


def _look_at(session: Session, row: Edition, now: datetime) -> _Look:
    from newsletter.delivery.queries import find_trouble, get_progress, list_uncertain
    from newsletter.editions.model import EditionState
    from newsletter.provider_events.queries import reconcile, tells_later
    from newsletter.staff.notices import list_notices

    notices = list_notices(session, row.id)
    if row.state is not EditionState.SENDING:
        return _Look(row, notices=notices)
    progress = get_progress(session, row.id)
    return _Look(
        row,
        progress,
        trouble=find_trouble(session, row.id) if progress.planned and not progress.note else None,
        uncertain=list_uncertain(session, row.id) if progress.uncertain else (),
        events=reconcile(session, row.id, now=now) if tells_later(session, row.id) else None,
        notices=notices,
    )


def _as_json(look: _Look) -> dict[str, object]:
    return {
        **edition_as_json(look.edition),
        "standing": standing(look.edition, look.send),
        "send": progress_as_json(look.progress),
        "events": events_as_json(look.events),
        "notices": [notice_as_json(notice) for notice in look.notices],
    }


def _say(look: _Look, zone: ZoneInfo) -> None:
    say(edition_line(look.edition, zone, look.send))
    if look.progress:
        say_progress(look.progress, zone)
    if look.trouble:
        say_trouble(look.trouble, zone)
    say_uncertain(look.edition.id, look.uncertain, zone)
    if look.events:
        say_events(look.events)
    for notice in look.notices:
        say(f"  {notice_line(notice, zone)}")


def pause(edition: EditionId, by: As = "", json: Json = False) -> None:
    """Let a running send wait; what is on its way still arrives."""
    from newsletter.delivery import steering

    settings = load_settings()
    with acting(settings, by, Act.STEER) as (session, actor, now):
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
    from newsletter.schedule.rules import make_rules

    settings = load_settings()
    with acting(settings, by, Act.STEER) as (session, actor, now):
        late_after = make_rules(settings).late_after
        steering.resume(session, edition, actor=actor, now=now, late_after=late_after, although_late=although_late)
    _tell_send(edition, "running", json, f"The send of {edition} goes on.")


def stop(edition: EditionId, by: As = "", json: Json = False) -> None:
    """End a send for good; whoever has it keeps it, nobody else gets it."""
    from newsletter.delivery import steering

    settings = load_settings()
    with acting(settings, by, Act.STEER) as (session, actor, now):
        left_out = steering.stop(session, edition, actor=actor, now=now)
    _tell_send(edition, "stopped", json, f"The send of {edition} is stopped; {people(left_out)} will not get it.")


def settle(
    edition: EditionId,
    attempt: Annotated[
        str, typer.Argument(metavar="[ATTEMPT]", help="The attempt without an answer, as status shows it.")
    ] = "",
    verdict: Annotated[str, typer.Argument(metavar="[VERDICT]", help="sent, not-sent or send-again.")] = "",
    for_all: Annotated[
        str, typer.Option("--all", metavar="VERDICT", help="The same for every attempt of the edition without one.")
    ] = "",
    for_people: Annotated[
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
        with acting(settings, by, Act.STEER, by_name=True) as (session, actor, now):
            attempts = steering.settle_all_uncertain(session, edition, said, people=for_people, actor=actor, now=now)
        told = f"{attempts} attempts of {edition}, {people(for_people)}, are settled as {said.value}, in your name."
        _tell_send(edition, "settled", json, told)
        return
    with acting(settings, by, Act.STEER, by_name=True) as (session, actor, now):
        steering.settle_uncertain(session, edition, attempt, said, actor=actor, now=now)
    _tell_send(edition, "settled", json, f"{attempt} of {edition} is settled as {said.value}, in your name.")


def _read_verdict(word: str) -> Verdict:
    from newsletter.delivery.model import Verdict
    from newsletter.errors import Refused

    try:
        return Verdict(word.strip().lower().replace("-", " "))
    except ValueError:
        raise Refused(f"`{word}` is not a verdict. Write sent, not-sent or send-again.") from None


def _tell_send(edition: str, state: str, json: bool, text: str) -> None:
    if json:
        say_json({"id": edition, "send": state})
    else:
        say(text)
