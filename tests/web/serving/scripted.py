"""A selector that scores by a rule, tells what it was called with, and works only when it is let."""

import threading
from collections.abc import Sequence

import numpy as np

Pair = tuple[Sequence[str], str]


class Scripted:
    """A candidate's score is its length less the number of turns; `hold` makes calls wait for `release`.

    Args:
        temperature: of a calibrated selector.
    """

    history = 4

    def __init__(self, temperature: float | None = None) -> None:
        self.temperature = temperature
        self.calls: list[list[Pair]] = []
        self.threads: set[str] = set()
        self.begun = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def score(self, pairs: Sequence[Pair], *, precision: str = "float32", whole: bool = False) -> np.ndarray:
        """Scores in the order of the pairs; nothing is cut off."""
        assert whole
        self.calls.append(list(pairs))
        self.threads.add(threading.current_thread().name)
        self.begun.release()
        assert self.gate.wait(30)
        if any(text == "break" for _, text in pairs):
            raise RuntimeError("a text broke the model")
        if any(text == "nan" for _, text in pairs):
            return np.full(len(pairs), np.nan, dtype=np.float32)
        return np.array([len(text) - len(turns) for turns, text in pairs], dtype=np.float32)

    def hold(self) -> None:
        """Let no call end."""
        self.gate.clear()

    def release(self) -> None:
        """Let calls end."""
        self.gate.set()

    def forget(self) -> None:
        """Forget the calls so far, those that warm the model up."""
        self.calls.clear()
        while self.begun.acquire(blocking=False):
            pass
