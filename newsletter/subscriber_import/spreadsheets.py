"""Files for people's spreadsheets: CSV that no spreadsheet takes for formulas, for their owner alone."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from newsletter.errors import Refused

RISKY = tuple("=+-@\t\r\n\0＝＋－＠'")
"""How a cell begins that a spreadsheet could run (OWASP ASVS 5.0, 1.2.10), and the mark against it itself."""


def guarded(cell: str) -> str:
    """A cell that is shown and never run: with an apostrophe before it where it begins like a formula.

    What begins with an apostrophe gets one too, so that `cells.unguarded` gives back every cell as it was.
    """
    return f"'{cell}" if cell.startswith(RISKY) else cell


def write_csv(
    target: Path, header: Sequence[str], rows: Iterable[Sequence[str]], *, before: Callable[[int], None]
) -> int:
    """Write a new file with every cell in quotes; gives how many rows. `before` is told so when all is written.

    The file has its name only then, its owner alone may read it, and none is ever written over: raises Refused when it
    is there, or cannot be written.
    """
    count = 0
    with _new_file(target) as text:
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
        writer.writerow(map(guarded, header))
        for row in rows:
            writer.writerow(map(guarded, row))
            count += 1
        text.flush()
        before(count)
    return count


@contextmanager
def _new_file(target: Path) -> Iterator[io.TextIOWrapper]:
    part = target.with_name(f".{target.name}.part")
    try:
        if target.exists():
            raise Refused(f"{target} is there already; nothing was written. Name another file.")
        part.unlink(missing_ok=True)
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # With a mark, by which Excel knows that it is UTF-8.
        with os.fdopen(number, "w", encoding="utf-8-sig", newline="") as text:
            yield text
        # A link is refused where a file of that name has come meanwhile; a renaming would write over it.
        os.link(part, target)
    except FileExistsError:
        raise Refused(f"{target} is there already; nothing was written. Name another file.") from None
    except OSError as error:
        raise Refused(f"{target} cannot be written ({error.strerror}). Name another file.") from None
    finally:
        part.unlink(missing_ok=True)
