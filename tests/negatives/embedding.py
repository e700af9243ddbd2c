"""Embeddings for tests: unit vectors in a plane, told by the angle in degrees that a text holds."""

import re
from collections.abc import Sequence

import numpy as np

from pneg.negatives.embeddings import Embeddings


class Angles(Embeddings):
    """`"at 30"` is the vector at 30 degrees, or `times` as many; a text without a number is at 0."""

    def __init__(self, times: int = 1) -> None:
        self.device, self.times = "cpu", times

    def of(self, texts: Sequence[str]) -> np.ndarray:
        degrees = [self.times * int((re.findall(r"\d+", text) or [0])[0]) for text in texts]
        angles = np.radians(np.array(degrees, np.float64).reshape(-1))
        return np.stack((np.cos(angles), np.sin(angles)), 1).astype(np.float32)
