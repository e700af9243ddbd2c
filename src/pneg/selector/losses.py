"""Losses over the candidates of a context: small pure functions of scores."""

import torch


def group_softmax(scores: torch.Tensor) -> torch.Tensor:
    """Softmax cross-entropy over the candidates, averaged over contexts (the paper's Appendix A).

    Args:
        scores: shape (contexts, candidates), the positive first.

    Returns:
        A scalar.
    """
    target = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
    return torch.nn.functional.cross_entropy(scores.float(), target)
