"""What preflight finds, and whether it lets a mailing pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from html import unescape
from re import findall
from typing import Protocol

from newsletter.campaigns.model import Campaign, Mailing
from newsletter.rendering.brand import Brand
from newsletter.rendering.model import RenderedEmail
from newsletter.settings import Clinic, Sender


class Level(Enum):
    """How much a finding weighs."""

    STOP = "stop"  # the mailing cannot go out like this
    WARN = "warn"  # somebody should look, and may decide otherwise
    NOTE = "note"  # good to know


@dataclass(frozen=True)
class Finding:
    """One result of a check: where, what, and what to do."""

    level: Level
    check: str
    place: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.level.value:4}  {self.place}: {self.problem} {self.remedy}".rstrip()


@dataclass(frozen=True)
class Draft:
    """What the checks look at: one mailing, as written and as rendered with links that begin with `base_url`."""

    campaign: Campaign
    mailing: Mailing
    mail: RenderedEmail
    brand: Brand
    clinic: Clinic
    sender: Sender
    base_url: str

    @property
    def place(self) -> str:
        """Where the mailing stands, as `file:line (name)`."""
        return f"{self.campaign.file}:{self.mailing.line} ({self.mailing.name})"

    def hrefs(self) -> list[str]:
        """The link targets of the HTML, in order, as a browser reads them."""
        return [unescape(href) for href in findall(r'<a\s[^>]*?href="([^"]*)"', self.mail.html)]


class Check(Protocol):
    """One question about a draft."""

    def __call__(self, draft: Draft) -> Iterator[Finding]:
        """Yield what is found."""
        ...


@dataclass(frozen=True)
class Report:
    """All findings of one mailing, the gravest first."""

    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Report:
        """A report in order of weight, each finding once; findings of one weight keep their order."""
        order = list(Level)
        return cls(tuple(sorted(dict.fromkeys(findings), key=lambda finding: order.index(finding.level))))

    @property
    def may_pass(self) -> bool:
        """Whether nothing stops the mailing."""
        return all(finding.level is not Level.STOP for finding in self.findings)
