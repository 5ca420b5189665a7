"""Processes are killed and the provider fails: nobody is mailed twice, nobody is forgotten, nobody after leaving.

`python -m benchmarks.chaos` tells the same story at any length.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from tests.chaos.story import Plot, Told, tell

KILLS = 25


def test_kills_and_failures_lose_nobody_and_double_nobody(database_url: str, tmp_path: Path) -> None:
    _live_through(Plot(database_url, 1, KILLS, _any_seed()), tmp_path)


def test_what_is_uncertain_is_settled_by_events_or_shown_though_events_are_lost_and_repeated(
    database_url: str, tmp_path: Path
) -> None:
    told = _live_through(Plot(database_url, 3, KILLS, _any_seed(), people=400, events=True), tmp_path)
    assert told.events["posts taken in"] > 0
    assert told.events["lost"] > 0
    assert told.events["repeated"] > 0


def test_processes_that_all_believe_to_lead_send_no_batch_twice(database_url: str, tmp_path: Path) -> None:
    _live_through(Plot(database_url, 2, KILLS // 2, _any_seed(), people=300, one_leads=False), tmp_path)


def _any_seed() -> int:
    return random.getrandbits(32)


def _live_through(plot: Plot, folder: Path) -> Told:
    sys.stdout.write(f"{plot}\n")
    told = tell(plot, folder)
    sys.stdout.write(f"{told}\n")
    assert told.broken == []
    assert told.kills >= plot.kills
    assert told.people["twice"] == told.people["lost"] == 0
    return told
