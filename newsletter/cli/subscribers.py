"""Commands for readers: subscribers add, form, list, show, proof, unsubscribe, suppress, sync."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from newsletter.cli.console import Json, load_settings, people, say, say_json
from newsletter.cli.rows import opened
from newsletter.cli.shown import consent_as_json, say_consent

if TYPE_CHECKING:
    from newsletter.settings import Settings
    from newsletter.subscribers.model import NewSubscriber, SubscriberState
    from newsletter.subscribers.tables import Subscriber

app = typer.Typer(no_args_is_help=True, help="Readers: who asked for the newsletter, and who left.")

ConsentSource = Annotated[
    str, typer.Option("--consent-source", help="Where they agreed, such as 'paper form, front desk, 2026'.")
]


def register(parent: typer.Typer) -> None:
    """Add these commands to the command line."""
    parent.add_typer(app, name="subscribers")


@app.command()
def add(
    address: Annotated[str, typer.Argument(help="Their e-mail address.")],
    consent_source: ConsentSource,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", help="A topic they chose; repeatable, none: all.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="The language they read.")] = "",
    text_only: Annotated[bool, typer.Option("--text-only", help="They want mails without pictures.")] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="They must confirm it first: a link for that is mailed to them.")
    ] = False,
    json: Json = False,
) -> None:
    """Add one reader who has agreed to get the newsletter."""
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.errors import Refused
    from newsletter.subscribers.actions import add_subscriber
    from newsletter.subscribers.model import NewSubscriber
    from newsletter.subscribers.topics import read_topics
    from newsletter.wiring import suppression_key

    settings = load_settings()
    topics = read_topics(settings.workspace)
    chosen = tuple(topic or ())
    if unknown := [name for name in chosen if name not in topics]:
        raise Refused(f"`{unknown[0]}` is not a topic. Topics: {', '.join(topics) or 'none'}.")
    person = NewSubscriber(address, language or settings.clinic.language, chosen, text_only)
    if pending:
        _ask_to_confirm(settings, person, consent_source, json=json)
        return
    with opened(settings) as database, database.write() as session:
        row = add_subscriber(
            session,
            person,
            consent_source=consent_source,
            suppression_key=suppression_key(settings),
            actor=SHELL,
            now=SystemClock().now(),
            controller=settings.clinic.name,
        )
    if json:
        say_json(_as_json(row))
    else:
        say(f"{row.address} is {row.state.value}.")


def _ask_to_confirm(settings: Settings, person: NewSubscriber, source: str, *, json: bool) -> None:
    from newsletter.clock import SystemClock
    from newsletter.errors import Refused
    from newsletter.subscribers.address import check_address
    from newsletter.subscribers.model import Choices, Evidence
    from newsletter.subscribers.sign_up import Answer, sign_up
    from newsletter.subscribers.wordings import read_wordings
    from newsletter.wiring import make_answer_limits, suppression_key

    wording = read_wordings(settings.workspace).get(person.language)
    if wording is None:
        raise Refused(
            f"There is no wording of consent in {person.language}. Write one: subscribers/consent/0001."
            f"{person.language}.md"
        )
    address = check_address(person.address)
    with opened(settings) as database, database.write() as session:
        answer = sign_up(
            session,
            address,
            Choices(person.language, person.topics, person.text_only),
            Evidence(source, wording=wording, controller=settings.clinic.name),
            limits=make_answer_limits(settings),
            suppression_key=suppression_key(settings),
            now=SystemClock().now(),
        )
    if answer is Answer.TOO_MANY:
        raise Refused("So many have signed up in the last hour that nobody more is asked. Try again in an hour.")
    if json:
        say_json({"asked": True})
    else:
        say(f"{address} is asked by mail to confirm it, unless that was done today or the address is a reader's.")


def read_state(text: str) -> SubscriberState | None:
    """A state that somebody typed, None for nothing; raises Refused with the states there are."""
    from newsletter.errors import Refused
    from newsletter.subscribers.model import SubscriberState

    try:
        return SubscriberState(text) if text else None
    except ValueError:
        raise Refused(f"`{text}` is not a state. States: {', '.join(SubscriberState)}.") from None


@app.command("list")
def list_(
    state: Annotated[str, typer.Option("--state", help="Only those who are active, pending, unsubscribed …")] = "",
    json: Json = False,
) -> None:
    """Show all readers, or those in one state."""
    from newsletter.subscribers.queries import list_subscribers

    wanted = read_state(state)
    with opened(load_settings()) as database, database.read() as session:
        found = list_subscribers(session, wanted)
    if json:
        say_json([_as_json(person) for person in found])
        return
    for person in found:
        say(f"{person.address or '(erased)'}  {person.state.value}  {person.language}")
    say(f"{people(len(found))}.")


@app.command()
def show(address: Annotated[str, typer.Argument(help="Their e-mail address.")], json: Json = False) -> None:
    """Show one reader: state, topics, and what they agreed to, when, and how that is known."""
    from newsletter.subscribers.queries import (
        find_suppression,
        get_subscriber,
        list_consents_of,
        list_topics_of,
        list_wordings_of,
    )
    from newsletter.wiring import suppression_key

    settings = load_settings()
    with opened(settings) as database, database.read() as session:
        row = get_subscriber(session, address)
        topics = list_topics_of(session, row.number)
        consents = list_consents_of(session, row.number)
        texts = list_wordings_of(session, row.number)
        suppression = find_suppression(session, address, suppression_key(settings))
    if json:
        acts = [consent_as_json(consent) for consent in consents]
        reason = suppression.value if suppression else None
        say_json({**_as_json(row), "topics": topics, "suppressed": reason, "consent": acts, "wordings": texts})
        return
    say(f"{row.address} is {row.state.value}; reads {row.language}{', text only' if row.text_only else ''}.")
    say(f"Topics: {', '.join(topics) or 'all'}.")
    if suppression:
        say(f"The address must not be mailed: {suppression.value}.")
    for consent in consents:
        say_consent(consent, settings.clinic.zone)
    for text in texts.values():
        say(f"\nThe words that were shown:\n\n{text}")


@app.command()
def proof(
    address: Annotated[str, typer.Argument(help="Their e-mail address.")],
    output: Annotated[Path, typer.Argument(help="The file to write: .json, or .csv for a spreadsheet.")],
) -> None:
    """Write all that is kept about one reader into a file: as proof of consent, or because they ask for it."""
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL, record
    from newsletter.errors import Refused
    from newsletter.personal_copy import make_personal_copy
    from newsletter.subscribers.queries import get_subscriber

    if output.suffix not in (".json", ".csv"):
        raise Refused(f"{output} is neither .json nor .csv. Give the file one of these endings.")
    with opened(load_settings()) as database, database.write() as session:
        number = get_subscriber(session, address).number
        copy = make_personal_copy(session, number)
        content = copy.as_json() if output.suffix == ".json" else copy.as_csv()
        try:
            # It holds what is personal: for its owner alone, and never in the place of another file.
            with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        except FileExistsError:
            raise Refused(f"{output} is there already. Choose another name.") from None
        record(session, SHELL, SystemClock().now(), "copy of a person made", f"subscriber:{number}")
    say(f"Wrote {output}. It is personal: give it to nobody but them or those who must judge it.")


@app.command()
def form(
    language: Annotated[str, typer.Option("--language", help="In which language; else in the clinic's own.")] = "",
) -> None:
    """Write the sign-up form for a page of the clinic's own site: HTML to paste there.

    Only pages of the website in newsletter.toml, and of FORM_ORIGINS, may send it. Write it anew when the wording of
    consent or the topics have changed.
    """
    from newsletter.errors import Refused
    from newsletter.languages import find_language, spoken_languages
    from newsletter.public.embedding import write_form
    from newsletter.subscribers.offer import read_offer

    settings = load_settings()
    spoken = find_language(language or settings.clinic.language)
    if spoken is None:
        raise Refused(f"The form is not there in `{language}`. Languages: {', '.join(spoken_languages())}.")
    offer = read_offer(settings.workspace, language=settings.clinic.language)
    say(write_form(settings, offer, spoken).rstrip())


@app.command()
def unsubscribe(
    address: Annotated[str, typer.Argument(help="Their e-mail address.")],
    reason: Annotated[str, typer.Option("--reason", help="How they asked for it, for the record.")],
    json: Json = False,
) -> None:
    """Take a reader off the list at once, because they asked for it."""
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.subscribers import actions
    from newsletter.subscribers.queries import get_subscriber

    with opened(load_settings()) as database, database.write() as session:
        row = get_subscriber(session, address)
        left = actions.unsubscribe(
            session, row.number, source="staff, at the shell", actor=SHELL, now=SystemClock().now(), reason=reason
        )
    if json:
        say_json({"left": left})
    else:
        say(f"{address} gets no more newsletters." if left else f"{address} had left already; nothing was changed.")


@app.command()
def suppress(
    address: Annotated[str, typer.Argument(help="The e-mail address, of a reader or of nobody here.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it must not be mailed, for the record.")],
    json: Json = False,
) -> None:
    """Never mail an address again, by whatever way it comes back."""
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.subscribers import actions
    from newsletter.subscribers.address import check_address
    from newsletter.subscribers.model import SuppressionReason
    from newsletter.wiring import suppression_key

    settings = load_settings()
    checked = check_address(address)
    with opened(settings) as database, database.write() as session:
        added = actions.suppress(
            session,
            checked,
            reason=SuppressionReason.STAFF,
            source=reason,
            suppression_key=suppression_key(settings),
            actor=SHELL,
            now=SystemClock().now(),
        )
    if json:
        say_json({"suppressed": added})
    else:
        say(f"{checked} is never mailed again." if added else f"{checked} was suppressed already; nothing was changed.")


@app.command()
def sync(json: Json = False) -> None:
    """Compare SendGrid's suppression lists with ours, now: take over theirs, and tell it who left here.

    The scheduler does this by itself, every night and whenever somebody has left.
    """
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.database.instance import HOW_TO_UNLOCK
    from newsletter.errors import Refused
    from newsletter.providers.sendgrid.lists import ListName
    from newsletter.suppression_lists.queries import get_standing
    from newsletter.wiring import make_sync

    settings = load_settings()
    with opened(settings) as database:
        work = make_sync(settings, database, SystemClock(), actor=SHELL)
        if work is None:
            raise Refused("There are no lists to compare: TRANSPORT is not sendgrid.")
        pulled = [work.pull(name) for name in ListName]
        pushed = work.push(all_waiting=True)
        locked = work.is_locked()
        with database.read() as session:
            standing = get_standing(session)
    trouble = [one.trouble for one in pulled if one.trouble]
    if standing.waiting:
        trouble.append(standing.waiting_because)
    if json:
        lists = {one.name.value: {"new": one.new, "unknown": one.unknown, "trouble": one.trouble} for one in pulled}
        told = {"added": pushed.added, "removed": pushed.removed, "waiting": standing.waiting, "locked": locked}
        say_json({"lists": lists, **told, "waiting_because": standing.waiting_because})
    else:
        for one in pulled:
            name = one.name.value.replace("_", " ").capitalize()
            say(f"{name}: {one.new} new; {one.unknown} are nobody here.")
        say(f"Told to SendGrid: {pushed.added} who left, {pushed.removed} who came back. Waiting: {standing.waiting}.")
        if locked:
            say(f"Nothing is told from a database that is locked. {HOW_TO_UNLOCK}")
        for line in dict.fromkeys(trouble):
            say(f"Not all of it was done: {line} It is tried again by itself.")
    if trouble:
        raise typer.Exit(1)


def _as_json(row: Subscriber) -> dict[str, object]:
    return {
        "number": row.number,
        "address": row.address,
        "state": row.state.value,
        "language": row.language,
        "text_only": row.text_only,
        "joined_at": row.joined_at.isoformat() if row.joined_at else None,
    }
