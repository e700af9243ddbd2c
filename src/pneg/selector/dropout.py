"""Dropout that a processor is fast at: PyTorch draws its masks on one core, one number at a time."""

import numpy as np

from pneg.errors import needs

with needs("selector"):
    import torch

SIXTEEN_BITS = 1 << 16


class Masks:
    """Draws dropout masks; after `seed` the same masks follow, whatever was drawn before."""

    def __init__(self) -> None:
        self.seed(0, 0)

    def seed(self, *numbers: int) -> None:
        """Start anew from these numbers."""
        self._generator = np.random.Generator(np.random.SFC64(list(numbers)))

    def draw(self, shape: torch.Size, p: float) -> torch.Tensor:
        """Booleans that are False with probability `p`, to 16 bits."""
        drawn = np.frombuffer(bytearray(self._generator.bytes(2 * shape.numel())), dtype=np.int16)
        return torch.from_numpy(drawn).view(shape) >= round(p * SIXTEEN_BITS) - SIXTEEN_BITS // 2


class FastDropout(torch.nn.Module):
    """`torch.nn.Dropout` with masks from `Masks`."""

    def __init__(self, p: float, masks: Masks) -> None:
        super().__init__()
        self.p, self.masks = p, masks

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Zero a share of the numbers and scale the rest, in training only."""
        if not self.training:
            return hidden
        return hidden * (self.masks.draw(hidden.shape, self.p).to(hidden.dtype) / (1 - self.p))


def install(model: torch.nn.Module, masks: Masks) -> None:
    """Put `FastDropout` in the place of every `torch.nn.Dropout` of a model."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Dropout) and child.p > 0:
                setattr(module, name, FastDropout(child.p, masks))
