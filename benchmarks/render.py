"""How long the sample month takes from its files to checked HTML and text: CPU and wall, cold and warm.

Run: .venv/bin/python benchmarks/render.py
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import sys
import time
from pathlib import Path

from newsletter.settings import read_settings
from newsletter.wiring import check_mailing, read_named_campaign, render_mailing

ROUNDS = 200


def once() -> int:
    """Read, render and check both mailings of the sample month; returns the bytes of HTML made."""
    settings = read_settings(Path(__file__).parents[1])
    campaign = read_named_campaign(settings, "2026-11")
    made = 0
    for mailing in campaign.mailings:
        mail = render_mailing(settings, campaign, mailing)
        assert check_mailing(settings, campaign, mailing, mail).may_pass
        made += len(mail.html)
    return made


def main() -> None:
    """Print the figures; with --profile also what the time is spent on."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = once()
    wall, cpu = (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3
    print(f"cold  wall {wall:7.1f} ms  cpu {cpu:7.1f} ms")
    walls, cpus = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.process_time()
        once()
        walls.append((time.perf_counter() - wall) * 1e3)
        cpus.append((time.process_time() - cpu) * 1e3)
    walls.sort()
    print(f"warm  wall {statistics.median(walls):7.1f} ms  cpu {statistics.median(cpus):7.1f} ms  (median of {ROUNDS})")
    slow = walls[int(ROUNDS * 0.95)]
    print(f"      wall {slow:7.1f} ms at the 95th percentile; two mailings, {made / 1000:.0f} KB of HTML")
    if "--profile" in sys.argv:
        profile = cProfile.Profile()
        profile.runcall(once)
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
