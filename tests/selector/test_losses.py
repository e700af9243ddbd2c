"""Losses by hand, and dropout."""

import numpy as np
import pytest
import torch

from pneg.selector.dropout import FastDropout, Masks
from pneg.selector.losses import group_softmax, positive_first, smoothed, soft_labels


def test_group_softmax_by_hand() -> None:
    scores = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    first = np.log(np.e + 2) - 1
    second = np.log(1 + np.e**2 + np.e)
    assert group_softmax(scores).item() == pytest.approx((first + second) / 2)


def test_losses_by_hand() -> None:
    scores = torch.tensor([[0.0, np.log(2.0), np.log(5.0)]])  # probabilities 1/8, 2/8, 5/8
    plain = np.log(8)
    assert group_softmax(scores).item() == pytest.approx(plain)
    assert group_softmax(scores, positive_first(scores)).item() == pytest.approx(plain)
    # the last candidate counts a fifth: 1 of 1 + 2 + 1
    assert group_softmax(scores, weights=torch.tensor([[1.0, 1.0, 0.2]])).item() == pytest.approx(np.log(4))
    spread = smoothed(positive_first(scores), 0.3)
    assert spread.tolist() == [pytest.approx([0.8, 0.1, 0.1])]
    expected = 0.8 * np.log(8) + 0.1 * np.log(4) + 0.1 * np.log(8 / 5)
    assert group_softmax(scores, spread).item() == pytest.approx(expected)
    assert soft_labels(scores).tolist() == [pytest.approx([1 / 8, 2 / 8, 5 / 8])]
    root = [1, np.sqrt(2), np.sqrt(5)]
    assert soft_labels(scores, temperature=2.0).tolist() == [pytest.approx([value / sum(root) for value in root])]


def test_fast_dropout_drops_its_share_and_keeps_the_mean() -> None:
    layer = FastDropout(0.1, Masks())
    out = layer(torch.ones(1000, 1000))
    assert (out == 0).float().mean().item() == pytest.approx(0.1, abs=0.002)
    assert out.mean().item() == pytest.approx(1.0, abs=0.002)
    assert torch.equal(layer.eval()(torch.ones(4)), torch.ones(4))


def test_masks_repeat_after_the_same_seed() -> None:
    masks = Masks()
    masks.seed(1, 2)
    first = masks.draw(torch.Size([50]), 0.5)
    masks.seed(1, 3)
    assert not torch.equal(masks.draw(torch.Size([50]), 0.5), first)
    masks.seed(1, 2)
    assert torch.equal(masks.draw(torch.Size([50]), 0.5), first)
