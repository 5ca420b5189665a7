"""A file of people, whatever kind it is: known by its first bytes, and taken apart into tables."""

from __future__ import annotations

import codecs
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from newsletter.subscriber_import.archives import (
    bounded,
    explained,
    explaining,
    open_gzip,
    read_zip,
    require_measure,
)
from newsletter.subscriber_import.model import MAX_UNPACKED, Table, refuse
from newsletter.subscriber_import.text_tables import read_text_records
from newsletter.subscriber_import.workbooks import read_sheets

_ZIP, _GZIP, _OLD_OFFICE = b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_WORKBOOK = "[Content_Types].xml"
_NOT_IN_TEXT = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")
_WORKBOOK_NAMES = (".xlsx", ".xlsm", ".xltx", ".xltm")
_DOCUMENT_NAMES = (".docx", ".docm", ".doc")


def read_tables(path: Path) -> Iterator[Table]:
    """The tables of a file, each to be read to its end before the next; raises ImportRefused with what to do."""
    try:
        if not path.is_file():
            problem = "is not a file." if path.exists() else "is not there."
            raise refuse(str(path), problem, "Check its name.")
        size = path.stat().st_size
        with path.open("rb") as file:
            yield from _read(file, path, size)
    except OSError as error:
        raise refuse(str(path), f"cannot be read ({error.strerror}).", "Check its name.") from None


def _read(file: BinaryIO, path: Path, size: int) -> Iterator[Table]:
    name = path.name
    head = file.read(4_096)
    start = head[:8]
    file.seek(0)
    if size > MAX_UNPACKED:
        raise refuse(name, f"is larger than {MAX_UNPACKED // 1_000_000:,} MB.", "Divide the list into several.")
    if name.lower().endswith(_DOCUMENT_NAMES):
        raise _is_document(name)
    if start == _OLD_OFFICE:
        raise refuse(
            name, "is an Excel file of the old kind (.xls), or locked with a password.", "Save it as .xlsx or CSV."
        )
    if start.startswith(_GZIP):
        inner = name.removesuffix(".gz")
        yield Table(inner, explained(read_text_records(lambda: open_gzip(file, name, size), inner), name))
    elif start.startswith(_ZIP) or start.startswith(b"PK\x05\x06"):
        yield from _read_archive(file, name)
    elif name.lower().endswith(_WORKBOOK_NAMES) and not _is_text(head):
        raise _is_no_workbook(name)
    else:
        yield Table(name, read_text_records(lambda: bounded(path.open("rb"), name, size), name))


def _read_archive(file: BinaryIO, name: str) -> Iterator[Table]:
    with explaining(name):
        archive = zipfile.ZipFile(file)
    with archive:
        names = archive.namelist()
        if any(member.startswith("word/") for member in names):
            raise _is_document(name)
        if _WORKBOOK in names:
            require_measure(archive, name)
            yield from read_sheets(file, name)
        elif "mimetype" in names:
            raise refuse(name, "is an OpenDocument file.", "Save it as .xlsx or CSV.")
        elif name.lower().endswith(_WORKBOOK_NAMES):
            raise _is_no_workbook(name)
        else:
            yield from read_zip(archive, name)


def _is_text(head: bytes) -> bool:
    """Whether a file begins like text; some programs give CSV the name of a workbook."""
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or not _NOT_IN_TEXT.search(head)


def _is_document(name: str) -> Exception:
    return refuse(name, "is a Word document.", "Put the list into a spreadsheet, and save it as .xlsx or CSV.")


def _is_no_workbook(name: str) -> Exception:
    return refuse(
        name,
        "is not an Excel workbook, or is damaged.",
        "Save it again in Excel, or export it anew.",
    )
