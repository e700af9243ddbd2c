"""The embedded language model: llama.cpp inside this process, spoken to as any other server."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pneg import models
from pneg.errors import ModelError, needs
from pneg.lm.base import Complete
from pneg.lm.client import OpenAICompatible
from pneg.lm.flow import Paced

PENALISED = {"repeat_last_n": 16}
"""llama.cpp counts the prompt's last tokens among those it penalises. So many are the prompt's instruction; with its
usual 64 it would penalise the words of the context, which are what a negative should share."""
SILENT = -1
"""llama.cpp's level of talk that shows nothing."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A GGUF model run by llama.cpp on a free port of the loopback, with a key of its own.

    llama.cpp's own limits on sampling (the 40 likeliest tokens, none under 5% of the likeliest) stay in force. The
    same seed gives the same text when requests come one at a time; together, which requests share a batch changes
    sums in their last bits, and with them, now and then, a word.

    Args:
        name: a name in `pneg.models.MIRRORED`, or a GGUF file.
        concurrency: requests at a time, each in a slot with a cache of its own.
        context_tokens: prompt and completion of one request together.
        threads: by default one a core.
    """

    name: str = "smollm2-135m"
    concurrency: int = 8
    context_tokens: int = 2048
    threads: int = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Load the model and start the server; stop it at the end."""
        from anyio import to_thread

        key = secrets.token_hex(16)
        server = await to_thread.run_sync(self._start, key)
        try:
            client = OpenAICompatible(
                f"{server.listening_address}/v1",
                self.name,
                key=key,
                concurrency=self.concurrency,
                extra=PENALISED,
            )
            async with Paced(client, start=self.concurrency).connect() as complete:
                yield complete
        finally:
            del server

    def _start(self, key: str) -> Any:
        with needs("embedded"):
            import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(models.weights(self.name))
        params.n_parallel = self.concurrency
        params.n_ctx = self.context_tokens * self.concurrency
        params.n_gpu_layers = 999
        threads = self.threads or os.cpu_count() or 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.hostnames, params.port = ["127.0.0.1"], 0
        params.api_keys = [key]
        params.ui = False
        params.verbosity = SILENT
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(f"llama.cpp cannot load {params.model.path}: {error}") from error
