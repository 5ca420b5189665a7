"""A double in a process of its own, on a free port of this machine, as a user would start it.

For every test that needs a SendGrid to send to: the transport's contract, the kills, the whole way.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from newsletter.sendgrid_double.record import Recorded, read_record
from tests.node import ROOT

KEY = "SG.double"


@dataclass(frozen=True)
class RunningDouble:
    """Where it listens, what it keeps, and what it can be told."""

    host: str
    """Such as http://127.0.0.1:8025: what SENDGRID_HOST is set to."""
    key: str
    record: Path
    mailbox: Path
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        """The port, for starting it again at the same place."""
        return int(self.host.rpartition(":")[2])

    def fail(self, *specs: str, seed: int = 0) -> None:
        """Play these failures from now on, instead of those before; none: all goes well."""
        self._ask("POST", "/double/faults", {"faults": specs, "seed": seed})

    def fail_lists(self, *specs: str, seed: int = 0) -> None:
        """As `fail`, for requests about suppression lists."""
        self._ask("POST", "/double/faults", {"faults": specs, "seed": seed, "of": "suppressions"})

    def list_addresses(self, **lists: Any) -> None:
        """Put entries on its lists, such as bounces=[("ann@example.org", created)], and add groups=[7]."""
        filling = {
            name: entries if name == "groups" else [{"email": email, "created": int(at)} for email, at in entries]
            for name, entries in lists.items()
        }
        self._ask("POST", "/double/suppressions", filling)

    def listed(self) -> dict[str, Any]:
        """All that is on its lists."""
        found: dict[str, Any] = self._ask("GET", "/double/suppressions")
        return found

    def accepted(self) -> dict[str, Any]:
        """What it accepted since its start or the last reset."""
        found: dict[str, Any] = self._ask("GET", "/double/requests")
        return found

    def mail_in(self, mail: bytes, webhook: str, **said: str) -> int:
        """Let a mail come in, and be posted to a webhook; gives the status of its answer."""
        query = urlencode({"url": webhook, **said})
        request = urllib.request.Request(f"{self.host}/double/inbound?{query}", mail, method="POST")
        with urllib.request.urlopen(request) as answer:
            return int(json.load(answer)["status"])

    def reset(self) -> None:
        """Forget failures and counts; mails and record stay."""
        self._ask("POST", "/double/reset")

    def recorded(self) -> list[Recorded]:
        """Every request in the record, of earlier lives too."""
        return read_record(self.record)

    def kill(self) -> None:
        """End it at once, with whatever it is doing."""
        self.process.kill()
        self.process.wait()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.host + path, data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


@contextmanager
def running_double(
    folder: Path, *options: str, faults: tuple[str, ...] = (), key: str = KEY, port: int = 0
) -> Iterator[RunningDouble]:
    """A double that keeps its mails and its record in a folder; `options` are those of the command."""
    mailbox, record = folder / "mailbox", folder / "record.jsonl"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "newsletter", "sendgrid-double", "--port", str(port), "--key", key),
            *("--mailbox", str(mailbox), "--record", str(record)),
            *(word for spec in faults for word in ("--fail", spec)),
            *options,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, process.stderr.read()
        yield RunningDouble(found[0], key, record, mailbox, process)
    finally:
        # At once, with slow answers still to come: what counts is in the record.
        process.kill()
        _, complaints = process.communicate()
    assert not complaints, complaints
