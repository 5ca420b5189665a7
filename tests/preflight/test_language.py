"""What preflight says of a letter in another language than the templates."""

from __future__ import annotations

from dataclasses import replace

from newsletter.settings import read_settings
from newsletter.wiring import check_mailing, read_named_campaign, render_mailing
from tests.node import ROOT


def test_a_letter_whose_own_words_are_in_another_language_is_told() -> None:
    settings = read_settings(ROOT, {})
    campaign = read_named_campaign(settings, "2026-11")
    french = replace(campaign, language="fr")
    for month, told in ((campaign, False), (french, True)):
        mailing = month.mailings[0]
        report = check_mailing(settings, month, mailing, render_mailing(settings, month, mailing))
        assert any("still English" in finding.problem for finding in report.findings) is told
        assert report.may_pass
