"""Requests a second to a server that answers in 50 ms, beside the openai client; and memory over many contexts.

The server is scripted and runs in a process of its own. `job` is all that `pneg negatives prompted` does, prompts,
faults, ledger and flow control included; `requests` is the client with flow control alone.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import common
from pneg.dialogue import Dialogue
from pneg.lm import Ledger, Metered, OpenAICompatible, Paced, Price, Recorded, Request, Run, Sampling
from pneg.lm.base import LanguageModel
from pneg.negatives.prompted import Prompted, prompt

DELAY = 0.05
CONNECTIONS = (50, 256)
SHOTS = 2
MEBIBYTE = 2**20
TEXT = "\n".join(f"{n}. Number {n} is a good response to nothing." for n in range(1, 6)).removeprefix("1.")
CHOICE = {"index": 0, "text": TEXT, "finish_reason": "stop", "logprobs": None}
USAGE = {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360}
BODY = json.dumps(
    {"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [CHOICE], "usage": USAGE}
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


@dataclass(frozen=True)
class Round:
    """What a contender did in a round."""

    requests: int
    seconds: float
    cpu: float


class Scripted(asyncio.Protocol):
    """A connection to the server: every request is answered alike after the delay."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport: Any = transport
        self.got = b""

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self.got += data
        head, found, rest = self.got.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(rest) >= length:
                self.got = rest[length:]
                asyncio.get_running_loop().call_later(DELAY, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=4_000, rounds=3)
    parser.add_argument("--contexts", type=int, default=20_000, help="for memory (default: %(default)s)")
    options = parser.parse_args()
    dialogues = common.dialogues(options.data, "data_positives.json")
    examples = common.dialogues(None, "dev.json", "starter:demonstrations")
    asked = [
        Request(prompt.build(examples[:SHOTS], dialogue.context, 5), Sampling(max_tokens=240), seed=0)
        for dialogue in islice(cycle(dialogues), 64)
    ]
    with serving() as url:
        contenders: dict[str, Any] = {}
        for most in CONNECTIONS:
            contenders[f"pneg, requests, {most}"] = _timed(lambda m=most: _ours(url, m, asked, options.limit))
            contenders[f"openai, {most}"] = _timed(lambda m=most: _openai(url, m, asked, options.limit))
            contenders[f"pneg, job, {most}"] = _timed(
                lambda m=most: sum(1 for _ in _job(url, m, dialogues, examples, options.limit))
            )
        found: dict[str, list[Round]] = common.interleaved(contenders, options.rounds)
        rows = [["", "requests/s", "lowest-highest", "of the ideal", "CPU ms a request"]]
        for name, values in found.items():
            rates = [of.requests / of.seconds for of in values]
            cpu = median(of.cpu / of.requests for of in values)
            ideal = int(name.rpartition(" ")[2]) / DELAY
            share = f"{median(rates) / ideal:.0%}"
            rows.append([name, f"{median(rates):,.0f}", common.spread(rates), share, f"{cpu * 1e3:.2f}"])
        common.show(
            rows,
            f"{options.limit} requests in each of {options.rounds} interleaved rounds, medians; {SHOTS} "
            f"demonstrations; the server answers {DELAY * 1e3:.0f} ms after it has read a request and shares the "
            "cores. The number behind a name: connections. Ideal: as many requests as fit into the delay, at no cost "
            "at all. CPU: of this process; under 1 ms is under one core at 1,000 requests/s. A job's first requests "
            "find out how many the server bears. Peer: AsyncOpenAI with a semaphore, requests alone.",
            "aiohttp",
            "openai",
        )
        _memory(url, dialogues, examples, options.contexts)


@contextmanager
def serving() -> Iterator[str]:
    """The server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Pipe()
    process = context.Process(target=_serve, args=(told,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ready.recv()}/v1"
    finally:
        process.kill()
        process.join()


def _serve(told: Any) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Scripted, "127.0.0.1", 0, backlog=1024)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def _timed(run: Any) -> Any:
    def timed(_: int) -> Round:
        gc.collect()
        cpu, started = time.process_time(), time.perf_counter()
        requests = run()
        return Round(requests, time.perf_counter() - started, time.process_time() - cpu)

    return timed


def _ours(url: str, most: int, asked: list[Request], limit: int) -> int:
    lm = Paced(OpenAICompatible(url, "m", key="k", concurrency=most), start=most)

    async def run() -> None:
        async with lm.connect() as complete:
            await _all(lambda seed: complete(replace(asked[seed % len(asked)], seed=seed)), most, limit)

    asyncio.run(run())
    return limit


def _openai(url: str, most: int, asked: list[Request], limit: int) -> int:
    import openai

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:

            async def complete(seed: int) -> object:
                request = asked[seed % len(asked)]
                return await client.completions.create(
                    model="m", prompt=request.prompt, temperature=0.8, frequency_penalty=0.4, presence_penalty=0.4,
                    max_tokens=240, seed=seed,
                )  # fmt: skip

            await _all(complete, most, limit)

    asyncio.run(run())
    return limit


async def _all(complete: Any, most: int, limit: int) -> None:
    """`limit` requests by `most` workers."""
    numbers = iter(range(limit))

    async def work() -> None:
        for number in numbers:
            await complete(number)

    await asyncio.gather(*(work() for _ in range(most)))


def _job(
    url: str, most: int, dialogues: list[Dialogue], examples: list[Dialogue], limit: int
) -> Iterator[tuple[str, ...]]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger(Path(folder) / "ledger.sqlite", Run({})) as ledger,
    ):
        client: LanguageModel = OpenAICompatible(url, "m", key="k", concurrency=most)
        recorded = Recorded(Paced(Metered(client, Price())), ledger)
        source = Prompted(recorded, examples, shots=SHOTS, attempts=1, judged=recorded.judge)
        yield from source.propose(islice(cycle(dialogues), limit), 5)


def _memory(url: str, dialogues: list[Dialogue], examples: list[Dialogue], contexts: int) -> None:
    """Print the memory of this process as contexts go by, and its slope over the second half."""
    print(f"\nmemory over {contexts:,} contexts, {CONNECTIONS[-1]} connections")
    page = os.sysconf("SC_PAGE_SIZE")
    seen: list[tuple[int, float]] = []
    for number, _ in enumerate(_job(url, CONNECTIONS[-1], dialogues, examples, contexts), start=1):
        if number % max(1, contexts // 10) == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen.append((number, pages * page / MEBIBYTE))
    rows = [["contexts", "MiB"], *([f"{number:,}", f"{size:.1f}"] for number, size in seen)]
    print(common.aligned(rows))
    later = seen[len(seen) // 2 :]
    slope = (later[-1][1] - later[0][1]) / max(1, later[-1][0] - later[0][0])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"slope over the second half: {slope * 1e6:.1f} MiB a million contexts; peak {most:.0f} MiB")


if __name__ == "__main__":
    main()
