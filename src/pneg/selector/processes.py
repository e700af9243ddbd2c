"""Several processes that train one selector, as `torchrun` starts them: each works on a share of every step."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pneg.devices import best_device
from pneg.errors import needs

with needs("selector"):
    import torch


def is_first() -> bool:
    """Whether this process is the one that writes, known before it has met the others."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all.

    Attributes:
        number: of this one, from 0.
        count: how many there are.
        device: of this one.
    """

    number: int
    count: int
    device: str

    @classmethod
    def join(cls, device: str | None = None) -> "Processes":
        """Meet the other processes, if `torchrun` started any.

        Args:
            device: by default the best there is; with several processes, the one that is this process's.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) == 1:
            return cls(0, 1, device or best_device())
        with needs("selector"):
            from accelerate import PartialState
        state: Any = PartialState(cpu=(device or best_device()) == "cpu")
        return cls(state.process_index, state.num_processes, str(state.device))

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.number == 0

    def add_up(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor by its sum over all processes, in one exchange."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        torch.distributed.all_reduce(flat)
        start = 0
        for tensor in tensors:
            tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.count > 1:
            torch.distributed.barrier()
