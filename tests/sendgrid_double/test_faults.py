"""Failures as they are written, and the order in which they come."""

from __future__ import annotations

import pytest

from newsletter.errors import Refused
from newsletter.sendgrid_double.faults import NUMBERED, Fault, Faults, Kind, read_fault


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("503", Fault(Kind.OVERLOADED)),
        (" cut-after*3 ", Fault(Kind.CUT_AFTER, times=3)),
        ("429-retry-after", Fault(Kind.TOO_MANY_FOR, number=30)),
        ("slow-before:0.5@0.25", Fault(Kind.SLOW_BEFORE, number=0.5, chance=0.25)),
        ("pass*10", Fault(Kind.PASS, times=10)),
        ("503@1", Fault(Kind.OVERLOADED, chance=1)),
    ],
)
def test_a_failure_is_read(spec: str, fault: Fault) -> None:
    assert read_fault(spec) == fault


@pytest.mark.parametrize("spec", ["", "no", "504", "503*x", "503*-1", "503@0", "503@1.5", "503:1", "slow-after:-1"])
def test_a_failure_written_wrong_is_refused_with_what_is_right(spec: str) -> None:
    with pytest.raises(Refused, match=r"such as|These do"):
        read_fault(spec)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_is_written_as_it_is_read(kind: Kind) -> None:
    assert str(read_fault(kind)) == (f"{kind}:{NUMBERED[kind]:g}" if kind in NUMBERED else kind)


def test_those_in_a_row_come_first_and_then_chance_decides() -> None:
    faults = Faults(map(read_fault, ["503*2", "429@1", "pass", "500*0"]))
    assert [faults.next().kind for _ in range(5)] == ["503", "503", "pass", "429", "429"]


def test_chances_add_up() -> None:
    faults = Faults(map(read_fault, ["503@0.25", "429@0.25"]), seed=3)
    kinds = [faults.next().kind for _ in range(4_000)]
    assert 900 < kinds.count(Kind.OVERLOADED) < 1_100
    assert 900 < kinds.count(Kind.TOO_MANY) < 1_100
