"""A causal language model inside this process, run by transformers with continuous batching."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneg import models
from pneg.errors import ModelError, needs
from pneg.lm.base import Complete, Completion, Request

if TYPE_CHECKING:
    from pneg.lm.engine import Engine

READ_AT_ONCE = {"cuda": 32_768, "cpu": 1_024}
"""Tokens of prompts in one pass."""


@dataclass(frozen=True, slots=True)
class Transformers:
    """A causal language model on this machine's GPU, or on its processor.

    It computes in bfloat16 where the device multiplies in it, else in float32. Prompts that begin alike share what
    is computed for the beginning. The numbers that decide a sample depend on the seed alone; what else is in work
    can change sums in their last bits, and with them, now and then, a word.

    Args:
        name: a name in `pneg.models.MIRRORED`, a hub name, or a folder.
        concurrency: texts in work at a time; 0 stands for 64 on a processor and 256 on a GPU.
        device: as PyTorch names it; by default a GPU where there is one.
    """

    name: str = "smollm2-135m"
    concurrency: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        with needs("transformers"):
            import torch  # noqa: F401
            import transformers  # noqa: F401

        from pneg.devices import best_device

        device = self.device or best_device()
        object.__setattr__(self, "device", device)
        object.__setattr__(self, "concurrency", self.concurrency or (256 if device.startswith("cuda") else 64))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Load the model and start its thread; stop it at the end.

        Raises:
            ModelError: when there is no such model or it is no causal language model.
        """
        # OpenMP's threads end with the one that made them. While they are there beside the engine's, all of them
        # sleep between two operations instead of waiting awake, and the engine is the slower for it.
        with ThreadPoolExecutor(1) as loader:
            engine = await asyncio.get_running_loop().run_in_executor(loader, self._load)

        async def complete(request: Request) -> Completion:
            return await asyncio.wrap_future(engine.submit(request))

        try:
            yield complete
        finally:
            await asyncio.shield(asyncio.to_thread(engine.close))

    def _load(self) -> "Engine":
        with needs("transformers"):
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

        from pneg.devices import best_precision
        from pneg.lm.engine import Engine
        from pneg.lm.packed import pack
        from pneg.lm.slots import ATTENTION

        folder = models.causal_folder(self.name)
        device = torch.device(self.device or "cpu")
        try:
            with models.quiet():
                tokenizer = AutoTokenizer.from_pretrained(folder)
                model = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=getattr(torch, best_precision(device)), attn_implementation=ATTENTION
                )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{self.name} is no causal language model: {str(error).splitlines()[0]}") from error
        model.to(device).eval()  # type: ignore[arg-type]
        pack(model)
        budget = READ_AT_ONCE["cuda" if device.type == "cuda" else "cpu"]
        return Engine(model, tokenizer, self.concurrency, budget)
