"""One double for all tests of a module, emptied before each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sendgrid_double.running import RunningDouble, running_double


@pytest.fixture(scope="module")
def shared_double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDouble]:
    """A double for a module's tests."""
    with running_double(tmp_path_factory.mktemp("double"), "--no-mails") as double:
        yield double


@pytest.fixture
def double(shared_double: RunningDouble) -> RunningDouble:
    """A double with empty lists that fails at nothing."""
    shared_double.reset()
    return shared_double
