"""Archives of tables: zip as Mailchimp and Substack make them, and gzip; nothing is ever unpacked onto the disk.

How much comes out is counted as it is read: what an archive says of itself may be a lie.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO

from newsletter.subscriber_import.model import (
    MAX_MEMBERS,
    MAX_RATIO,
    MAX_UNPACKED,
    RATIO_COUNTS_FROM,
    Record,
    Table,
    refuse,
)
from newsletter.subscriber_import.text_tables import read_text_records

_TABLES = (".csv", ".tsv", ".txt", ".tab")
_ARCHIVES = (".zip", ".gz", ".xlsx", ".7z", ".rar", ".tar", ".tgz", ".bz2", ".xz")
_ENCRYPTED = 0x1
_BUFFER = 1 << 18


def read_zip(archive: zipfile.ZipFile, name: str) -> Iterator[Table]:
    """Every table of text in an archive, in the order it has; raises ImportRefused for one that is not to be had.

    Such has passwords, archives in archives, names that lead elsewhere, or more in it than it can honestly hold.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    require_measure(archive, name)
    tables = [member for member in members if _is_table(member.filename)]
    nested = [member.filename for member in members if member.filename.lower().endswith(_ARCHIVES)]
    if nested:
        raise refuse(name, f"has another archive in it, {nested[0][:80]}.", "Unpack it, and import what is in it.")
    if not tables:
        raise refuse(name, "has no CSV file in it.", "Is it the export of readers?")
    for member in tables:

        def open_again(member: zipfile.ZipInfo = member) -> BinaryIO:
            return bounded(archive.open(member), name, member.compress_size)

        yield Table(
            PurePosixPath(member.filename).name, explained(read_text_records(open_again, member.filename), name)
        )


def require_measure(archive: zipfile.ZipFile, name: str) -> None:
    """Raise ImportRefused when an archive is locked, has names that lead elsewhere, or too much in it."""
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise refuse(
            name, f"has {len(members):,} files in it.", "Is it the export of readers? Import its CSV file alone."
        )
    seen = set()
    for member in members:
        path = member.filename
        if member.flag_bits & _ENCRYPTED:
            raise refuse(name, "is locked with a password.", "Unpack it, and import what is in it.")
        if path.startswith("/") or "\\" in path or ":" in path.split("/")[0] or ".." in path.split("/"):
            raise refuse(name, f"has a file whose name leads elsewhere, {path[:80]!r}.", "Do not open it. Who sent it?")
        if path in seen:
            raise refuse(name, f"has two files of the name {path[:80]!r}.", "Export the list again.")
        seen.add(path)
        if member.file_size > RATIO_COUNTS_FROM and member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise _bursts(name)
    if sum(member.file_size for member in members) > MAX_UNPACKED:
        raise _bursts(name)


def open_gzip(file: BinaryIO, name: str, size: int) -> BinaryIO:
    """What is in a gzip file, counted as it is read."""
    file.seek(0)
    return bounded(gzip.GzipFile(fileobj=file, mode="rb"), name, size)


def bounded(raw: object, name: str, packed: int) -> BinaryIO:
    """A stream that refuses to give more than so many packed bytes can honestly hold."""
    return io.BufferedReader(_Bounded(raw, name, packed), _BUFFER)  # type: ignore[arg-type]


@contextmanager
def explaining(name: str) -> Iterator[None]:
    """Turn what zlib and zipfile say of an archive that cannot be read into one sentence."""
    try:
        yield
    except NotImplementedError:
        # So zipfile says that it does not know a way of packing, such as the Deflate64 of Windows.
        remedy = "Unpack it, and import what is in it."
        raise refuse(name, "is packed in a way that cannot be read here.", remedy) from None
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, RuntimeError):
        raise refuse(name, "is damaged, or is not all of it.", "Export it again.") from None


def explained(records: Iterator[Record], name: str) -> Iterator[Record]:
    """The same records, with a damaged archive explained."""
    with explaining(name):
        yield from records


def _is_table(path: str) -> bool:
    base = PurePosixPath(path).name
    return base.lower().endswith(_TABLES) and not base.startswith((".", "__")) and "__MACOSX" not in path


def _bursts(name: str) -> Exception:
    return refuse(name, "would become far too large by unpacking.", "Export the list alone, as CSV.")


class _Bounded(io.RawIOBase):
    def __init__(self, raw: BinaryIO, name: str, packed: int) -> None:
        self._raw = raw
        self._name = name
        self._most = min(MAX_UNPACKED, max(RATIO_COUNTS_FROM, MAX_RATIO * packed))
        self._given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        found = self._raw.read(len(buffer))
        self._given += len(found)
        if self._given > self._most:
            raise _bursts(self._name)
        buffer[: len(found)] = found
        return len(found)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
