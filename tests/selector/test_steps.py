"""The steps of a training: which candidates meet in each, and in what pieces."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pneg import Selector, corpora
from pneg.selector.candidates import Candidates
from pneg.selector.recipe import Recipe
from pneg.selector.steps import TrainingSet, ahead

STARTER = list(corpora.read("starter:test"))


@pytest.mark.parametrize("architecture", ["cross", "shared"])
def test_pieces_of_a_step_hold_each_group_once(architecture: str, backbones: dict[str, Path]) -> None:
    chosen = Recipe(batch=8, bucket_tokens=900)
    candidates = Candidates.of(STARTER[:20], ("human",), 4)
    selector = Selector.create(str(backbones["bert"]), max_length=96, architecture=architecture, device="cpu")  # type: ignore[arg-type]
    texts = TrainingSet.of(candidates, selector)
    steps = texts.order(chosen, 0)
    assert sorted(np.concatenate(steps).tolist()) == list(range(20))
    assert [len(step) for step in steps] == [8, 8, 4]
    for fewest in (1, 5):
        pieces = texts.pieces(steps[0], chosen, 0, fewest)
        assert len(pieces) >= fewest
        assert sum(piece.groups for piece in pieces) == 8
        assert all(sorted(piece.packed.pairs.tolist()) == list(range(11 * piece.groups)) for piece in pieces)
        assert all(piece.weights is None for piece in pieces)
        assert max(len(piece.packed.input_ids) for piece in pieces) < 2 * 900


def test_weights_stand_beside_the_candidates_they_are_of(backbones: dict[str, Path]) -> None:
    few = [
        replace(item, negatives={"human": item.negatives["human"][:number]})
        for number, item in enumerate(STARTER[:6])
    ]
    candidates = Candidates.of(few, ("human",), 4)
    texts = TrainingSet.of(candidates, Selector.create(str(backbones["bert"]), device="cpu"))
    chosen = Recipe(weights={"human": 0.5}, bucket_tokens=10**6)
    [piece] = texts.pieces(np.array([5, 1, 3]), chosen, 0)
    assert piece.weights is not None
    assert (piece.weights == 0.5).sum(1).tolist() == [5, 1, 3]
    assert (piece.weights[:, :6] == 1).all()


@pytest.mark.parametrize("architecture", ["cross", "shared"])
def test_the_size_of_a_group_is_that_of_its_batch(architecture: str, backbones: dict[str, Path]) -> None:
    selector = Selector.create(str(backbones["bert"]), max_length=96, architecture=architecture, device="cpu")  # type: ignore[arg-type]
    texts = TrainingSet.of(Candidates.of(STARTER[:4], ("human",), 4), selector)
    numbers = np.array([(group, number) for group in range(4) for number in texts.candidates.draw(group, 0, 0)])
    alone = [len(texts.texts.pack(numbers[start : start + 11]).input_ids) for start in range(0, 44, 11)]
    assert texts.texts.sizes(numbers.reshape(4, 11, 2)).tolist() == alone


@pytest.mark.parametrize("architecture", ["cross", "shared"])
def test_a_contrasted_response_competes_in_its_own_context_with_itself_in_others(
    architecture: str, backbones: dict[str, Path]
) -> None:
    selector = Selector.create(str(backbones["bert"]), max_length=96, architecture=architecture, device="cpu")  # type: ignore[arg-type]
    texts = TrainingSet.of(Candidates.of(STARTER[:20], ("human",), 4), selector)
    groups = np.array([3, 0, 7, 11])
    [plain] = texts.pieces(groups, Recipe(bucket_tokens=10**6), 0)
    [piece] = texts.pieces(groups, Recipe(bucket_tokens=10**6, contrast=0.5, weights={"human": 0.5}), 0)
    assert (plain.groups, piece.groups, piece.size) == (4, 6, 11)
    assert piece.weights is not None
    assert (piece.weights[:4] == 0.5).sum(1).tolist() == [5] * 4
    assert (piece.weights[4:] == 1).all()
    with torch.inference_mode():
        scores = selector.scores(piece.packed).view(6, 11).numpy()
        unchanged = selector.scores(plain.packed).view(4, 11).numpy()
    assert scores[:4] == pytest.approx(unchanged, abs=1e-5)
    drawn = texts.candidates
    for group, found in zip((3, 0), scores[4:], strict=True):
        response = drawn.draw(group, 0, 0)[0]
        contexts = drawn.contrasted(group, response, 0, 0)
        asked = [(drawn.groups[number].context, drawn.responses[response]) for number in contexts]
        assert found == pytest.approx(selector.score(asked, whole=True), abs=1e-4)
    sizes = texts.texts.sizes(np.array([[[number, response] for number in contexts]]))
    assert sizes.tolist() == [len(texts.texts.pack(np.array([[number, response] for number in contexts])).input_ids)]


def test_order_and_draws_depend_on_the_seed_and_the_epoch(backbones: dict[str, Path]) -> None:
    candidates = Candidates.of(STARTER[:20], ("human",), 4)
    texts = TrainingSet.of(candidates, Selector.create(str(backbones["bert"]), device="cpu"))
    orders, draws = set(), set()
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        chosen = Recipe(batch=20, seed=seed)
        [order], [again] = (texts.order(chosen, epoch) for _ in range(2))
        assert order.tolist() == again.tolist()
        orders.add(tuple(order.tolist()))
        draws.add(texts.pieces(np.arange(20), chosen, epoch)[0].packed.input_ids.tobytes())
    assert len(orders | {tuple(range(20))}) == 4
    assert len(draws) == 3


@pytest.mark.parametrize("error", [MemoryError("none left"), SystemExit(3)])
def test_what_fails_while_the_next_step_is_made_is_raised_in_its_turn(error: BaseException) -> None:
    def steps() -> Iterator[int]:
        yield 1
        raise error

    made = ahead(steps())
    assert next(made) == 1
    with pytest.raises(type(error)) as caught:
        next(made)
    assert caught.value is error
