"""Exact search for the most similar vectors, in blocks: memory grows with the block, never with N x N."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ROWS = 512
"""Queries compared at a time."""
COLUMNS = 16384
"""Vectors compared at a time."""
GROUP = 64
"""Scores of which only the highest is looked at first."""
SLACK = 1e-5
"""What a matrix product may be off by; what lies so near a ceiling is decided anew, see `Ranked.scores`."""

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ranked:
    """What is most similar to a query, among what is not above its ceiling.

    Attributes:
        numbers: of the vectors, most similar first; the lower number first where they are equal.
        scores: their similarities in double precision, which do not depend on what else was asked.
        above: how many vectors are above the ceiling.
    """

    numbers: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    above: int


def nearest(
    queries: Vectors, vectors: Vectors, ceilings: npt.NDArray[np.float32], depth: int, device: str = "cpu"
) -> Iterator[Ranked]:
    """The vectors with the highest product with each query, at most its ceiling.

    Args:
        queries: shape (queries, dimensions).
        vectors: shape (vectors, dimensions).
        ceilings: of each query, shape (queries,).
        depth: how many to find for each query.
        device: that multiplies.
    """
    for start in range(0, len(queries), ROWS):
        rows = slice(start, start + ROWS)
        numbers, above = _block(queries[rows], vectors, ceilings[rows], depth, device)
        for query, ceiling, found, over in zip(queries[rows], ceilings[rows], numbers, above, strict=True):
            exact = vectors[found].astype(np.float64) @ query.astype(np.float64)
            order = np.lexsort((found, -exact))
            order = order[exact[order] <= ceiling]
            yield Ranked(found[order], exact[order], int(over) + len(found) - len(order))


def _block(
    queries: Vectors, vectors: Vectors, ceilings: npt.NDArray[np.float32], depth: int, device: str
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """For a block of queries the numbers of the best, in no order, and how many are above the ceilings."""
    import torch

    asked = torch.from_numpy(np.ascontiguousarray(queries)).to(device)
    limits = torch.from_numpy(ceilings + SLACK).to(device)[:, None]
    above = torch.zeros(len(queries), dtype=torch.int64, device=device)
    best = torch.full((len(queries), 0), -torch.inf, device=device)
    numbers = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
    for start in range(0, len(vectors), COLUMNS):
        scores = asked @ torch.from_numpy(vectors[start : start + COLUMNS]).to(device).T
        over = scores > limits
        above += torch.bincount(over.nonzero()[:, 0], minlength=len(queries))  # few: five times faster than a sum
        scores.masked_fill_(over, -torch.inf)
        found, places = _highest(scores, depth)
        best, numbers = torch.cat((best, found), 1), torch.cat((numbers, places + start), 1)
        if best.shape[1] > depth:
            best, kept = best.topk(depth, 1)
            numbers = numbers.gather(1, kept)
    usable = torch.isfinite(best).cpu().numpy()
    return [row[good] for row, good in zip(numbers.cpu().numpy(), usable, strict=True)], above.cpu().numpy()


def _highest(scores: Any, depth: int) -> tuple[Any, Any]:
    """The `depth` highest scores of each row and their places: they lie in as many groups with the highest maxima."""
    import torch

    rows, columns = scores.shape
    groups = columns // GROUP
    if groups <= depth:
        found, places = scores.topk(min(depth, columns), 1)
        return found, places
    whole = groups * GROUP
    maxima = scores[:, :whole].view(rows, groups, GROUP).amax(2)
    within = torch.arange(GROUP, device=scores.device)
    places = (maxima.topk(depth, 1).indices[:, :, None] * GROUP + within).view(rows, -1)
    rest = torch.arange(whole, columns, device=scores.device).expand(rows, -1)
    places = torch.cat((places, rest), 1)
    found, kept = scores.gather(1, places).topk(depth, 1)
    return found, places.gather(1, kept)
