"""The log is one line of JSON an event, tells what was committed, and never holds an address."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.database.audit import SHELL, record
from newsletter.database.session import Database
from newsletter.errors import Refused
from newsletter.log import get_log, mask_addresses, start_logging
from newsletter.schedule.jobs import run_until_idle
from tests.factories import NOON, RULES, FakeTransport, StillClock, edition_for, worker


@pytest.fixture
def lines() -> Iterator[StringIO]:
    """What is logged in a test, as JSON."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = StringIO()
    start_logging("debug", stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def read(stream: StringIO) -> list[dict[str, Any]]:
    """The lines so far."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_moments_of_a_send_are_told_with_ids_alone(database: Database, lines: StringIO) -> None:
    edition = edition_for(database, 15)
    run_until_idle(worker(database, FakeTransport(), StillClock()), RULES)
    told = read(lines)
    assert [line["subject"] for line in told if line["event"] == "send opened"] == [f"edition:{edition}"]
    accepted = [line for line in told if line["event"] == "batch accepted"]
    assert [(line["subject"], line["people"], line["level"]) for line in accepted] == [
        ("batch:1/1", 10, "info"),
        ("batch:1/2", 5, "info"),
    ]
    assert all(line["attempt"].startswith("na") for line in accepted)
    assert "@" not in lines.getvalue()


def test_what_was_rolled_back_is_not_told(database: Database, lines: StringIO) -> None:
    def fail() -> None:
        with database.write() as session:
            record(session, SHELL, NOON, "told in vain", "nothing")
            raise Refused("no")

    with pytest.raises(Refused):
        fail()
    with database.write() as session:
        record(session, SHELL, NOON, "told", "nothing")
    assert [line["event"] for line in read(lines) if line["subject"] == "nothing"] == ["told"]


def test_lines_of_libraries_are_written_alike_and_without_addresses(lines: StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("ann@example.org asked %s", "bob@example.org")
    logging.getLogger("sqlalchemy.engine").info("not worth a line")
    try:
        raise ValueError("550 <cleo@example.org> unknown")
    except ValueError:
        get_log("newsletter.somewhere").exception("it failed", who=["dora@example.org"], to={"eve@example.org": 1})
    first, second = read(lines)
    assert (first["event"], first["level"], first["logger"]) == (
        "(address) asked (address)",
        "warning",
        "uvicorn.error",
    )
    assert second["who"] == ["(address)"]
    assert second["to"] == {"(address)": 1}
    assert "550 <(address)> unknown" in second["exception"]


@example("o'neil@example.org", "")
@given(st.emails(), st.text(max_size=20))
def test_no_address_comes_through_wherever_it_stands(address: str, around: str) -> None:
    line = mask_addresses(
        None, "info", {"event": f"{around} {address} {around}", "a": [address], "b": {address: (address,)}}
    )
    assert address not in repr(line)


def test_at_a_terminal_lines_are_plain(lines: StringIO) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    start_logging("info", terminal)
    get_log("newsletter.here").info("leader taken", worker="w1")
    assert "leader taken" in terminal.getvalue()
    assert "worker=w1" in terminal.getvalue()
