"""Weights that lie as a processor multiplies by them."""

from typing import Any

import torch
from transformers.pytorch_utils import Conv1D


class PackedLinear(torch.nn.Module):
    """A linear layer whose weights were put in oneDNN's order beforehand; PyTorch's own does it in every call.

    With a token each of some texts that is a good part of a product's time. The results are the same, in float32 but
    for the order of sums.

    Args:
        weight: shape (out, in), bfloat16 or float32.
        bias: shape (out,), or none.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        # no buffer: a tensor in this order can be neither saved nor moved
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
        self.bias = bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The layer's output, shape (..., out); for inference only."""
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(hidden, self.packed, self.bias, "none", [], "")
        return found


def pack(model: Any) -> None:
    """Pack the linear layers of a model that is only to compute, in place.

    Nothing is done where it is not known to gain: on a GPU, and on processors other than x86.
    """
    able = hasattr(torch.ops.mkldnn, "_reorder_linear_weight") and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    x86 = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    if not (able and x86) or model.device.type != "cpu" or model.dtype not in (torch.bfloat16, torch.float32):
        return
    with torch.no_grad():
        for module in list(model.modules()):
            for name, child in list(module.named_children()):
                if type(child) is torch.nn.Linear:
                    setattr(module, name, PackedLinear(child.weight, child.bias))
                elif type(child) is Conv1D:  # GPT-2's
                    setattr(module, name, PackedLinear(child.weight.t().contiguous(), child.bias))
