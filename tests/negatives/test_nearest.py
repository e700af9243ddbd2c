"""The exact search in blocks, beside a plain product with a full sort."""

import numpy as np
import pytest

from pneg.negatives import nearest as module
from pneg.negatives.nearest import nearest

pytest.importorskip("torch", reason="the search multiplies with torch")


def unit(count: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(("rows", "columns", "group"), [(512, 16384, 64), (3, 50, 4), (1, 7, 2), (4, 1, 64)])
@pytest.mark.parametrize("depth", [1, 5, 400])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_blocks_find_what_a_full_sort_finds(
    monkeypatch: pytest.MonkeyPatch, rows: int, columns: int, group: int, depth: int, precision: str
) -> None:
    """In bfloat16 too, whose products are off by more than what lies between neighbours."""
    monkeypatch.setattr(module, "_precision", lambda _: precision)
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "COLUMNS", columns)
    monkeypatch.setattr(module, "GROUP", group)
    queries, vectors = unit(7, 0), unit(230, 1)
    ceilings = np.linspace(-0.5, 0.9, 7, dtype=np.float32)
    products = queries.astype(np.float64) @ vectors.astype(np.float64).T
    for row, ranked in enumerate(nearest(queries, vectors, ceilings, depth)):
        order = [n for n in np.argsort(-products[row]) if products[row, n] <= ceilings[row]]
        assert ranked.numbers.tolist() == order[:depth]
        assert ranked.scores == pytest.approx(products[row, order[:depth]])
        assert ranked.above == (products[row] > ceilings[row]).sum()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_lies_nearer_to_the_ceiling_than_a_product_is_exact_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """40 vectors a ten-thousandth of a radian apart; the ceiling lies between the cosines of .50245 and .50255."""
    monkeypatch.setattr(module, "_precision", lambda _: precision)
    angles = 0.5 + np.arange(40) / 10_000 + 0.00005
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    ceiling = np.cos(np.array([0.5025], np.float64)).astype(np.float32)
    [ranked] = nearest(np.array([[1, 0]], np.float32), vectors, ceiling, 3)
    assert (ranked.numbers.tolist(), ranked.above) == ([25, 26, 27], 25)


def test_of_equal_vectors_the_first_comes_first() -> None:
    vectors = np.array([[0, 1], [1, 0], [0, 1], [1, 0]], np.float32)
    [ranked] = nearest(np.array([[1, 0]], np.float32), vectors, np.ones(1, np.float32), 4)
    assert ranked.numbers.tolist() == [1, 3, 0, 2]


def test_there_may_be_nothing_to_find() -> None:
    [ranked] = nearest(unit(1, 0), np.zeros((0, 8), np.float32), np.ones(1, np.float32), 4)
    assert (len(ranked.numbers), ranked.above) == (0, 0)
