"""Attention over slots is attention, whichever way it is computed."""

import pytest
import torch

from pneg.lm.slots import attend

ROWS, HEADS, SHARED, WIDTH, BEGUN = 3, 6, 2, 8, 7


@pytest.mark.parametrize("alike", [0, 5])
@pytest.mark.parametrize("tokens", [1, 4])
@pytest.mark.parametrize(("precision", "error"), [("float32", 1e-6), ("bfloat16", 3e-2)])
def test_each_way_gives_the_mean_of_the_values_by_likeness_of_the_keys(
    precision: str, error: float, tokens: int, alike: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    length = BEGUN + tokens + 3  # the last three are another text's
    query = torch.randn(ROWS, HEADS, tokens, WIDTH, generator=generator)
    key, value = torch.randn(2, ROWS, SHARED, length, WIDTH, generator=generator)
    for held in key, value:
        held[:, :, :alike] = held[:1, :, :alike]
    seen = torch.arange(length) <= torch.arange(BEGUN, BEGUN + tokens)[:, None]
    mask = torch.zeros(ROWS, 1, tokens, length).masked_fill_(~seen, torch.finfo(torch.float32).min)
    dtype = getattr(torch, precision)
    if precision == "bfloat16":
        mask = mask.clamp(min=torch.finfo(dtype).min)
    query, key, value = (of.to(dtype) for of in (query, key, value))
    found, nothing = attend(torch.nn.Identity(), query, key, value, mask.to(dtype), alike=alike)
    assert nothing is None
    assert found.dtype == dtype
    keys, values = (of.double().repeat_interleave(HEADS // SHARED, dim=1) for of in (key, value))
    scores = (query.double() @ keys.transpose(2, 3)) / WIDTH**0.5
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    assert (found.double() - (weights @ values).transpose(1, 2)).abs().max() < error
