"""Exact search for the most similar vectors, in blocks: memory grows with the block, never with N x N."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

ROWS = 512
"""Queries compared at a time."""
COLUMNS = 16384
"""Vectors compared at a time."""
GROUP = 32
"""Scores of which only the highest is looked at first."""
ERRORS = {"float32": 1e-5, "bfloat16": 3 * 2**-8}
"""What a product of unit vectors may be off by: rounding to bfloat16 is off by 2^-8 of each factor and of the sum."""
SLACK = ERRORS["float32"]

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

    The products may be rough: whatever may be among the best, or on either side of the ceiling, by as much as they
    may be off is decided in double precision.

    Args:
        queries: of length 1, shape (queries, dimensions).
        vectors: of length 1, shape (vectors, dimensions).
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
            yield Ranked(found[order[:depth]], exact[order[:depth]], int(over) + len(found) - len(order))


def _block(
    queries: Vectors, vectors: Vectors, ceilings: npt.NDArray[np.float32], depth: int, device: str
) -> tuple[list[npt.NDArray[np.int64]], npt.NDArray[np.int64]]:
    """For each query the numbers of what may be among the best, in no order, and how many are surely above."""
    import torch

    precision = _precision(device)
    error, dtype = ERRORS[precision], getattr(torch, precision)
    asked = torch.from_numpy(np.ascontiguousarray(queries)).to(device, dtype)
    limits = torch.from_numpy(ceilings).to(device)[:, None]
    above = torch.zeros(len(queries), dtype=torch.int64, device=device)
    best = torch.full((len(queries), 0), -torch.inf, device=device)
    numbers = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
    least = torch.full_like(limits, -torch.inf)
    for start in range(0, len(vectors), COLUMNS):
        scores = asked @ torch.from_numpy(vectors[start : start + COLUMNS]).to(device, dtype).T
        rows, places, found = _worth(scores, limits - error, least, depth, error)
        over = found > limits[rows, 0] + error
        above += torch.bincount(rows[over], minlength=len(queries))
        best, numbers = _merged(best, numbers, rows[~over], places[~over] + start, found[~over])
        least = torch.maximum(least, _least(best, limits - error, depth, error))
        kept = best >= least
        width = int(kept.sum(1).max())
        best, numbers = best.where(kept, -torch.inf)[:, :width], numbers[:, :width]
    usable = torch.isfinite(best).cpu().numpy()
    return [row[good] for row, good in zip(numbers.cpu().numpy(), usable, strict=True)], above.cpu().numpy()


def _precision(device: str) -> str:
    """In which the products are made: where a processor has bfloat16 they take a third of the time."""
    import torch

    from pneg.devices import best_precision

    return best_precision(torch.device(device)) if device == "cpu" else "float32"


def _least(scores: "torch.Tensor", limits: "torch.Tensor", depth: int, error: float) -> "torch.Tensor":
    """What is lower is surely not among the `depth` best within a row's limit, of which there are as many here.

    Args:
        scores: shape (rows, columns).
        limits: what is not above is surely within, shape (rows, 1).
        depth: how many are wanted of a row.
        error: what a score may be off by.

    Returns:
        Shape (rows, 1); nothing is lower where there are fewer.
    """
    import torch

    if scores.shape[1] < depth:
        return torch.full_like(limits, -torch.inf)
    within = torch.where(scores > limits, -torch.inf, scores)
    return within.kthvalue(scores.shape[1] - depth + 1, 1, keepdim=True).values - 2 * error


def _worth(
    scores: "torch.Tensor", limits: "torch.Tensor", least: "torch.Tensor", depth: int, error: float
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """The scores that are above a row's limit or may be among its `depth` best: their rows, in order, places, values.

    Only the maxima of groups of columns are looked at, and then the groups whose maximum is high enough. A group is
    every so many columns one, so that maxima are taken of whole rows of memory.

    Args:
        scores: shape (rows, columns).
        limits: what is not above is surely within, shape (rows, 1).
        least: what is lower is not among the best; shape (rows, 1).
        depth: how many are wanted of a row.
        error: what a score may be off by.
    """
    import torch

    columns = scores.shape[1]
    groups = columns // GROUP
    if groups <= depth:
        worth = scores >= least
        of, places = worth.nonzero(as_tuple=True)
        return of, places, scores[of, places].float()
    grouped = scores[:, : groups * GROUP].view(len(scores), GROUP, groups)
    maxima = grouped.amax(1).float()
    least = torch.maximum(least, _least(maxima, limits, depth, error))
    rows, group = (maxima >= least).nonzero(as_tuple=True)
    found = grouped[rows, :, group].float()
    picked, member = (found >= least[rows]).nonzero(as_tuple=True)
    rest, behind = (scores[:, groups * GROUP :] >= least).nonzero(as_tuple=True)
    behind = behind + groups * GROUP
    of = torch.cat((rows[picked], rest))
    places = torch.cat((member * groups + group[picked], behind))
    values = torch.cat((found[picked, member], scores[rest, behind].float()))
    order = of.argsort(stable=True)
    return of[order], places[order], values[order]


def _merged(
    best: "torch.Tensor", numbers: "torch.Tensor", rows: "torch.Tensor", places: "torch.Tensor", found: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """What was held of each row and what was found, the highest score first.

    Args:
        best: shape (rows, columns).
        numbers: of these, the same shape.
        rows: of what was found, in order.
        places: its numbers.
        found: its scores.
    """
    import torch

    each = torch.bincount(rows, minlength=len(best))
    column = torch.arange(len(rows), device=rows.device) - (each.cumsum(0) - each)[rows]
    new = best.new_full((len(best), int(each.max()) if len(each) else 0), -torch.inf)
    new_numbers = torch.zeros_like(new, dtype=torch.int64)
    new[rows, column], new_numbers[rows, column] = found, places
    best, order = torch.cat((best, new), 1).sort(1, descending=True)
    return best, torch.cat((numbers, new_numbers), 1).gather(1, order)
