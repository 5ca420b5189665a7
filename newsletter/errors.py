"""Everything that can be refused, as one tree.

NewsletterError                what happened, and what to do next, in the user's words
├── SettingsFaults             newsletter.toml, .env or the environment cannot be used
├── DefinitionFaults           files that staff edit are wrong: every fault, with file, line and field
├── TemplateFault              a template of the clinic cannot be rendered
├── NotFound                   a named campaign, mailing, edition or person is not there
├── Refused                    a rule says no: wrong state, wrong person, too late
└── ImportRefused              a file brought from outside cannot be read as what it should be

A command that meets one of these prints its message and exits 1; anything else is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class NewsletterError(Exception):
    """Something was refused; the message says what happened and what to do next."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong in one file: where, what, and how to mend it.

    `file` is relative to the workspace; `line` counts from 1 and is 0 where no line can be named;
    `field` is a path such as `mailings[2].items[1].title`, empty for the file as a whole.
    """

    file: str
    line: int
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {f'{self.field}: ' if self.field else ''}{self.problem} {self.remedy}".rstrip()


class FaultList(NewsletterError):
    """Several faults found in one reading; the message lists them all, one a line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(map(str, self.faults)))


class SettingsFaults(FaultList):
    """The settings cannot be used; nothing was started."""


class DefinitionFaults(FaultList):
    """The files of a campaign cannot be used; nothing of them was taken over."""


class TemplateFault(FaultList):
    """A template cannot be rendered; no mail was made from it."""


class NotFound(NewsletterError):
    """What was named is not there."""


class Refused(NewsletterError):
    """A rule says no; nothing was changed."""


class ImportRefused(NewsletterError):
    """A file brought from outside cannot be read; nothing was taken over."""
