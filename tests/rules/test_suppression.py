"""Nobody who must not be mailed is mailed by any way: every way there is stands here, with what asks on it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node import ROOT

PACKAGE = ROOT / "newsletter"

WAYS = {
    # All that goes to a transport. A new way must ask `audience.reason_never_to_mail`, `reader_notices._may_go` or
    # `queries.refuses_every_mail` in the transaction in which it is decided that a mail goes, and be tested for it.
    "send on a transport": {
        "delivery/worker.py": "delivery/batches.py",  # what is put in flight leaves out who may not be mailed
        "notices/desk.py": "",  # asked by its callers, below
    },
    "OutgoingBatch": {"delivery/worker.py": "delivery/batches.py", "notices/desk.py": ""},
    "send_notice": {
        "notices/mailing.py": "notices/mailing.py",
        "notices/reader_mailing.py": "subscribers/reader_notices.py",  # as it is taken
    },
}
"""Each way, the files that use it, and the file that asks before."""

QUESTIONS = ("reason_never_to_mail(", "_may_go(", "refuses_every_mail(")


def uses(way: str) -> set[str]:
    """The files of the package that use a way."""
    return {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "sendgrid_double") and way in set(_calls(path))
    }


@pytest.mark.parametrize("way", WAYS)
def test_no_mail_goes_by_a_way_that_is_not_known(way: str) -> None:
    assert uses(way) == WAYS[way].keys()


@pytest.mark.parametrize("asks", sorted({asks for way in WAYS.values() for asks in way.values() if asks}))
def test_on_every_way_it_is_asked_who_must_not_be_mailed(asks: str) -> None:
    assert any(question in (PACKAGE / asks).read_text("utf-8") for question in QUESTIONS)


def test_a_new_way_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "new.py"
    file.write_text("def f(t, worker):\n    worker.transport.send(OutgoingBatch())\n    t.send_notice(1)\n", "utf-8")
    assert set(_calls(file)) == {"send on a transport", "OutgoingBatch", "send_notice"}


def _calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(attr="send", value=ast.Attribute(attr=name) | ast.Name(id=name))):
                if "transport" in name:
                    yield "send on a transport"
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
                yield name
