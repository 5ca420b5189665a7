"""The judge of the chaos stories finds each broken promise, or its silence would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from newsletter.delivery.model import AttemptState, BatchState, DeliveryState, Progress, SendState
from newsletter.delivery.tables import Attempt, Batch, Delivery
from newsletter.provider_events.model import Reconciliation
from newsletter.subscribers.model import LeftOut
from tests.chaos.judge import Evidence, broken_promises
from tests.factories import NOON


def _delivery(who: int, state: DeliveryState, reason: str | None = None) -> Delivery:
    return Delivery(edition=1, subscriber=who, batch=1, state=state, reason=reason, attempt="na1")


def _attempt(name: str, state: AttemptState) -> Attempt:
    return Attempt(id=name, edition=1, batch=1, state=state, started_at=NOON)


def _progress(state: SendState, **people: int) -> Progress:
    none = {"planned": 0, "handed_over": 0, "refused": 0, "uncertain": 0}
    left_out = {LeftOut.LEFT: people.pop("left_out", 0)}
    return Progress(
        edition="2026-11-opening-1",
        state=state,
        note="",
        left_out=left_out,
        batches={},
        opened_at=NOON,
        finished_at=None,
        wait_until=None,
        **{**none, **people},
    )


def _status(**people: int) -> Reconciliation:
    states = {**dict.fromkeys(("delivered", "bounced", "dropped", "deferred", "not_heard_of"), 0), **people}
    beside = dict.fromkeys(("silent_for_a_day", "silent_for_three", "complaints", "left"), 0)
    return Reconciliation(
        handed_over=sum(states.values()), **states, **beside, accepted_twice={}, last_post_at=None, gaps=()
    )


def all_went_well() -> Evidence:
    """One has it, as an event told; one left before, one is not known."""
    return Evidence(
        accepted={1: ["na1"]},
        expected=frozenset({1, 2, 3}),
        deliveries=[
            _delivery(1, DeliveryState.DELIVERED),
            _delivery(2, DeliveryState.LEFT_OUT, LeftOut.LEFT.value),
            _delivery(3, DeliveryState.UNCERTAIN),
        ],
        attempts=[_attempt("na1", AttemptState.ACCEPTED)],
        batches=[Batch(edition=1, number=1, state=BatchState.UNCERTAIN, people=3)],
        progress=_progress(SendState.RUNNING, handed_over=1, uncertain=1, left_out=1),
        shown=1,
        status=_status(delivered=1),
        told_of=frozenset({"na1"}),
        left={2: NOON},
    )


def _with_state(evidence: Evidence, who: int, state: DeliveryState, reason: str | None = None) -> Evidence:
    others = [row for row in evidence.deliveries if row.subscriber != who]
    return replace(evidence, deliveries=[*others, _delivery(who, state, reason)])


def test_it_says_nothing_when_all_went_well() -> None:
    assert broken_promises(all_went_well()) == []


BROKEN: dict[str, Callable[[Evidence], Evidence]] = {
    "mailed twice: [1]": lambda e: replace(e, accepted={1: ["na1", "na1"]}),
    "forgotten: [2]": lambda e: replace(e, left={}),
    "mailed and not in the ledger: [4]": lambda e: replace(e, accepted={**e.accepted, 4: ["na1"]}),
    "went before they were on record: ['na7']": lambda e: replace(e, accepted={1: ["na7"]}),
    "in the audience and not in the ledger": lambda e: replace(e, expected=e.expected | {4}),
    "2 was mailed after leaving": lambda e: replace(
        e, accepted={**e.accepted, 2: ["na1"]}, left={2: NOON - timedelta(seconds=1)}
    ),
    "1 has it and is recorded as left out": lambda e: _with_state(e, 1, DeliveryState.LEFT_OUT, "left"),
    "3 has it not and is recorded as handed over": lambda e: _with_state(e, 3, DeliveryState.HANDED_OVER),
    "3 has it not and is recorded as planned": lambda e: _with_state(e, 3, DeliveryState.PLANNED),
    "2 is left out and nobody knows why": lambda e: _with_state(e, 2, DeliveryState.LEFT_OUT),
    "3 was given up by nobody": lambda e: _with_state(e, 3, DeliveryState.LEFT_OUT, LeftOut.NOT_SENT.value),
    "batch 1 is in flight for ever": lambda e: replace(
        e, batches=[Batch(edition=1, number=1, state=BatchState.IN_FLIGHT, people=3)]
    ),
    "1 are uncertain and 0 are shown": lambda e: replace(e, shown=0),
    "the send is finished with 1 uncertain": lambda e: replace(
        e, progress=replace(e.progress, state=SendState.FINISHED)
    ),
    "handed over: 2 are told and 1 found": lambda e: replace(e, progress=replace(e.progress, handed_over=2)),
    "in batches: 2 are told and 3 found": lambda e: replace(
        e, batches=[Batch(edition=1, number=1, state=BatchState.UNCERTAIN, people=2)]
    ),
    "delivered: 0 are told and 1 found": lambda e: replace(e, status=_status(not_heard_of=1)),
    "accepted: 2 are told and 1 found": lambda e: replace(e, status=_status(delivered=1, bounced=1)),
    "na0 was told of and is uncertain": lambda e: replace(
        e, attempts=[_attempt("na0", AttemptState.UNCERTAIN), *e.attempts], told_of=frozenset({"na0"})
    ),
    "1 was told of and is uncertain": lambda e: _with_state(e, 1, DeliveryState.UNCERTAIN),
    "1 was told of and is left out": lambda e: _with_state(e, 1, DeliveryState.LEFT_OUT, LeftOut.NOT_SENT.value),
    "proved by events and never accepted: ['na2']": lambda e: replace(
        e, attempts=[*e.attempts, Attempt(id="na2", edition=1, batch=1, state=AttemptState.ACCEPTED, proved_at=NOON)]
    ),
    "batch 1 was repeated by itself after na0": lambda e: replace(
        e, attempts=[_attempt("na0", AttemptState.UNCERTAIN), *e.attempts]
    ),
}


@pytest.mark.parametrize("promise", BROKEN)
def test_it_finds_each_broken_promise(promise: str) -> None:
    found = broken_promises(BROKEN[promise](all_went_well()))
    assert [sentence for sentence in found if sentence.startswith(promise)]


def test_what_a_person_said_goes_out_again_is_no_repeat_by_itself() -> None:
    evidence = BROKEN["batch 1 was repeated by itself after na0"](all_went_well())
    assert broken_promises(replace(evidence, sent_again=frozenset({"na0"}))) == []
