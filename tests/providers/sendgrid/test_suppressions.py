"""SendGrid's lists over a real line: whole, whatever vanishes meanwhile, and every failure is a plain refusal."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from newsletter.providers.sendgrid.lists import ListName, ListsRefused, ListsUnanswered
from newsletter.providers.sendgrid.suppressions import PAGE, SendGridLists
from tests.factories import NOON, StillClock
from tests.sendgrid_double.running import KEY, RunningDouble, running_double

START = NOON - timedelta(days=30)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDouble]:
    with running_double(tmp_path_factory.mktemp("double")) as double:
        yield double


@pytest.fixture
def double(shared: RunningDouble) -> RunningDouble:
    shared.reset()
    return shared


def lists_of(double: RunningDouble, key: str = KEY) -> SendGridLists:
    return SendGridLists(key, double.host, StillClock(), timeout=2, pause=0)


def read_all(lists: SendGridLists, name: ListName = ListName.BOUNCES) -> list[tuple[str, datetime]]:
    return [(entry.address, entry.since) for page in lists.pages(name, START, NOON) for entry in page]


def test_a_list_is_read_whole_however_its_entries_lie_in_time(double: RunningDouble) -> None:
    spread = [(f"a{n}@example.org", int(START.timestamp()) + 37 * n) for n in range(1_300)]
    one_second = [(f"b{n}@example.org", int(NOON.timestamp())) for n in range(1_200)]
    before, after = ("old@example.org", int(START.timestamp()) - 1), ("new@example.org", int(NOON.timestamp()) + 1)
    double.list_addresses(bounces=[*spread, *one_second, before, after], blocks=[("blocked@example.org", spread[0][1])])
    found = read_all(lists_of(double))
    assert set(found) == {(address, datetime.fromtimestamp(at, UTC)) for address, at in (*spread, *one_second)}
    assert all(read_all(lists_of(double), name) == [] for name in ListName if name is not ListName.BOUNCES)


def test_what_vanishes_between_two_pages_hides_nothing_else(double: RunningDouble) -> None:
    at = int(NOON.timestamp())
    everybody = [f"b{n:04}@example.org" for n in range(2 * PAGE)]
    double.list_addresses(unsubscribes=[(address, at) for address in everybody])
    pages = lists_of(double).pages(ListName.UNSUBSCRIBES, NOON, NOON)
    found = {entry.address for entry in next(pages)}
    gone = everybody[: PAGE // 2]
    for address in gone[:40]:
        lists_of(double).remove(address, None)
    found |= {entry.address for page in pages for entry in page}
    assert found == set(everybody)


def test_adding_and_removing_twice_is_once(double: RunningDouble) -> None:
    double.list_addresses(groups=[7])
    lists = lists_of(double)
    odd = "o'neil+a/b?c#d%e@example.org"
    for group in (None, 7):
        for _ in range(2):
            lists.add(["ann@example.org", odd], group)
    listed = double.listed()
    assert [entry["email"] for entry in listed["unsubscribes"]] == listed["groups"]["7"] == ["ann@example.org", odd]
    for group in (None, 7):
        for _ in range(2):
            lists.remove(odd, group)
    listed = double.listed()
    assert [entry["email"] for entry in listed["unsubscribes"]] == listed["groups"]["7"] == ["ann@example.org"]


def test_a_group_that_is_gone_makes_nobody_leave_everything(double: RunningDouble) -> None:
    with pytest.raises(ListsUnanswered, match="no unsubscribe group 7"):
        lists_of(double).add(["ann@example.org"], 7)
    assert double.listed()["unsubscribes"] == []


def test_an_address_that_sendgrid_does_not_take_is_refused_and_no_outage(double: RunningDouble) -> None:
    with pytest.raises(ListsRefused, match="valid address"):
        lists_of(double).add(["ann@example.org", "nobody"], None)
    assert double.listed()["unsubscribes"] == []


@pytest.mark.parametrize(
    ("fault", "told", "wait"),
    [
        ("429", "slow down", 30),
        ("429-retry-after:90", "slow down", 90),
        ("401", "SENDGRID_API_KEY", None),
        ("credits", "no credit", None),
        ("413", "HTTP 413", None),
        ("500", "answered 500", None),
        ("503-after", "answered 503", None),
        ("cut-before", "cannot be reached", None),
        ("cut-after", "cannot be reached", None),
        ("slow-before:9", "timed out", None),
    ],
)
def test_every_failure_is_told_in_words(double: RunningDouble, fault: str, told: str, wait: int | None) -> None:
    double.fail_lists(fault)
    with pytest.raises(ListsUnanswered, match=told) as failed:
        lists_of(double).add(["ann@example.org"], None)
    assert failed.value.not_before == (NOON + timedelta(seconds=wait) if wait else None)
    assert "@" not in str(failed.value)
    lists_of(double).add(["ann@example.org"], None)
    assert len(double.listed()["unsubscribes"]) == 1


def test_a_wrong_key_is_told(double: RunningDouble) -> None:
    with pytest.raises(ListsUnanswered, match="refuses the key"):
        read_all(lists_of(double, key="SG.other"))


def test_nobody_who_listens_is_told(tmp_path: Path) -> None:
    with running_double(tmp_path) as gone:
        gone.kill()
        with pytest.raises(ListsUnanswered, match=r"cannot be reached: .*refused"):
            read_all(lists_of(gone))


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that says the same to everybody, and keeps what it was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return
                with line:
                    asked.append(_whole_request(line))
                    line.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


def _whole_request(line: socket.socket) -> bytes:
    """A request with its body, which may come in a packet of its own."""
    read = b""
    while True:
        read += line.recv(65_536)
        head, found, body = read.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if found and len(body) >= int(length[1] if length else 0):
            return read


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_the_key_follows_no_redirect(status: str) -> None:
    with answering(http("200 OK", b"[]")) as (elsewhere, asked_elsewhere):
        moved = http(f"{status} Moved", b"", f"Location: {elsewhere}/v3/suppression/bounces")
        with answering(moved) as (host, asked), pytest.raises(ListsUnanswered, match="redirect"):
            read_all(SendGridLists(KEY, host, StillClock(), pause=0))
    assert (len(asked), asked_elsewhere) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [
        http("200 OK", b"<html>Welcome</html>"),
        http("200 OK", b"{}"),
        http("200 OK", b"null"),
        http("200 OK", b'[{"email": "a@example.org"}]'),
        http("200 OK", b'[{"email": "a@example.org", "created": 1e300}]'),
        http("200 OK", b'[{"email": 7, "created": 1}]'),
        http("202 Accepted", b"[]"),
        http("500 Broken", b"<html>\xff</html>"),
        http("404 Not Found", b""),
        http("418 Odd", b"[1]"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[",
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
)
def test_an_answer_that_makes_no_sense_is_no_answer(answer: bytes) -> None:
    with answering(answer) as (host, _), pytest.raises(ListsUnanswered):
        read_all(SendGridLists(KEY, host, StillClock(), pause=0))


def test_a_bounce_may_have_a_broken_second() -> None:
    with answering(http("200 OK", b'[{"email": "a@example.org", "created": 1793620800.9, "more": {}}]')) as (host, _):
        found = read_all(SendGridLists(KEY, host, StillClock(), pause=0))
    assert found == [("a@example.org", datetime.fromtimestamp(1_793_620_800, UTC))]
