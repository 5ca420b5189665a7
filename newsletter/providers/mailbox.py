"""The local mailbox: every mail becomes a file that a mail program can open, and goes nowhere else.

A file bears the name of its delivery, so handing over twice leaves one mail. `read_mail` and `list_mails` are for the
inbox page of the studio.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path

from newsletter.errors import NotFound
from newsletter.providers.contract import Outcome, OutgoingBatch, Receipt
from newsletter.providers.writing import write_mail

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class KeptMail:
    """A mail of the mailbox as a list shows it; `date` is an instant in UTC."""

    name: str
    recipient: str
    sender: str
    subject: str
    date: datetime | None


@dataclass(frozen=True)
class OpenedMail:
    """A mail of the mailbox as its reader sees it; `html` is None for text only, `headers` keep their order."""

    kept: KeptMail
    headers: tuple[tuple[str, str], ...]
    text: str
    html: str | None
    content: bytes


@dataclass(frozen=True)
class MailboxTransport:
    """Writes a batch into a folder of .eml files."""

    folder: Path
    name: str = "mailbox"
    batch_limit: int = 1_000
    idempotent: bool = True
    paced: bool = False

    def send(self, batch: OutgoingBatch) -> Receipt:
        """Write every mail, each whole or not at all; a full or forbidden disk is a reason to try again."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for person in batch.people:
                _write(self.folder / f"{person.delivery}.eml", write_mail(batch, person))
            _sync(self.folder)
        except OSError as error:
            return Receipt(Outcome.TRY_AGAIN, f"the mailbox cannot be written: {error.strerror}")
        return Receipt(Outcome.ACCEPTED, reference=batch.attempt)


def list_mails(folder: Path, newest: int | None = None) -> list[KeptMail]:
    """The mails of a mailbox, newest first; all of them, or only so many."""
    # The newest file names are not the newest mails: names are numbers of deliveries. The time of writing is.
    files = sorted(folder.glob("*.eml"), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    return [_kept(path.stem, _parse(_read_head(path), headers_only=True)) for path in files[:newest]]


def _read_head(path: Path) -> bytes:
    # Headers are a tenth of this; what follows is of no use to a list.
    with path.open("rb") as file:
        return file.read(16_384)


def read_mail(folder: Path, name: str) -> OpenedMail:
    """A mail of a mailbox by its name in the list; raises NotFound."""
    path = folder / f"{name}.eml"
    if not _NAME.fullmatch(name) or not path.is_file():
        raise NotFound(f"There is no mail `{name}` in the mailbox. Go back to the list.")
    content = path.read_bytes()
    message = _parse(content)
    return OpenedMail(
        _kept(name, message),
        tuple((key, str(value)) for key, value in message.items()),
        _body(message, "plain") or "",
        _body(message, "html"),
        content,
    )


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _sync(folder: Path) -> None:
    # A new name in a folder is only safe from a power failure when the folder itself has been written.
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _parse(content: bytes, *, headers_only: bool = False) -> EmailMessage:
    message = BytesParser(policy=policy.default).parsebytes(content, headersonly=headers_only)
    assert isinstance(message, EmailMessage)
    return message


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if isinstance(part, EmailMessage) else None


def _kept(name: str, message: EmailMessage) -> KeptMail:
    try:
        date = parsedate_to_datetime(str(message["Date"])).astimezone(UTC)
    except ValueError:
        date = None
    return KeptMail(name, str(message["To"]), str(message["From"]), str(message["Subject"]), date)
