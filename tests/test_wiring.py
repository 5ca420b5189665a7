"""The parts fit the settings, or it is said what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.clock import SystemClock
from newsletter.errors import Refused
from newsletter.settings import read_settings
from newsletter.wiring import make_transport

PUBLIC = {"BASE_URL": "https://news.example.org"}
SMTP = {"TRANSPORT": "smtp", "SMTP_URL": "smtps://clinic:key@mail.example.org"}


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "mailbox"),
        ({**PUBLIC, **SMTP}, "smtp"),
        ({**PUBLIC, "TRANSPORT": "sendgrid", "SENDGRID_API_KEY": "SG.key"}, "sendgrid"),
    ],
)
def test_the_transport_is_the_one_that_is_set(workspace: Path, variables: dict[str, str], name: str) -> None:
    assert _transport(workspace, variables) == name


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({**PUBLIC, "TRANSPORT": "smtp"}, "SMTP_URL is not set"),
        ({**PUBLIC, "TRANSPORT": "sendgrid"}, "SENDGRID_API_KEY is not set"),
        (SMTP, "Nothing is sent for real"),
        ({"TRANSPORT": "smtp", "SMTP_URL": "smtp://localhost"}, "Nothing is sent for real"),
        ({**SMTP, "BASE_URL": "https://10.0.0.5"}, "readers cannot reach it"),
    ],
)
def test_a_transport_that_cannot_be_used_says_what_to_set(
    workspace: Path, variables: dict[str, str], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        _transport(workspace, variables)


def _transport(workspace: Path, variables: dict[str, str]) -> str:
    environ = {f"NEWSLETTER_{name}": value for name, value in variables.items()}
    return make_transport(read_settings(workspace, environ), SystemClock()).name
