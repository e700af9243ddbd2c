"""Where models run, and in which numbers."""

from typing import Any

import numpy.typing as npt

from pneg.errors import needs

with needs("selector"):
    import torch


def best_device() -> str:
    """The device a model is put on if none is named."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def best_precision(device: torch.device) -> str:
    """`bfloat16` where the device multiplies in it faster than in `float32`, else `float32`."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device.type == "cpu":
        able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return "bfloat16" if able.get("avx512_bf16") or able.get("amx_bf16") else "float32"
    return "float32"


def to_device(array: npt.NDArray[Any], device: torch.device) -> torch.Tensor:
    """An array as a tensor on a device; on a GPU nothing waits until it is there."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        tensor = tensor.pin_memory()  # other memory is copied only when the device has done what it was given
    return tensor.to(device, non_blocking=True)
