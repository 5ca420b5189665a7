"""Settings that cannot be used are refused by name, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter.errors import SettingsFaults
from newsletter.settings import read_settings


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("COLOUR", "x", "environment: NEWSLETTER_COLOUR: is not a setting"),
        ("TRANSPORT", "pigeon", "environment: NEWSLETTER_TRANSPORT: must be mailbox, sendgrid or smtp"),
        ("BASE_URL", "news.example.org", "is not the address of a site"),
        ("BASE_URL", "http://[x", "is not the address of a site"),
        ("BASE_URL", "http://news.example.org:99999", "is not the address of a site"),
        ("BASE_URL", 'https://news".example.org', "is not the address of a site"),
        ("BASE_URL", "https://news.example .org", "is not the address of a site"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(workspace: Path, name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsFaults) as refused:
        read_settings(workspace, {f"NEWSLETTER_{name}": value})
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"# keys\nthis is no setting\n", ".env:2: cannot be read here"),
        (b"NEWSLETTER_SECRET_KEY='never closed\n", ".env:1: cannot be read here"),
        ("NEWSLETTER_SECRET_KEY=a".encode("utf-16"), ".env:1: is not written in UTF-8 (it looks like UTF-16)"),
        (b"NEWSLETTER_FOO=1\n", ".env: NEWSLETTER_FOO: is not a setting"),
    ],
)
def test_an_env_file_that_cannot_be_read_is_not_passed_over(workspace: Path, content: bytes, words: str) -> None:
    (workspace / ".env").write_bytes(content)
    with pytest.raises(SettingsFaults) as refused:
        read_settings(workspace, {})
    assert str(refused.value).startswith(words)


def test_an_env_file_may_have_comments_quotes_and_windows_line_ends(workspace: Path) -> None:
    (workspace / ".env").write_bytes(b"# keys\r\n\r\nexport NEWSLETTER_SECRET_KEY='a b'  # mine\r\nOTHER=$x\r\n")
    assert read_settings(workspace, {}).machine.secret_key.get_secret_value() == "a b"
