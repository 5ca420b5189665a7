"""In whatever order lists are read, SendGrid is told and people act: the end is the same, and nobody is revived."""

from __future__ import annotations

from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.database.session import Database, open_database
from newsletter.providers.sendgrid.lists import ListName
from newsletter.subscribers.model import SubscriberState, SuppressionReason
from tests.sendgrid_double.running import RunningDouble
from tests.suppression_lists.readers import Readers, addresses, make_readers

PEOPLE = addresses(range(1, 5))
ACTS = st.one_of(
    st.tuples(st.just("pull"), st.sampled_from(list(ListName))),
    st.tuples(st.sampled_from(["push", "fail", "night"]), st.just(None)),
    st.tuples(st.sampled_from(["leave", "suppress", "come back", *ListName]), st.sampled_from(PEOPLE)),
)
FAULTS = ("503", "pass", "cut-after", "pass", "429")


def _act(readers: Readers, kind: str, what: str | None) -> None:
    match kind, what:
        case "pull", str(name):
            readers.sync.pull(ListName(name))
        case "push", _:
            readers.sync.push()
        case "night", _:
            readers.clock.go(days=1)
        case "fail", _:
            readers.double.fail_lists(*FAULTS)
        case "leave", str(address):
            readers.leave(address)
        case "suppress", str(address):
            readers.suppress(address)
        case "come back", str(address):
            readers.come_back(address)
        case name, str(address):
            readers.double.list_addresses(**{name: [(address, readers.at())]})
    # Nothing happens in the same second as what was before it.
    readers.clock.go(seconds=2)


def _settle(readers: Readers) -> None:
    readers.double.fail_lists()
    readers.clock.go(days=1)
    for name in ListName:
        assert not readers.sync.pull(name).trouble
    readers.sync.push(all_waiting=True)


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTS, max_size=14))
def test_any_order_ends_in_what_was_said_last_and_most_strongly(
    sqlite_template: Path, shared_double: RunningDouble, acts: list[tuple[str, str | None]]
) -> None:
    shared_double.reset()
    with TemporaryDirectory() as folder:
        file = Path(folder) / "newsletter.sqlite3"
        copy(sqlite_template, file)
        database = open_database(f"sqlite:///{file}")
        _check(make_readers(database, shared_double, len(PEOPLE)), database, acts)
        database.close()


def _check(readers: Readers, database: Database, acts: list[tuple[str, str | None]]) -> None:
    refused: set[str] = set()
    for kind, what in acts:
        before = readers.states()
        _act(readers, kind, what)
        after = readers.states()
        returned = {address for address, state in after.items() if _reads(state) and not _reads(before[address])}
        assert returned <= ({what} if kind == "come back" else set())
        refused = (refused | {a for a, state in after.items() if not _reads(state)}) - returned
    _settle(readers)
    states, listed = readers.states(), readers.double.listed()

    def on(*names: ListName) -> set[str]:
        return {entry["email"] for name in names for entry in listed[name.value]}

    complained, bad = on(ListName.SPAM_REPORTS), on(ListName.BOUNCES, ListName.INVALID_EMAILS)
    by_staff = {what for kind, what in acts if kind == "suppress"}
    assert {a for a, state in states.items() if state is SubscriberState.SUPPRESSED} == complained | bad | by_staff
    reasons = readers.reasons()
    for address in PEOPLE:
        if address in complained:
            assert reasons[address] is SuppressionReason.COMPLAINED
        elif address in by_staff:
            assert reasons[address] is SuppressionReason.STAFF
        elif address in bad:
            assert reasons[address] is SuppressionReason.BOUNCED
        if not _reads(states[address]):
            refused.add(address)
    left = {address for address, state in states.items() if state is SubscriberState.UNSUBSCRIBED}
    assert left | (by_staff - complained) <= on(ListName.UNSUBSCRIBES)
    assert refused == {address for address, state in states.items() if not _reads(state)}

    settled = (states, reasons, readers.entries(), listed)
    _settle(readers)
    assert (readers.states(), readers.reasons(), readers.entries(), readers.double.listed()) == settled


def _reads(state: SubscriberState) -> bool:
    return state in (SubscriberState.ACTIVE, SubscriberState.PAUSED)
