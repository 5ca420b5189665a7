"""What is asked of a running newsletter, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How something stands."""

    OK = "ok"
    WARN = "warn"
    """Somebody should look; sending goes on."""
    STOP = "stop"
    """Sending does not work like this, or not for long."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: how it stands, and what to do where it is not as it should be."""

    name: str
    state: State
    told: str
    remedy: str = ""
