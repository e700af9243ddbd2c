"""Python's search for cycles of garbage, which looks at all that is in work again and again and finds none there."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 10_000
"""So many more objects than at the last look are looked at; Python's own 700 are not even one round of requests."""


@contextmanager
def seldom_looked_for() -> Iterator[None]:
    """Look for cycles less often inside the block, and never among what was there before it.

    The more requests are in work, the more of a client's processor time goes into that search. It is a setting of the
    whole process: for a command, not for a library.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
