"""The failures that the double can play, and when: for the next requests in a row, or now and then by chance.

A failure is written `KIND[:NUMBER][*TIMES]` or `KIND[:NUMBER]@CHANCE`: `503`, `cut-after*2`, `slow-before:2.5@0.1`.
"""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from newsletter.errors import Refused


class Kind(StrEnum):
    """What goes wrong with a request."""

    PASS = "pass"  # noqa: S105 (no password)
    """Nothing: to let some through before the next failure."""
    TOO_MANY = "429"
    """Asks to slow down, and says nothing more."""
    TOO_MANY_UNTIL = "429-reset"
    """Asks to slow down, with X-RateLimit-Reset so many seconds from now."""
    TOO_MANY_FOR = "429-retry-after"
    """Asks to slow down, with Retry-After of so many seconds."""
    BAD_KEY = "401"
    NO_CREDIT = "credits"
    """401 with a good key: "Maximum credits exceeded"."""
    BAD_PERSON = "400"
    """Refuses everybody for the personalization with this number."""
    BAD_REQUEST = "400-unnamed"
    """Refuses everybody and names nobody."""
    FORBIDDEN = "403"
    TOO_LARGE = "413"
    BROKEN = "500"
    OVERLOADED = "503"
    BROKEN_AFTER = "500-after"
    """Accepts the mails, and answers 500 all the same."""
    OVERLOADED_AFTER = "503-after"
    CUT_EARLY = "cut-early"
    """Cuts the line when the head of the request is there, before its body is read."""
    CUT_BEFORE = "cut-before"
    """Reads the whole request, accepts nothing, and cuts the line without an answer."""
    CUT_AFTER = "cut-after"
    """Accepts the mails, and cuts the line without an answer."""
    LAST_OF_WINDOW = "202-reset"
    """Accepts, and says that nothing more is allowed until so many seconds from now."""
    SLOW_BEFORE = "slow-before"
    """Waits so many seconds, then accepts and answers."""
    SLOW_AFTER = "slow-after"
    """Accepts, waits so many seconds, then answers."""


NUMBERED = {
    Kind.TOO_MANY_UNTIL: 30.0,
    Kind.TOO_MANY_FOR: 30.0,
    Kind.BAD_PERSON: 0.0,
    Kind.LAST_OF_WINDOW: 30.0,
    Kind.SLOW_BEFORE: 1.0,
    Kind.SLOW_AFTER: 1.0,
}
"""The kinds that take a number, and what it is when none is given."""


@dataclass(frozen=True)
class Fault:
    """One failure; `chance` is 0 for one that is played `times` times in its turn."""

    kind: Kind
    number: float = 0.0
    times: int = 1
    chance: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind}:{self.number:g}" if self.kind in NUMBERED else self.kind.value


NONE = Fault(Kind.PASS)

_SPEC = re.compile(
    r"(?P<kind>[0-9a-z-]+)(?::(?P<number>\d{1,6}(?:\.\d{1,3})?))?(?:\*(?P<times>\d{1,6})|@(?P<chance>\d(?:\.\d{1,6})?))?"
)


def read_fault(spec: str) -> Fault:
    """A failure as it is written; raises Refused."""
    found = _SPEC.fullmatch(spec.strip())
    try:
        kind = Kind(found["kind"] if found else "")
    except ValueError:
        raise Refused(
            f"`{spec}` is not a failure. Write KIND[:NUMBER][*TIMES] or KIND[:NUMBER]@CHANCE, such as 503*2 or "
            f"slow-before:2@0.1. Kinds: {', '.join(Kind)}."
        ) from None
    assert found
    if found["number"] and kind not in NUMBERED:
        raise Refused(f"`{spec}`: {kind} takes no number. These do: {', '.join(NUMBERED)}.")
    chance = float(found["chance"] or 0)
    if found["chance"] and not 0 < chance <= 1:
        raise Refused(f"`{spec}`: a chance is more than 0 and at most 1, such as {kind}@0.1.")
    number = float(found["number"]) if found["number"] else NUMBERED.get(kind, 0.0)
    return Fault(kind, number, int(found["times"] or 1), chance)


class Faults:
    """Says for each request which failure it meets: those in a row first, then chance.

    The same seed tells the same story to the same requests.
    """

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        given = list(faults)
        self._row = deque(fault for fault in given if not fault.chance and fault.times)
        self._chances = [fault for fault in given if fault.chance]
        self._random = random.Random(seed)  # noqa: S311 (a story to be told again, no secret)

    def next(self) -> Fault:
        """The failure of the next request; `NONE` when it goes well."""
        if self._row:
            fault = self._row.popleft()
            if fault.times > 1:
                self._row.appendleft(replace(fault, times=fault.times - 1))
            return fault
        drawn = self._random.random()
        for fault in self._chances:
            if drawn < fault.chance:
                return fault
            drawn -= fault.chance
        return NONE
