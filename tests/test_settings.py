"""Settings that cannot be used are refused by name, before anything is started."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from newsletter.addresses import Security, SmtpServer, read_smtp_url
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
        ("BASE_URL", "https://müller.example.org", "Write the name of the site as xn--mller-kva.example.org."),
        ("BASE_URL", "https://www.example.org/news/", "goes on after the name of the site"),
        ("SENDGRID_HOST", "https://[::1", "environment: NEWSLETTER_SENDGRID_HOST: `https://[::1` is not the address"),
        ("SENDGRID_API_KEY", "SG.two\nlines", "has a space, a line break or a letter that no key has"),
        ("SENDGRID_API_KEY", "SG.schlüssel", "has a space, a line break or a letter that no key has"),
        ("SMTP_URL", "mail.example.org", "is not the address of an SMTP server"),
        ("SMTP_URL", "http://mail.example.org", "is not the address of an SMTP server"),
        ("SMTP_URL", "smtps://mail.example.org:99999", "is not the address of an SMTP server"),
        ("SMTP_URL", "smtps://mail.example.org/inbox", "is not the address of an SMTP server"),
        ("SMTP_URL", "smtps://clinic@mail.example.org", "is not the address of an SMTP server"),
        ("SMTP_URL", "smtps://clinic:hunter2/@mail.example.org", "write @ as %40"),
        ("SMTP_URL", "smtps://clinic:hunter%2@mail.example.org", "write @ as %40"),
        ("SMTP_URL", "smtps://clinic:schl%C3%BCssel@mail.example.org", "is not the address of an SMTP server"),
        ("SECRET_KEY", "hunter2", "has a key of fewer than 32 characters"),
        ("SECRET_KEY", f"{'k' * 43},hunter2", "has a key of fewer than 32 characters"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(workspace: Path, name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsFaults) as refused:
        read_settings(workspace, {f"NEWSLETTER_{name}": value})
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value), "no secret is told"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtps://mail.example.org", SmtpServer("mail.example.org", 465, Security.TLS)),
        ("smtp://mail.example.org", SmtpServer("mail.example.org", 587, Security.STARTTLS)),
        ("smtp://10.0.0.5:25", SmtpServer("10.0.0.5", 25, Security.STARTTLS)),
        ("smtp://localhost", SmtpServer("localhost", 25, Security.NONE)),
        ("smtp://[::1]:1025", SmtpServer("::1", 1025, Security.NONE)),
        (
            "smtps://news%40clinic:a%2Fb%25c%3A@mail.example.org:2465",
            SmtpServer("mail.example.org", 2465, Security.TLS, "news@clinic", "a/b%c:"),
        ),
    ],
)
def test_a_mail_server_is_read_from_its_url(url: str, server: SmtpServer) -> None:
    assert read_smtp_url(url) == server
    assert "a/b%c:" not in repr(read_smtp_url(url))


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
    (workspace / ".env").write_bytes(
        b"# keys\r\n\r\nexport NEWSLETTER_SENDGRID_HOST='https://a.example/'  # mine\r\nOTHER=$x\r\n"
    )
    assert read_settings(workspace, {}).machine.sendgrid_host == "https://a.example"


def test_a_key_from_a_mounted_file_may_end_with_a_line_break(workspace: Path) -> None:
    machine = read_settings(workspace, {"NEWSLETTER_SENDGRID_API_KEY": "SG.key\n"}).machine
    assert machine.sendgrid_api_key.get_secret_value() == "SG.key"


@pytest.mark.parametrize("key", ["address", "reply_to"])
def test_a_sender_has_an_address_that_every_mail_service_takes(workspace: Path, key: str) -> None:
    file = workspace / "newsletter.toml"
    text = file.read_text("utf-8")
    file.write_text(re.sub(rf"^{key} = .*$", f'{key} = "grüße@clinic.example.org"', text, flags=re.MULTILINE), "utf-8")
    with pytest.raises(SettingsFaults, match=f"sender.{key}: `grüße@clinic.example.org` is no address that every"):
        read_settings(workspace, {})


def test_a_website_may_have_a_path(workspace: Path) -> None:
    file = workspace / "newsletter.toml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("https://clinic.example.org", "https://example.org/clinic"), "utf-8")
    assert read_settings(workspace, {}).clinic.website == "https://example.org/clinic"
