"""Locks pin by hash and name no host: where packages come from is for each machine to say."""

from __future__ import annotations

import re

from tests.node import ROOT
from tests.rules.tracked import tracked_files, tracked_texts


def test_python_locks_have_hashes_and_no_addresses() -> None:
    locks = tracked_texts("*.lock")
    assert locks.keys() >= {"requirements.lock", "requirements-test.lock"}
    for name, text in locks.items():
        assert not re.search(r"https?://", text), name
        for entry in re.split(r"\n(?=\S)", text.strip()):
            assert " --hash=sha256:" in entry, f"{name}: {entry.splitlines()[0]}"


def test_tests_run_with_the_versions_that_people_get() -> None:
    given, tested = (
        set(re.findall(r"^\S+==[^\s\\]+", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.lock", "requirements-test.lock")
    )
    assert given <= tested


def test_npm_locks_have_hashes_and_no_hosts() -> None:
    locks = tracked_texts("**/package-lock.json")
    assert locks
    for name, text in locks.items():
        assert '"resolved"' not in text, name
        assert '"integrity": "sha512-' in text, name


def test_lock_files_that_record_hosts_are_not_tracked() -> None:
    assert tracked_files("uv.lock", "**/uv.lock", "pylock*.toml", "**/pylock*.toml") == []


def test_no_file_names_the_host_of_a_package_registry() -> None:
    # In parts, or this file would be found.
    host = re.compile(r"(registry\.npmjs|npmjs|pypi|pythonhosted|debian|crates)" + r"\.(org|com|io)\b")
    assert [name for name, text in tracked_texts().items() if host.search(text)] == []
