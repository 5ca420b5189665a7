"""Files for people's spreadsheets, CSV or Excel's: no cell is taken for a formula, and their owner alone reads them."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import openpyxl
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from newsletter.errors import Refused

EXCEL_ROWS = 1_048_576

RISKY = tuple("=+-@\t\r\n\0＝＋－＠'")
"""How a cell begins that a spreadsheet could run (OWASP ASVS 5.0, 1.2.10), and the mark against it itself."""


def guarded(cell: str) -> str:
    """A cell that is shown and never run: with an apostrophe before it where it begins like a formula.

    What begins with an apostrophe gets one too, so that `cells.unguarded` gives back every cell as it was.
    """
    return f"'{cell}" if cell.startswith(RISKY) else cell


def write_table(
    target: Path, header: Sequence[str], rows: Iterable[Sequence[str]], *, before: Callable[[int], None]
) -> int:
    """Write a new .csv or .xlsx file; gives how many rows. `before` is told so when all is written.

    The file has its name only then, its owner alone may read it, and none is ever written over: raises Refused when it
    is there, has another ending, is too long for Excel, or cannot be written.
    """
    write = {".csv": _write_csv, ".xlsx": _write_workbook}.get(target.suffix.lower())
    if write is None:
        raise Refused(f"{target} is neither .csv nor .xlsx; nothing was written. Name a file that ends in one of them.")
    with _new_file(target) as file:
        count = write(file, ([guarded(cell) for cell in row] for row in chain([header], rows))) - 1
        before(count)
    return count


def _write_csv(file: BinaryIO, rows: Iterable[Sequence[str]]) -> int:
    # With a mark, by which Excel knows that it is UTF-8.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
    # Flushes, and leaves the file open.
    text.detach()
    return count


def _write_workbook(file: BinaryIO, rows: Iterable[Sequence[str]]) -> int:
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet("Newsletter")
    count = 0
    for row in rows:
        count += 1
        if count > EXCEL_ROWS:
            raise Refused(f"There are more rows than Excel's {EXCEL_ROWS:,}; nothing was written. Name a .csv file.")
        cells = [WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", cell)) for cell in row]
        for cell in cells:
            # Whatever it looks like: neither a formula nor a number that loses its zeros.
            cell.data_type = "s"
        sheet.append(cells)
    workbook.save(file)
    return count


@contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    part = target.with_name(f".{target.name}.part")
    try:
        if target.exists():
            raise Refused(f"{target} is there already; nothing was written. Name another file.")
        part.unlink(missing_ok=True)
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            yield file
        # A link is refused where a file of that name has come meanwhile; a renaming would write over it.
        os.link(part, target)
    except FileExistsError:
        raise Refused(f"{target} is there already; nothing was written. Name another file.") from None
    except OSError as error:
        raise Refused(f"{target} cannot be written ({error.strerror}). Name another file.") from None
    finally:
        part.unlink(missing_ok=True)
