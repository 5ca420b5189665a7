"""An import as values: what a row wishes, what would come of it, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from newsletter.errors import ImportRefused
from newsletter.subscribers.model import SuppressionReason


class Wish(StrEnum):
    """What a file says of a person, the weakest first: of two rows for one address the one with more weight counts."""

    WANTS = "wants it"
    NOT_ASKED = "not asked"
    """Nobody knows of a yes: never asked, or asked and not confirmed. It changes nobody who is here."""
    LEFT = "left"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


WEAKEST_FIRST = tuple(Wish)
REFUSALS: Mapping[Wish, SuppressionReason] = {
    Wish.LEFT: SuppressionReason.UNSUBSCRIBED,
    Wish.BOUNCED: SuppressionReason.BOUNCED,
    Wish.COMPLAINED: SuppressionReason.COMPLAINED,
}
"""The wishes that are taken over whoever has the address, and the reason under which they are kept."""


def strongest(*wishes: Wish) -> Wish:
    """The wish that counts where there are several."""
    return max(wishes, key=WEAKEST_FIRST.index)


class Verdict(StrEnum):
    """What would come of a row, or has."""

    NEW = "new"
    """Somebody who is not here will be added."""
    TAKEN_OFF = "taken off"
    """A refusal that is taken over: nobody mails this address any more."""
    UNCHANGED = "unchanged"
    """Here already, in whatever state, or refused already."""
    MERGED = "merged"
    """Another row of the import has the same address, and counts."""
    REFUSED = "refused"
    """The row cannot be used, or its person must not be added; the reason says why."""


class Reason(StrEnum):
    """Why a row is unchanged or refused."""

    BROKEN = "broken row"
    TOO_LONG = "too many values"
    NO_ADDRESS = "no address"
    NO_EMAIL = "not an address"
    TWO_ADDRESSES = "two addresses"
    UNREACHABLE = "unreachable"
    UNKNOWN_STATUS = "unknown status"
    UNKNOWN_TOPIC = "unknown topic"
    NOT_ASKED = "did not ask for it"
    SUPPRESSED = "must not be mailed"
    IS_HERE = "is here already"
    HAS_LEFT = "has left here"
    IS_OUT = "is out already"
    CAME_MEANWHILE = "came here meanwhile"


EXPLANATIONS: Mapping[Reason, str] = {
    Reason.BROKEN: "A quotation mark stands where none may be, or is not closed.",
    Reason.TOO_LONG: "There are more values than columns. Check its separators and quotation marks.",
    Reason.NO_ADDRESS: "There is no address.",
    Reason.NO_EMAIL: "This is not an e-mail address.",
    Reason.TWO_ADDRESSES: "There is more than one address. Write each into a row of its own.",
    Reason.UNREACHABLE: "Before the @, most mail services take plain letters only, so this address cannot be reached.",
    Reason.UNKNOWN_STATUS: "Nobody can tell from this status whether they want it. Write subscribed or unsubscribed.",
    Reason.UNKNOWN_TOPIC: "This topic is not in subscribers/topics.yaml. Write the id or the title of one that is.",
    Reason.NOT_ASKED: "The file does not say that they asked for the newsletter. Ask them to sign up.",
    Reason.SUPPRESSED: "The address must not be mailed.",
    Reason.IS_HERE: "They are here already, and are left as they are.",
    Reason.HAS_LEFT: "They have left here. They come back only by signing up themselves.",
    Reason.IS_OUT: "They left, bounced or complained here already.",
    Reason.CAME_MEANWHILE: "They came here after the dry run, and are left as they are.",
}
"""Each reason as a sentence for staff."""
COUNTED: Mapping[Reason, tuple[str, str]] = {
    Reason.BROKEN: ("broken row", "broken rows"),
    Reason.NO_EMAIL: ("not an address", "not addresses"),
    Reason.UNKNOWN_STATUS: ("unknown status", "unknown statuses"),
    Reason.UNKNOWN_TOPIC: ("unknown topic", "unknown topics"),
    Reason.IS_HERE: ("is here already", "are here already"),
    Reason.HAS_LEFT: ("has left here", "have left here"),
    Reason.IS_OUT: ("has left already", "have left already"),
}
"""How a reason is said behind one and behind several; any other is said in its own word behind both."""
NOT_TO_BE_MENDED = frozenset({Reason.NOT_ASKED, Reason.SUPPRESSED, Reason.HAS_LEFT})
"""Why a row is refused whose file may be without a fault: only its person can say otherwise."""


class Doubt(StrEnum):
    """What is worth a look in a row that can be used all the same."""

    TYPO = "perhaps mistyped"
    ROLE = "no single person"
    LANGUAGE = "unknown language"
    TIME = "unreadable time"


DOUBTS: Mapping[Doubt, str] = {
    Doubt.TYPO: "the domain looks mistyped",
    Doubt.ROLE: "the address belongs to a role and not to a person",
    Doubt.LANGUAGE: "the language is not known; they get the clinic's",
    Doubt.TIME: "the time of the consent cannot be read",
}


class ImportState(StrEnum):
    """Where an import stands."""

    READING = "reading"
    SHOWN = "shown"
    """The dry run is done; nobody has been added."""
    APPLYING = "applying"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"
    LAPSED = "lapsed"
    """It was not applied within the days that its rows are kept."""


_STATE = ImportState
ALLOWED_MOVES: Mapping[ImportState, frozenset[ImportState]] = {
    _STATE.READING: frozenset({_STATE.SHOWN, _STATE.LAPSED}),
    _STATE.SHOWN: frozenset({_STATE.APPLYING, _STATE.LAPSED}),
    _STATE.APPLYING: frozenset({_STATE.APPLIED, _STATE.UNDOING}),
    _STATE.APPLIED: frozenset({_STATE.UNDOING}),
    _STATE.UNDOING: frozenset({_STATE.UNDONE}),
    _STATE.UNDONE: frozenset(),
    _STATE.LAPSED: frozenset(),
}

KEPT_DAYS = 7
"""Days for which the rows of an import are kept: to apply it, and then to undo it."""


class Record(NamedTuple):
    """One row of a table as it stands in the file: its line and its cells; `whole` is False for a broken one."""

    line: int
    cells: Sequence[str]
    whole: bool = True


@dataclass(frozen=True)
class Table:
    """A table in a file: its name for people, and its records one after the other, the header among them."""

    name: str
    records: Iterator[Record]


class StagedRow(NamedTuple):
    """A row of an import as it is kept until it is applied; only what is needed of it is in here.

    `table` counts the tables of the file from 0. `doubt` is the first there is, `note` tells all of them. `cells` are
    those that were read, for the file of refused rows; they are kept of nobody else.
    """

    row: int
    table: int
    line: int
    address: str | None
    address_key: str | None
    address_hash: str | None
    wish: Wish
    verdict: Verdict
    reason: Reason | None = None
    note: str = ""
    doubt: Doubt | None = None
    language: str = ""
    topics: list[str] | None = None
    text_only: bool = False
    given_at: datetime | None = None
    cells: Mapping[str, str] | None = None


@dataclass(frozen=True)
class TableUse:
    """What is read of a table and what is not, in words for staff.

    `used` has title and meaning of each column that is read; `advice` says what the file cannot tell by itself.
    """

    name: str
    format: str
    wish: Wish
    used: tuple[tuple[str, str], ...] = ()
    dropped: tuple[str, ...] = ()
    advice: str = ""


@dataclass
class Counts:
    """How many rows there are of each kind; every row is counted once under its verdict."""

    rows: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, dict[str, int]] = field(default_factory=dict)
    doubts: dict[str, int] = field(default_factory=dict)


MAX_UNPACKED = 1_000_000_000
"""Bytes that a file may have when it is unpacked: two and a half million people with all of Mailchimp's columns."""
MAX_RATIO = 200
"""How many times larger a file may get by unpacking; lists of people get 5 to 30 times as large."""
RATIO_COUNTS_FROM = 10_000_000
"""Bytes up to which nobody asks for the ratio."""
MAX_MEMBERS = 20_000
"""Files in an archive; Substack's have one for each post."""
MAX_ROWS = 5_000_000
MAX_TABLES = 100
MAX_BLANK_ROWS = 2_000_000
"""Blank rows in a row: Excel keeps 1,048,576 where somebody has formatted a whole column."""
MAX_COLUMNS = 1_000
MAX_CELL = 1_000_000
"""Letters in a cell."""


def refuse(name: str, problem: str, remedy: str) -> ImportRefused:
    """A refusal of a whole file: its name, what is wrong with it, and what to do."""
    return ImportRefused(f"{name} {problem} Nothing was imported. {remedy}")
