"""Losses over the candidates of a context: small pure functions of scores."""

import torch
from torch import Tensor


def group_softmax(scores: Tensor, targets: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
    """Softmax cross-entropy over the candidates, averaged over contexts (the paper's Appendix A).

    Args:
        scores: shape (contexts, candidates), the positive first.
        targets: what share of the probability each candidate should have, of the same shape; by default the positive
            has all of it.
        weights: how often each candidate counts in the sum over the candidates, of the same shape, above 0.

    Returns:
        A scalar.
    """
    scores = scores.float()
    if weights is not None:
        scores = scores + weights.log()
    shares = torch.log_softmax(scores, dim=1)
    return -(shares[:, 0] if targets is None else (targets * shares).sum(1)).mean()


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """Targets of which a share is spread evenly over all candidates (Szegedy et al. 2016, section 7).

    Args:
        targets: shape (contexts, candidates), each row sums to 1.
        smoothing: the share, from 0 to 1.
    """
    return (1 - smoothing) * targets + smoothing / targets.shape[1]


def positive_first(scores: Tensor) -> Tensor:
    """Targets of the shape of `scores` in which the first candidate has everything."""
    targets = torch.zeros_like(scores, dtype=torch.float32)
    targets[:, 0] = 1
    return targets


def soft_labels(teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Targets from the scores of another selector (Hinton et al. 2015), of the same shape.

    Args:
        teacher: shape (contexts, candidates).
        temperature: above 1 for softer targets.
    """
    return torch.softmax(teacher.float() / temperature, dim=1)
