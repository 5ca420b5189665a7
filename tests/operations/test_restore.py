"""A backup brings everything back, on both databases and from one to the other; what it cannot know is not sent."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from newsletter.database.backup import check_backup, count_rows, list_tables, read_rows, write_backup
from newsletter.database.instance import SendingLocked, find_lock, unlock
from newsletter.database.integrity import find_broken
from newsletter.database.session import Database, open_database
from newsletter.delivery import batches, steering
from newsletter.delivery.model import BatchState, SendState, Verdict
from newsletter.delivery.queries import get_progress, list_uncertain
from newsletter.delivery.tables import Batch
from newsletter.delivery.worker import send_next_batch
from newsletter.editions.model import EditionState
from newsletter.editions.queries import find_damage, get_edition
from newsletter.errors import Refused
from newsletter.migrations.steps import upgrade
from newsletter.operations.restore import restore
from newsletter.schedule.jobs import open_due, plan_all, run_until_idle
from newsletter.subscribers.tables import Subscriber
from tests.factories import (
    LONDON,
    NOON,
    RULES,
    FakeTransport,
    StillClock,
    add_cast,
    add_people,
    edition_for,
    find_cast,
    worker,
)


def rows_of(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with database.read() as session:
        connection = session.connection()
        return {
            str(table.name): sorted((tuple(map(_alike, row)) for row in read_rows(connection, table)), key=repr)
            for table in list_tables(connection)
        }


def _alike(value: object) -> object:
    """A value as both kinds of database give it."""
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value


def begin_a_send(database: Database, people: int = 30) -> tuple[str, FakeTransport, StillClock]:
    """A send of which nothing has gone yet, in batches of ten."""
    edition = edition_for(database, people)
    transport, clock = FakeTransport(), StillClock()
    sender = worker(database, transport, clock)
    open_due(sender, RULES)
    plan_all(sender, RULES)
    return edition, transport, clock


@pytest.fixture
def other(empty_database_url: str) -> Iterator[Database]:
    """A database without tables, of each kind."""
    database = open_database(empty_database_url)
    yield database
    database.close()


def test_everything_comes_back_on_either_kind_of_database(database: Database, other: Database, tmp_path: Path) -> None:
    edition, transport, clock = begin_a_send(database)
    run_until_idle(worker(database, transport, clock), RULES)
    before = rows_of(database)
    file = tmp_path / "all.jsonl.gz"
    write_backup(database, file, NOON)
    database.close()

    restored = restore(other, file, zone=LONDON, now=NOON)

    after = rows_of(other)
    for table in set(before) - {"instance", "audit"}:
        assert after[table] == before[table], table
    assert {row[0] for row in before["audit"]} < {row[0] for row in after["audit"]}
    assert restored.contents.rows == {table: len(rows) for table, rows in before.items()}
    with other.read() as session:
        assert find_broken(session) == []
        assert find_damage(session, get_edition(session, edition).serial) == []
        assert get_progress(session, edition).handed_over == 30
    # A number that was given out once is not given out again.
    with other.write() as session:
        add_people(session, 1, text_only=True)
        assert session.scalar(select(func.max(Subscriber.number))) == 31


def test_of_a_send_under_way_nothing_goes_out_by_itself_after_a_restore(
    database: Database, other: Database, tmp_path: Path
) -> None:
    edition, transport, clock = begin_a_send(database)
    sender = worker(database, transport, clock)
    send_next_batch(sender)
    with database.write() as session:
        claim = batches.claim(session, worker="w", transport="fake", actor=find_cast(session).max, now=clock.now())
        assert claim
        batches.put_in_flight(session, claim, actor=find_cast(session).max, now=clock.now())
    file = tmp_path / "mid.jsonl.gz"
    write_backup(database, file, NOON)
    # What the backup cannot know: the rest went out after it was made.
    run_until_idle(sender, RULES)
    assert len(transport.accepted) >= 20
    database.close()

    restored = restore(other, file, zone=LONDON, now=clock.go(minutes=5))

    assert (restored.doubts.paused, restored.doubts.uncertain) == (1, 10)
    again = FakeTransport()
    run_until_idle(worker(other, again, clock), RULES)
    with other.read() as session:
        progress = get_progress(session, edition)
        assert (progress.state, progress.planned) == (SendState.PAUSED, 0)
        assert (progress.handed_over, progress.uncertain) == (10, 20)
        assert find_lock(session).startswith("it was restored")
        with pytest.raises(SendingLocked):
            steering.resume(session, edition, actor=find_cast(session).max, now=NOON, late_after=RULES.late_after)
    with other.write() as session:
        unlock(session, actor=find_cast(session).max, now=clock.now())
    run_until_idle(worker(other, again, clock), RULES)
    assert again.batches == []

    # A person finds out, and the send goes on to its end.
    with other.write() as session:
        most = find_cast(session).max
        (first, _), (second, _) = list_uncertain(session, edition)
        steering.settle_uncertain(session, edition, first.id, Verdict.SENT, actor=most, now=clock.now())
        steering.settle_uncertain(session, edition, second.id, Verdict.SEND_AGAIN, actor=most, now=clock.now())
        steering.resume(session, edition, actor=most, now=clock.now(), late_after=RULES.late_after)
    run_until_idle(worker(other, again, clock), RULES)
    with other.read() as session:
        progress = get_progress(session, edition)
    assert (progress.state, progress.handed_over, len(again.accepted)) == (SendState.FINISHED, 30, 10)


def test_a_send_that_was_being_planned_is_uncertain_as_a_whole(
    database: Database, other: Database, tmp_path: Path
) -> None:
    edition = edition_for(database, 25)
    open_due(worker(database, FakeTransport(), StillClock()), RULES)
    file = tmp_path / "planning.jsonl.gz"
    write_backup(database, file, NOON)
    restored = restore(other, file, zone=LONDON, now=NOON)
    assert restored.doubts.uncertain == 25
    with other.read() as session:
        progress = get_progress(session, edition)
    assert (progress.state, progress.planned, progress.uncertain) == (SendState.PAUSED, 0, 25)
    assert progress.batches == {BatchState.UNCERTAIN: 3}


def test_what_was_scheduled_is_held_since_it_may_have_gone_out(
    database: Database, other: Database, tmp_path: Path
) -> None:
    edition = edition_for(database, 3)
    file = tmp_path / "scheduled.jsonl.gz"
    write_backup(database, file, NOON)
    restore(other, file, zone=LONDON, now=NOON)
    with other.write() as session:
        unlock(session, actor=find_cast(session).max, now=NOON)
    transport = FakeTransport()
    run_until_idle(worker(other, transport, StillClock()), RULES)
    with other.read() as session:
        row = get_edition(session, edition)
    assert row.state is EditionState.HELD
    assert row.note == "restored from a backup of 2026-11-03 12:00 UTC; it may have gone out since"
    assert transport.batches == []


def test_a_backup_is_of_one_instant_while_others_write(database: Database, other: Database, tmp_path: Path) -> None:
    edition, transport, clock = begin_a_send(database, 200)
    sender = worker(database, transport, clock)
    sending = threading.Thread(target=run_until_idle, args=(sender, RULES))
    sending.start()
    file = tmp_path / "while.jsonl.gz"
    write_backup(database, file, NOON)
    sending.join()
    assert len(transport.accepted) == 200
    restore(other, file, zone=LONDON, now=NOON)
    with other.read() as session:
        progress = get_progress(session, edition)
        for batch in session.scalars(select(Batch)):
            assert batch.people == batch.handed_over + batch.refused + batch.left_out + batch.uncertain
    assert progress.handed_over + progress.uncertain == 200


def test_a_backup_of_an_older_step_is_brought_up_to_date(
    empty_database_url: str, database: Database, tmp_path: Path
) -> None:
    old = open_database(empty_database_url)
    upgrade(old.engine, "0001")
    with old.engine.begin() as connection:
        people = next(table for table in list_tables(connection) if table.name == "subscriber")
        one = {"state": "active", "address": "ann@example.org", "address_key": "ann@example.org", "language": "en"}
        when = NOON if not old.is_sqlite else NOON.replace(tzinfo=None)
        connection.execute(insert(people), {**one, "text_only": False, "added_at": when, "joined_at": when})
    file = tmp_path / "old.jsonl.gz"
    assert write_backup(old, file, NOON).step == "0001"
    old.close()
    restore(database, file, zone=LONDON, now=NOON)
    with database.read() as session:
        assert session.scalars(select(Subscriber.address)).all() == ["ann@example.org"]
        assert session.scalars(select(Subscriber.joined_at)).all() == [NOON]


def test_a_database_with_rows_is_never_overwritten(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        add_cast(session)
    file = tmp_path / "some.jsonl.gz"
    write_backup(database, file, NOON)
    before = rows_of(database)
    with pytest.raises(Refused, match="not empty"):
        restore(database, file, zone=LONDON, now=NOON)
    assert rows_of(database) == before
    with pytest.raises(Refused, match="is there already"):
        write_backup(database, file, NOON)


def sealed(lines: list[bytes]) -> bytes:
    """A backup of these lines whose checksum fits."""
    body = b"".join(lines[:-1])
    end = {**json.loads(lines[-1]), "sha256": hashlib.sha256(body).hexdigest()}
    return gzip.compress(body + json.dumps(end).encode() + b"\n")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_is_not_whole_is_refused(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        add_cast(session)
    file = tmp_path / "whole.jsonl.gz"
    write_backup(database, file, NOON)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "whole" in path.name] == ["whole.jsonl.gz"]
    whole = file.read_bytes()
    lines = gzip.decompress(whole).splitlines(keepends=True)
    for name, content in {
        "cut off": whole[: len(whole) // 2],
        "changed": gzip.compress(b"".join(lines).replace(b"Rhea", b"Rita")),
        "short of a row": gzip.compress(b"".join(lines[:3] + lines[4:])),
        "short of its end": gzip.compress(b"".join(lines[:-1])),
        "empty": b"",
        "something else": b"hello",
        "not ours": gzip.compress(b"[1]\n{}\n"),
    }.items():
        bad = tmp_path / "bad.jsonl.gz"
        bad.write_bytes(content)
        with pytest.raises(Refused, match=r"not a backup|damaged"):
            check_backup(bad)
        assert bad.exists(), name
    bad.write_bytes(sealed([lines[0].replace(b":1,", b":2,"), *lines[1:]]))
    with pytest.raises(Refused, match="newer version"):
        check_backup(bad)


def test_a_restore_that_fails_leaves_the_database_as_it_was(
    database: Database, other: Database, tmp_path: Path
) -> None:
    with database.write() as session:
        add_cast(session)
    file = tmp_path / "good.jsonl.gz"
    write_backup(database, file, NOON)
    # Whole by its checksum, and with a row that no database takes: two people with one address.
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if b'"staff_member"' in line)
    lines.insert(at + 1, lines[at + 1])
    end = json.loads(lines[-1])
    end["rows"]["staff_member"] += 1
    file.write_bytes(sealed([*lines[:-1], json.dumps(end).encode()]))
    with pytest.raises(Exception, match=r"UNIQUE|duplicate key"):
        restore(other, file, zone=LONDON, now=NOON)
    with other.engine.connect() as connection:
        assert count_rows(connection) == {}
