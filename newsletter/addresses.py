"""Addresses that people write into settings: of mail, of sites, and of mail servers; and who can reach them.

Each `read_…` raises ValueError with a sentence of what is wrong and, behind ` | `, how to mend it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from email_validator import EmailNotValidError, validate_email


def read_email(text: str) -> str:
    """An e-mail address as mail services take it; its domain is not asked for."""
    try:
        found = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"`{text}` is not an e-mail address. | {error}") from None
    if not found.ascii_email:
        raise ValueError(f"`{text}` is no address that every mail service takes. | Before the @, write plain letters.")
    return found.ascii_email


_EMAIL_IN_TEXT = re.compile(r"""[^\s@<>()\[\]"'“”,;:|*`]+@\w[\w-]*(?:\.[\w-]+)*\.[^\W\d_]{2,}""")


def find_emails(text: str) -> list[str]:
    """Whatever in a text reads as an e-mail address, in order; nobody has looked whether it is one."""
    return _EMAIL_IN_TEXT.findall(text)


def read_website(text: str) -> str:
    """The address of a site, without a `/` at its end."""
    try:
        parts = urlsplit(text)
        plain = parts.port != 0 and parts.hostname and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        plain = False
    if not plain or not re.fullmatch(r"https?://[\w.:/~%\[\]-]+", text):
        raise ValueError(f"`{text}` is not the address of a site. | Write it as https://news.clinic.example.org.")
    return text.rstrip("/")


def read_base_url(text: str) -> str:
    """The address of a site that has nothing behind its name."""
    plain = read_website(text)
    if not plain.isascii():
        host = urlsplit(plain).hostname or ""
        raise ValueError(
            f"`{text}` has letters that no header of a mail can hold. | Write the name of the site as "
            f"{host.encode('idna').decode()}."
        )
    if urlsplit(plain).path:
        raise ValueError(f"`{text}` goes on after the name of the site. | Leave out what begins with the third `/`.")
    return plain


class Security(StrEnum):
    """How a connection to an SMTP server is kept from being read on the way."""

    TLS = "tls"
    """From the first byte (RFC 8314)."""
    STARTTLS = "starttls"
    """After a greeting in clear; without it nothing is sent (RFC 3207)."""
    NONE = "none"
    """It does not leave this machine."""


@dataclass(frozen=True)
class SmtpServer:
    """Where mails are handed over, and who we are there; no user: without a log-in."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = field(default="", repr=False)


def read_smtp_url(url: str) -> SmtpServer:
    """The server that SMTP_URL names; raises ValueError whose words hold nothing of a password.

    Ports: 465 with TLS (RFC 8314, 7.3), 587 with STARTTLS (RFC 6409, 3.1), 25 on this machine.
    """
    plain = url.strip()
    try:
        parts = urlsplit(plain)
        host, port = parts.hostname or "", parts.port
        user, password = (_decoded(part) for part in (parts.username or "", parts.password or ""))
        form = re.fullmatch(r"smtps?://[!-~]+", plain) and re.fullmatch(r"[\w.-]+|[\da-f:.]+", host, re.ASCII)
    except ValueError:
        form = None
    if not form or port == 0 or parts.path.strip("/") or parts.query or parts.fragment or bool(user) != bool(password):
        raise ValueError(
            "is not the address of an SMTP server. | Write it as smtps://user:password@mail.example.org, or as "
            "smtp://localhost; in user and password, write @ as %40, / as %2F, # as %23, ? as %3F and % as %25."
        )
    if parts.scheme == "smtps":
        return SmtpServer(host, port or 465, Security.TLS, user, password)
    if is_loopback(host):
        return SmtpServer(host, port or 25, Security.NONE, user, password)
    return SmtpServer(host, port or 587, Security.STARTTLS, user, password)


def _decoded(part: str) -> str:
    """A part of a URL without its percent signs; raises ValueError for what the log-in of SMTP cannot carry."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", part) or not re.fullmatch(r"[ -~]*", plain := unquote(part, errors="strict")):
        raise ValueError("a part of it cannot be read")
    return plain


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def objection_to_base_url(base_url: str) -> str:
    """Why links that begin so cannot stand in mails to real readers; empty when they can."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return "mailbox providers follow only https:// links to leave (RFC 8058). Set BASE_URL to your public address."
    try:
        public = ip_address(host).is_global
    except ValueError:
        public = "." in host and not host.endswith((".local", ".internal", ".lan", ".home.arpa", ".localhost"))
    return "" if public else "readers cannot reach it. Set BASE_URL to the address that the internet sees."
