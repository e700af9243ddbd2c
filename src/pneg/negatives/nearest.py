"""Exact search for the most similar vectors, in blocks: memory grows with the block, never with N x N."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

ROWS = 512
"""Queries compared at a time."""
COLUMNS = 4096
"""Vectors compared at a time."""
GROUP = 32
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
        least = best[:, -1:] if best.shape[1] == depth else torch.full_like(limits, -torch.inf)
        rows, places, found = _worth(scores, limits, least, depth)
        over = found > limits[rows, 0]
        above += torch.bincount(rows[over], minlength=len(queries))
        rows, places, found = rows[~over], places[~over], found[~over]
        best, numbers = _merged(best, numbers, rows, places + start, found, depth)
    usable = torch.isfinite(best).cpu().numpy()
    return [row[good] for row, good in zip(numbers.cpu().numpy(), usable, strict=True)], above.cpu().numpy()


def _worth(scores: Any, limits: Any, least: Any, depth: int) -> tuple[Any, Any, Any]:
    """The scores that are above a row's limit or may be among its `depth` best: their rows, in order, places, values.

    Only the maxima of groups of columns are looked at, and then the groups whose maximum is high enough. A group is
    every so many columns one, so that maxima are taken of whole rows of memory.

    Args:
        scores: shape (rows, columns).
        limits: shape (rows, 1).
        least: what is lower is not among the best; shape (rows, 1).
        depth: how many are wanted of a row.
    """
    import torch

    columns = scores.shape[1]
    groups = columns // GROUP
    if groups <= depth:
        worth = scores >= least
        of, places = worth.nonzero(as_tuple=True)
        return of, places, scores[of, places]
    grouped = scores[:, : groups * GROUP].unflatten(1, (GROUP, groups))
    maxima = grouped.amax(1)
    # as many scores within the limit as are wanted are no lower than this
    within = torch.where(maxima > limits, -torch.inf, maxima).kthvalue(groups - depth + 1, 1, keepdim=True).values
    least = torch.maximum(least, within)
    of, group = (maxima >= least).nonzero(as_tuple=True)
    found = grouped[of, :, group]
    places = torch.arange(GROUP, device=scores.device) * groups + group[:, None]
    rest, behind = (scores[:, groups * GROUP :] >= least).nonzero(as_tuple=True)
    behind = behind + groups * GROUP
    worth = found >= least[of]
    of = torch.cat((of[:, None].expand_as(found)[worth], rest))
    order = of.argsort(stable=True)
    found = torch.cat((found[worth], scores[rest, behind]))
    return of[order], torch.cat((places[worth], behind))[order], found[order]


def _merged(best: Any, numbers: Any, rows: Any, places: Any, found: Any, depth: int) -> tuple[Any, Any]:
    """The `depth` best of each row, best first, of those that were and those that were found.

    Args:
        best: shape (rows, at most `depth`).
        numbers: of these, the same shape.
        rows: of what was found, in order.
        places: its numbers.
        found: its scores.
        depth: how many are kept.
    """
    import torch

    each = torch.bincount(rows, minlength=len(best))
    column = torch.arange(len(rows), device=rows.device) - (each.cumsum(0) - each)[rows]
    new = best.new_full((len(best), int(each.max()) if len(each) else 0), -torch.inf)
    new_numbers = torch.zeros_like(new, dtype=torch.int64)
    new[rows, column], new_numbers[rows, column] = found, places
    best, numbers = torch.cat((best, new), 1), torch.cat((numbers, new_numbers), 1)
    best, kept = best.topk(min(depth, best.shape[1]), 1)
    return best, numbers.gather(1, kept)
