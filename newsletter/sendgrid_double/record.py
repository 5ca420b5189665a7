"""The record of requests: one line of JSON for each, on the disk before its answer leaves.

So what is in the record was accepted, even when the double was killed before it could say so; and what is not was not.
The record of posts is another file: what is in it was told, and what is not may have been.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Recorded:
    """What became of one request; `people` has the custom arguments of each accepted mail, and no address."""

    message_id: str
    at: str
    accepted: bool
    status: int
    """The status answered; 0 when the line was cut instead."""
    fault: str
    """The failure that was played; `pass` for none."""
    people: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class RecordedPost:
    """What was told of one accepted request, by a post that the webhook took; with no `events` there was no post.

    `events` are those in the post, with those that stand there twice; `lost` and `repeated` were so on purpose.
    """

    message_id: str
    events: int
    lost: int
    repeated: int
    tries: int


class Record:
    """Appends to a file, whole lines only; threads may share one."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        if (size := os.fstat(self._handle).st_size) and os.pread(self._handle, 1, size - 1) != b"\n":
            # The last line of a killed double; the next one must not be joined to it.
            os.write(self._handle, b"\n")

    def add(self, entry: Recorded | RecordedPost) -> None:
        """Write one line; on return it is on the disk."""
        line = orjson.dumps(asdict(entry)) + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._handle, line) :]
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read_record(path: Path) -> list[Recorded]:
    """The whole lines of a record of requests; one that was cut by a kill was never answered, and is left out."""
    return [Recorded(**{**entry, "people": tuple(entry["people"])}) for entry in _read_lines(path)]


def read_posts(path: Path) -> list[RecordedPost]:
    """The whole lines of a record of posts."""
    return [RecordedPost(**entry) for entry in _read_lines(path)]


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(orjson.JSONDecodeError):
            yield orjson.loads(line)
