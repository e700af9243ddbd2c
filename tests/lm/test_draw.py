"""Which token is drawn: against probabilities worked out by hand."""

from collections import Counter

import pytest
import torch

from pneg.lm.base import Sampling
from pneg.lm.draw import Draw

HALF_QUARTER = torch.tensor([0.5, 0.25, 0.125, 0.125]).log()
PLAIN = Sampling(temperature=1.0, frequency_penalty=0.0, presence_penalty=0.0)


def shares(sampling: Sampling, n: int = 2000) -> list[float]:
    """How often each of four tokens is drawn first."""
    draw = Draw(n, 4, torch.device("cpu"))
    for slot in range(n):
        draw.start(slot, sampling, seed=slot)
    counts = Counter(draw.next(HALF_QUARTER.repeat(n, 1), slice(0, n)).tolist())
    return [counts[token] / n for token in range(4)]


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (PLAIN, [0.5, 0.25, 0.125, 0.125]),
        (Sampling(0.5, 1.0, 0.0, 0.0), [16 / 22, 4 / 22, 1 / 22, 1 / 22]),
        (Sampling(0.0, 1.0, 0.0, 0.0), [1.0, 0.0, 0.0, 0.0]),
        (Sampling(1.0, 0.7, 0.0, 0.0), [2 / 3, 1 / 3, 0.0, 0.0]),
        (Sampling(1.0, 0.5, 0.0, 0.0), [1.0, 0.0, 0.0, 0.0]),
    ],
    ids=["as it is", "half the temperature", "temperature 0", "top-p .7", "top-p .5"],
)
def test_tokens_come_as_often_as_they_should(sampling: Sampling, expected: list[float]) -> None:
    for found, wanted in zip(shares(sampling), expected, strict=True):
        assert found == pytest.approx(wanted, abs=0.04 if 0 < wanted < 1 else 0)


def test_penalties_are_openais() -> None:
    """mu - c * frequency - (c > 0) * presence, with c how often the token was written."""
    draw = Draw(1, 3, torch.device("cpu"))
    draw.start(0, Sampling(0.0, 1.0, frequency_penalty=0.5, presence_penalty=1.0), seed=0)
    logits = torch.tensor([[3.0, 1.75, 0.0]])
    # 3 | 1.5 against 1.75 | then 1.5 against 0.25 | then 1.0, then 0.5 | then 0.0 against 0.25
    assert [draw.next(logits, slice(0, 1)).item() for _ in range(6)] == [0, 1, 0, 0, 0, 1]


def test_a_new_text_begins_without_penalties() -> None:
    draw = Draw(1, 3, torch.device("cpu"))
    logits = torch.tensor([[3.0, 1.75, 0.0]])
    for _ in range(2):
        draw.start(0, Sampling(0.0, 1.0, frequency_penalty=9.0, presence_penalty=9.0), seed=0)
        assert [draw.next(logits, slice(0, 1)).item() for _ in range(2)] == [0, 1]


def test_a_text_that_moves_to_another_slot_goes_on_as_it_was() -> None:
    def drawn(move: bool) -> list[int]:
        draw = Draw(2, 4, torch.device("cpu"))
        for slot in (0, 1):
            draw.start(slot, Sampling(1.0, 1.0, 0.9, 0.9), seed=slot)
        found = [draw.next(HALF_QUARTER.repeat(2, 1), slice(0, 2))[1].item() for _ in range(5)]
        if move:
            draw.move(1, 0)
        rows = slice(0, 1) if move else slice(1, 2)
        return found + [draw.next(HALF_QUARTER.repeat(1, 1), rows).item() for _ in range(20)]

    assert drawn(move=True) == drawn(move=False)
