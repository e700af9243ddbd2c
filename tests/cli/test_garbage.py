"""The search for garbage."""

import gc

import pytest

from pneg.cli.garbage import YOUNG, seldom_looked_for


def test_garbage_is_seldom_looked_for_inside_the_block_and_as_before_behind_it() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(KeyError), seldom_looked_for():
        assert gc.get_threshold() == (YOUNG, *before[1:])
        assert gc.get_freeze_count() > frozen
        raise KeyError
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
