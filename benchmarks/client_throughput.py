"""Requests a second to a server that answers in 50 ms, beside the openai client; and memory over many contexts.

The server is scripted and runs in a process of its own. `job` is all that `pneg negatives prompted` does, prompts,
faults, ledger, journal and flow control included; `requests` is the client with flow control alone; `limit` sends
ready-made bytes over bare sockets and looks at nothing but the length of what comes back.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import common
from pneg.cli.garbage import seldom_looked_for
from pneg.dialogue import Dialogue
from pneg.jobs.claim import Job
from pneg.jobs.journal import Journal
from pneg.lm import Ledger, Metered, OpenAICompatible, Paced, Price, Recorded, Request, Run, Sampling
from pneg.lm.base import LanguageModel
from pneg.lm.client import body, encoded, quick_loop
from pneg.negatives import add
from pneg.negatives.prompted import Prompted, prompt

DELAY = 0.05
CONNECTIONS = (50, 256)
FEWER = 8
"""The peer is given so many times fewer requests, lest all wait for it."""
TICK = 0.0005
"""Seconds by which an answer may come early, so that one timer serves many."""
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


class Answers:
    """Sends each answer when it is due; all take alike, so the first is always next."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.due: deque[tuple[float, Any]] = deque()

    def add(self, transport: Any) -> None:
        """Answer over a connection, in its time."""
        self.due.append((self.loop.time() + DELAY, transport))
        if len(self.due) == 1:
            self.loop.call_later(DELAY, self._send)

    def _send(self) -> None:
        now = self.loop.time() + TICK
        while self.due and self.due[0][0] <= now:
            transport = self.due.popleft()[1]
            if not transport.is_closing():
                transport.write(ANSWER)
        if self.due:
            self.loop.call_at(self.due[0][0], self._send)


class Scripted(asyncio.Protocol):
    """A connection to the server: every request is answered alike after the delay."""

    def __init__(self, answers: Answers) -> None:
        self.answers, self.got = answers, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self.got += data
        head, found, rest = self.got.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(rest) >= length:
                self.got = rest[length:]
                self.answers.add(self.transport)


class Bare(asyncio.Protocol):
    """A connection that sends the next request as soon as an answer is as long as it should be."""

    def __init__(self, requests: Iterator[bytes], done: "asyncio.Future[None]") -> None:
        self.requests, self.done, self.missing = requests, done, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport: Any = transport
        self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        """Go on, or end with the requests."""
        self.missing -= len(data)
        if not self.missing:
            sent = next(self.requests, None)
            if sent is None:
                self.done.set_result(None)
            else:
                self.missing = len(ANSWER)
                self.transport.write(sent)


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=160, rounds=3)
    parser.add_argument(
        "--contexts",
        type=int,
        default=40_000,
        help="for memory; caches fill in the first 10,000 (default: %(default)s)",
    )
    options = parser.parse_args()
    dialogues = common.dialogues(options.data, "data_positives.json")
    examples = common.dialogues(None, "dev.json", "starter:demonstrations")
    asked = [
        Request(prompt.build(examples[:SHOTS], dialogue, 5), Sampling(max_tokens=240), seed=0)
        for dialogue in islice(cycle(dialogues), 64)
    ]
    with serving() as url:
        contenders: dict[str, Any] = {}
        for most in CONNECTIONS:
            limit = most * options.limit
            contenders[f"limit, {most}"] = _timed(lambda m=most, n=limit: _bare(url, m, asked, n))
            contenders[f"pneg, requests, {most}"] = _timed(lambda m=most, n=limit: _ours(url, m, asked, n))
            contenders[f"pneg, job, {most}"] = _timed(
                lambda m=most, n=limit: sum(1 for _ in _job(url, m, dialogues, examples, n))
            )
            contenders[f"openai, {most}"] = _timed(lambda m=most, n=limit // FEWER: _openai(url, m, asked, n))
        found: dict[str, list[Round]] = common.interleaved(contenders, options.rounds)
        rows = [["", "requests/s", "lowest-highest", "of the ideal", "of the limit", "CPU ms a request"]]
        for name, values in found.items():
            rates = [of.requests / of.seconds for of in values]
            cpu = median(of.cpu / of.requests for of in values)
            most = name.rpartition(" ")[2]
            limit = median(of.requests / of.seconds for of in found[f"limit, {most}"])
            shares = [f"{median(rates) / whole:.0%}" for whole in (int(most) / DELAY, limit)]
            rows.append([name, f"{median(rates):,.0f}", common.spread(rates), *shares, f"{cpu * 1e3:.3f}"])
        common.show(
            rows,
            f"{options.limit} requests a connection, {options.limit // FEWER} for the peer, in each of "
            f"{options.rounds} interleaved rounds, medians; {SHOTS} demonstrations; the server answers "
            f"{DELAY * 1e3:.0f} ms after it has read a request and shares the cores. The number behind a name: "
            "connections. Ideal: as many requests as fit into the delay, at no cost at all. Limit: what this server "
            "gives bare sockets. CPU: of this process; under 1 ms is under one core at 1,000 requests/s. A job's "
            "first requests find out how many the server bears. Peer: AsyncOpenAI with a semaphore, requests alone. "
            f"All with {'uvloop' if quick_loop() else 'the event loop of asyncio'}.",
            *(["uvloop"] if quick_loop() else []),
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
        answers = Answers()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Scripted(answers), "127.0.0.1", 0, backlog=1024)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    _run(run())


def _run(job: Coroutine[Any, Any, None]) -> None:
    """On the event loop that a job takes, too."""
    factory = None
    if quick_loop():
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(job)


def _timed(run: Any) -> Any:
    def timed(_: int) -> Round:
        gc.collect()
        cpu, started = time.process_time(), time.perf_counter()
        requests = run()
        return Round(requests, time.perf_counter() - started, time.process_time() - cpu)

    return timed


def _bare(url: str, most: int, asked: list[Request], limit: int) -> int:
    host, port = url.split("/")[2].split(":")
    bodies = [encoded(body(request, "m", "completions", {})) for request in asked]
    head = f"POST /v1/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: "
    sent = [f"{head}{len(each)}\r\n\r\n".encode() + each for each in bodies]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        requests = islice(cycle(sent), limit)
        done = [loop.create_future() for _ in range(most)]
        opened = [await loop.create_connection(lambda d=each: Bare(requests, d), host, int(port)) for each in done]
        await asyncio.gather(*done)
        for transport, _ in opened:
            transport.close()

    _run(run())
    return limit


def _ours(url: str, most: int, asked: list[Request], limit: int) -> int:
    lm = Paced(OpenAICompatible(url, "m", key="k", concurrency=most), start=most)

    async def run() -> None:
        async with lm.connect() as complete:
            await _all(lambda seed: complete(replace(asked[seed % len(asked)], seed=seed)), most, limit)

    _run(run())
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

    _run(run())
    return limit


async def _all(complete: Any, most: int, limit: int) -> None:
    """`limit` requests by `most` workers."""
    numbers = iter(range(limit))

    async def work() -> None:
        for number in numbers:
            await complete(number)

    await asyncio.gather(*(work() for _ in range(most)))


def _job(url: str, most: int, dialogues: list[Dialogue], examples: list[Dialogue], limit: int) -> Iterator[Dialogue]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger(Path(folder) / "ledger.sqlite", Run({})) as ledger,
        seldom_looked_for(),
    ):
        journal = Journal(Path(folder) / "out.jsonl", Job("a benchmark", {}))
        client: LanguageModel = OpenAICompatible(url, "m", key="k", concurrency=most)
        recorded = Recorded(Paced(Metered(client, Price())), ledger)
        source = Prompted(recorded, examples, shots=SHOTS, attempts=1, judged=recorded.judge)
        yield from journal.run(islice(cycle(dialogues), limit), lambda remaining, _: add(source, remaining, 5))


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
