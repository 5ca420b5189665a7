"""Commands for lists of readers: subscribers import, imports, export."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from newsletter.cli.console import Json, load_settings, people, say, say_json
from newsletter.cli.rows import opened

if TYPE_CHECKING:
    from newsletter.database.session import Database
    from newsletter.settings import Settings
    from newsletter.subscriber_import.model import Verdict
    from newsletter.subscriber_import.runner import Importer
    from newsletter.subscriber_import.tables import Import, ImportRow

SHOWN_ROWS = 20
"""Rows that a dry run names one by one; the others are in the file of refused rows, or in `imports NUMBER`."""
LISTED_ROWS = 50
"""Rows that `imports NUMBER` names one by one; the others are in its `--json`."""


def register(readers: typer.Typer) -> None:
    """Add these commands to those for readers."""
    readers.command("import")(import_)
    readers.command("imports")(imports)
    readers.command("export")(export)


def import_(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="CSV, TSV, .xlsx, .gz, or the .zip of Mailchimp or Substack; several are read as one.",
        ),
    ] = None,
    consent_source: Annotated[
        str,
        typer.Option("--consent-source", help="Where these people agreed, such as 'sign-up form at Mailchimp, 2024'."),
    ] = "",
    status: Annotated[
        str,
        typer.Option(
            "--status", help="What everybody in the file is, when it does not say: left, bounced, complained."
        ),
    ] = "",
    refused: Annotated[
        Path | None, typer.Option("--refused", metavar="FILE", help="Where to write the rows that are refused.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Apply it at once, without a look at the dry run.")] = False,
    apply: Annotated[
        int | None, typer.Option("--apply", metavar="NUMBER", help="Do what the dry run with this number has shown.")
    ] = None,
    undo: Annotated[
        int | None, typer.Option("--undo", metavar="NUMBER", help="Take away whom this import added.")
    ] = None,
    json: Json = False,
) -> None:
    """Bring in a list of readers: first a dry run that shows what would happen, then --apply; --undo takes it back.

    Nobody who is here is changed, but that whoever left, bounced or complained elsewhere is not mailed here either.
    """
    if sum((bool(files), apply is not None, undo is not None)) != 1:
        raise typer.BadParameter("Name a file, or an import with --apply or --undo.")
    settings = load_settings()
    with opened(settings) as database:
        importer = _importer(database)
        if apply is not None:
            _tell(settings, database, importer.apply(apply), json=json)
        elif undo is not None:
            _tell(settings, database, importer.undo(undo), json=json)
        else:
            row = _stage(settings, importer, files or [], consent_source, status)
            kept = _write_refused(database, row, refused or _beside(files or [], row))
            if yes:
                if not json:
                    _tell_shown(database, row)
                row = importer.apply(row.number)
            _tell(settings, database, row, json=json, refused=kept)


def imports(
    number: Annotated[
        int | None, typer.Argument(help="One of them, with its rows that are taken off, merged or refused.")
    ] = None,
    json: Json = False,
) -> None:
    """Show all imports, or one of them."""
    from newsletter.clock import in_clinic_time
    from newsletter.subscriber_import.queries import get_import, list_imports, list_rows

    settings = load_settings()
    with opened(settings) as database:
        if number is not None:
            with database.read() as session:
                row = get_import(session, number)
                if json:
                    say_json({**_as_json(row), "by_row": [_row_as_json(one) for one in list_rows(session, number)]})
                    return
            _tell_row_by_row(database, row)
            return
        with database.read() as session:
            found = list_imports(session)
    if json:
        say_json([_as_json(row) for row in found])
        return
    for row in found:
        say(f"{row.number}  {row.state.value}, {in_clinic_time(row.started_at, settings.clinic.zone)}  {row.files}")
    if not found:
        say("None yet. The first: newsletter subscribers import FILE --consent-source 'where they agreed'")


def export(
    file: Annotated[Path, typer.Argument(help="The .csv or .xlsx file to write; it must not be there yet.")],
    state: Annotated[str, typer.Option("--state", help="Only those who are active, paused, unsubscribed …")] = "",
    json: Json = False,
) -> None:
    """Write readers into a CSV or Excel file that only you can read and that can be imported again. It is on record."""
    from newsletter.cli.subscribers import read_state
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.subscriber_import.export import export_readers

    wanted = read_state(state)
    with opened(load_settings()) as database:
        count = export_readers(database, file, state=wanted, actor=SHELL, clock=SystemClock())
    if json:
        say_json({"file": str(file), "people": count})
    else:
        say(f"{people(count)} in {file}. It has addresses: keep it safe, and delete it when it has served.")


def _importer(database: Database) -> Importer:
    from newsletter.clock import SystemClock
    from newsletter.database.audit import SHELL
    from newsletter.subscriber_import.runner import Importer, tell_nobody

    return Importer(database, SystemClock(), SHELL, _show_progress if sys.stderr.isatty() else tell_nobody)


def _show_progress(done: int, of: int) -> None:
    width = 30
    bar = f"[{'#' * (width * done // of):{width}}] {done:,} of {of:,} rows" if of else f"Read {done:,} rows"
    sys.stderr.write(f"\r\033[K{bar}" + ("\r\033[K" if done == of else ""))
    sys.stderr.flush()


def _stage(settings: Settings, importer: Importer, files: list[Path], consent_source: str, status: str) -> Import:
    from newsletter.errors import Refused
    from newsletter.subscriber_import.choices import spell_topics
    from newsletter.subscriber_import.model import Wish
    from newsletter.subscriber_import.rows import Terms
    from newsletter.subscribers.topics import read_topics
    from newsletter.wiring import suppression_key

    try:
        wish = Wish(status or Wish.WANTS)
    except ValueError:
        raise Refused(f"`{status}` is not a status. Statuses: {', '.join(Wish)}.") from None
    topics = spell_topics(read_topics(settings.workspace).values())
    terms = Terms(settings.clinic.language, topics, suppression_key(settings))
    return importer.stage(files, terms, consent_source=consent_source, controller=settings.clinic.name, wish=wish)


def _beside(files: list[Path], row: Import) -> Path:
    return files[0].with_name(f"{files[0].name.partition('.')[0]}-refused-{row.number}.csv")


def _write_refused(database: Database, row: Import, target: Path) -> Path | None:
    """Write the rows that were refused, when there are any."""
    from newsletter.errors import Refused
    from newsletter.subscriber_import.export import write_refused

    if not row.counts["verdicts"].get("refused"):
        return None
    try:
        write_refused(database, row.number, target)
    except Refused as error:
        raise Refused(
            f"{error} The dry run is kept: newsletter subscribers imports {row.number} --json shows its rows, "
            f"and newsletter subscribers import --apply {row.number} goes on."
        ) from None
    return target


def _tell(settings: Settings, database: Database, row: Import, *, json: bool, refused: Path | None = None) -> None:
    if json:
        say_json({**_as_json(row), "refused_rows_in": str(refused) if refused else None})
        return
    say(f"Import {row.number} of {row.files}: {row.state.value}.")
    _OF_STATE.get(row.state.value, _tell_shown)(database, row)
    if refused:
        mend = "Mend and import that file; delete it" if _can_be_mended(row) else "Delete that file"
        say(f"Refused rows, each with its reason: {refused}. {mend} when it has served.")
    if row.state.value == "shown":
        _tell_what_to_do(row)


def _can_be_mended(row: Import) -> bool:
    from newsletter.subscriber_import.model import NOT_TO_BE_MENDED, Reason, Verdict

    reasons = row.counts["reasons"].get(Verdict.REFUSED.value, {})
    return any(Reason(reason) not in NOT_TO_BE_MENDED for reason in reasons)


def _tell_what_to_do(row: Import) -> None:
    verdicts = row.counts["verdicts"]
    if not verdicts.get("new") and not verdicts.get("taken off"):
        say("Nobody can be added from this file; there is nothing to apply.")
        return
    say("Nothing has been changed yet. When this is right:")
    say(f"  newsletter subscribers import --apply {row.number}")


def _tell_shown(database: Database, row: Import) -> None:
    from newsletter.subscriber_import.model import Verdict

    _tell_found(database, row)
    _tell_rows(database, row, [Verdict.REFUSED], SHOWN_ROWS)


def _tell_found(database: Database, row: Import) -> None:
    from newsletter.subscriber_import.model import COUNTED, DOUBTS, EXPLANATIONS, Doubt, Reason, Verdict
    from newsletter.subscriber_import.queries import list_rows

    for table in row.tables:
        _tell_table(table)
    verdicts = row.counts.get("verdicts", {})
    say(f"{_counted(row.counts.get('rows', 0), 'row', 'rows')}:")
    for verdict in Verdict:
        if not verdicts.get(verdict.value):
            continue
        say(f"  {verdicts[verdict.value]:,} {verdict.value}: {_VERDICTS[verdict.value]}")
        for reason, count in row.counts["reasons"].get(verdict.value, {}).items():
            words = COUNTED.get(Reason(reason), (reason, reason))
            say(f"    {_counted(count, *words)}: {EXPLANATIONS[Reason(reason)]}")
    for doubt, count in row.counts.get("doubts", {}).items():
        say(f"  Look again at {count:,}: {DOUBTS[Doubt(doubt)]}.")
    with database.read() as session:
        for one in list_rows(session, row.number, doubtful=True, limit=SHOWN_ROWS):
            say(f"    row {one.line}: {one.address}{f' ({one.note})' if one.note else ''}")


def _tell_rows(database: Database, row: Import, verdicts: Collection[Verdict], limit: int) -> int:
    """Name rows of these verdicts one by one, and give how many."""
    from newsletter.subscriber_import.queries import list_rows

    named = 0
    with database.read() as session:
        for one in list_rows(session, row.number, verdicts=verdicts, limit=limit):
            table = f" of {row.tables[one.table]['name']}" if len(row.tables) > 1 else ""
            why = one.reason or (one.wish if one.verdict.value == "taken off" else "another row has the same address")
            detail = f" ({one.note})" if one.note else ""
            say(f"  Row {one.line}{table} is {one.verdict}: {why}{detail} {_address(one)}".rstrip())
            named += 1
    return named


def _tell_row_by_row(database: Database, row: Import) -> None:
    from newsletter.subscriber_import.model import Verdict

    say(f"Import {row.number} of {row.files}: {row.state.value}.")
    _OF_STATE.get(row.state.value, _tell_found)(database, row)
    verdicts = (Verdict.TAKEN_OFF, Verdict.MERGED, Verdict.REFUSED)
    named = _tell_rows(database, row, verdicts, LISTED_ROWS)
    more = sum(row.counts.get("verdicts", {}).get(verdict.value, 0) for verdict in verdicts) - named
    if more > 0:
        kept = f"{more:,} more: newsletter subscribers imports {row.number} --json" if named else "no longer kept"
        say(f"  {'And' if named else 'Its rows are'} {kept}.")
    if row.state.value == "shown":
        _tell_what_to_do(row)


def _counted(count: int, one: str, several: str) -> str:
    return f"{count:,} {one if count == 1 else several}"


def _tell_table(table: dict[str, Any]) -> None:
    from newsletter.subscriber_import.reading import NOT_READ

    if table["format"] == NOT_READ:
        say(f"{table['name']} is not read: it has no column of addresses.")
        return
    say(f"{table['name']} is read as {table['format']}; unless a row says otherwise, they are: {table['wish']}.")
    say(f"  Read: {', '.join(f'{title} ({meaning})' for title, meaning in table['used'])}.")
    if table["dropped"]:
        say(f"  Not read: {', '.join(table['dropped'])}.")
    if table["advice"]:
        say(f"  {table['advice']}")


def _tell_applied(database: Database, row: Import) -> None:
    done = row.outcome
    off = _counted(done["taken_off"], "address", "addresses")
    say(f"Added {people(done['added'])}. Taken off: {off} that left, bounced or complained.")
    if done["came_meanwhile"]:
        say(f"Came here or was refused after the dry run, and not changed: {people(done['came_meanwhile'])}.")
    say(f"For seven days it can be undone: newsletter subscribers import --undo {row.number}")


def _tell_undone(database: Database, row: Import) -> None:
    say(f"Taken away: {people(row.outcome['removed'])}, who had done nothing yet and were never mailed.")
    if row.outcome["stayed"]:
        say(f"Stayed: {people(row.outcome['stayed'])}, who were mailed, or have chosen something or left themselves.")
    say("Whoever left, bounced or complained by that file is still not mailed: a refusal is never undone.")


def _tell_lapsed(database: Database, row: Import) -> None:
    say("It was not applied in time, and what was read of the file is deleted. Import it again.")


_OF_STATE: dict[str, Callable[[Database, Import], None]] = {
    "applied": _tell_applied,
    "undone": _tell_undone,
    "lapsed": _tell_lapsed,
}
_VERDICTS = {
    "new": "they will be added as active.",
    "taken off": "the file says that they left, bounced or complained, so they are not mailed here either.",
    "unchanged": "nothing is changed.",
    "merged": "another row has the same address; the strongest refusal counts, then the first row.",
    "refused": "they are not added.",
}


def _as_json(row: Import) -> dict[str, Any]:
    instants = ("started_at", "shown_at", "applied_at", "undone_at")
    return {
        "number": row.number,
        "state": row.state.value,
        "files": row.files,
        "consent_source": row.consent_source,
        "tables": row.tables,
        "counts": row.counts,
        "outcome": row.outcome,
        "rows_done": row.done_up_to,
        **{name: at.isoformat() if (at := getattr(row, name)) else None for name in instants},
    }


def _address(row: ImportRow) -> str:
    """The address of a row as far as it is kept: of a refused one as it was written."""
    return row.address or (row.cells or {}).get("address", "")


def _row_as_json(row: ImportRow) -> dict[str, Any]:
    return {
        "row": row.line,
        "table": row.table,
        "address": _address(row) or None,
        "verdict": row.verdict.value,
        "reason": row.reason.value if row.reason else None,
        "doubt": row.doubt.value if row.doubt else None,
        "note": row.note,
        "subscriber": row.subscriber,
    }
