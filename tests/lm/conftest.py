"""A clock of its own for what waits."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from clock import Clock
from pneg.lm import flow


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The time that the pace goes by, whatever the machine does beside it."""
    made = Clock()
    monkeypatch.setattr(flow, "time", SimpleNamespace(monotonic=made.time))
    yield made
    made.close()
