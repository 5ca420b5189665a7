"""Runs every check over a draft."""

from __future__ import annotations

from newsletter.preflight.checks import accessibility, citations, compliance, content, links, people, pictures, size
from newsletter.preflight.model import Check, Draft, Report

CHECKS: tuple[Check, ...] = (
    compliance.check,
    content.check,
    citations.check,
    links.check,
    people.check,
    pictures.check,
    accessibility.check,
    size.check,
)


def run_checks(draft: Draft) -> Report:
    """The report of all checks over one rendered mailing."""
    return Report.of(finding for check in CHECKS for finding in check(draft))
