"""Ranking over HTTP on the processor, beside the model called without a server.

minilm-l6, 10 candidates a request. One client: within what time half, and 99 of 100, requests are answered, beside a
call of the model a request. Many clients: requests a second, beside the model called with as many requests at once.
The clients are bare sockets in a process of their own, and share the cores with the server.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median

import numpy as np

import common
from pneg.cli.serve import _load
from pneg.dialogue import Dialogue
from pneg.selector.ranking import turns_read

BACKBONE = "minilm-l6"
CANDIDATES = 10
CLIENTS = 32
Asked = tuple[tuple[str, ...], list[str]]


@dataclass(frozen=True)
class Round:
    """What a contender did in a round.

    Attributes:
        seconds: of each request, or of each call.
        took: seconds of the round.
        requests: that were answered.
        cpu: seconds of the clients' process.
    """

    seconds: list[float]
    took: float
    requests: int
    cpu: float = 0.0


def main() -> None:
    """Measure and print."""
    options = _options()
    common.quiet()
    asked = _asked(common.dialogues(options.data, "test.json"), options.limit)
    with tempfile.TemporaryDirectory() as made:
        folder = options.selector or _fresh(made)
        selector = _load(folder)
        scored = [[(turns, text) for text in texts] for turns, texts in asked]
        selector.score([pair for pairs in scored for pair in pairs])
        words = [f"--together={options.together}"] if options.together else []
        with _server(folder, words) as port, _clients(port, asked) as clients:
            contenders: dict[str, Callable[[int], Round]] = {
                "1 client: pneg serve": lambda _: clients(1),
                "1 client: bare call of the model": lambda _: _alone(selector, scored),
                f"{CLIENTS} clients: pneg serve": lambda _: clients(CLIENTS),
                f"{CLIENTS} clients: bare call, {CLIENTS} requests at once": lambda _: _together(selector, scored),
            }
            for run in contenders.values():
                run(0)
            found = common.interleaved(contenders, options.rounds)
    _show(found, len(asked), options)


def _options() -> argparse.Namespace:
    parser = common.arguments(__doc__, limit=128, rounds=5)
    parser.add_argument("--selector", metavar="DIR", help="a selector's folder (default: a fresh head on minilm-l6)")
    parser.add_argument("--together", type=int, help="as of pneg serve")
    return parser.parse_args()


def _show(found: dict[str, list[Round]], requests: int, options: argparse.Namespace) -> None:
    rows = [["", "p50 ms", "p99 ms", "requests/s", "lowest-highest", "of the bare call", "clients' CPU ms a request"]]
    bare: list[Round] = []
    for name, rounds in reversed(found.items()):
        rates = [round.requests / round.took for round in rounds]
        every = [second * 1e3 for round in rounds for second in round.seconds]
        served = name.endswith("pneg serve")
        single = name.startswith("1 ")
        bare = bare if served else rounds
        against = median(second * 1e3 for round in bare for second in round.seconds)
        rate = median(round.requests / round.took for round in bare)
        ratio = np.median(every) / against if single else rate / median(rates)
        rows.insert(
            1,
            [
                name,
                f"{np.median(every):.1f}",
                f"{np.percentile(every, 99):.1f}",
                f"{median(rates):.1f}",
                common.spread(rates),
                f"{ratio:.2f}x " + ("the p50" if single else "fewer a second") if served else "",
                f"{median(round.cpu / round.requests for round in rounds) * 1e3:.2f}" if served else "",
            ],
        )
    common.show(
        rows,
        f"{requests} requests a round with {CANDIDATES} candidates each, medians of {options.rounds} interleaved "
        "rounds behind an untimed one that warms the server and the model up; p50 and p99 over all requests (of a "
        f"bare call: over all calls). {options.selector or 'A fresh head on ' + BACKBONE}. The clients, bare sockets "
        f"on one loop, share the {os.cpu_count()} cores with the server; each asks again once it is answered.",
        "fastapi",
        "uvicorn",
        "torch",
    )


def _asked(dialogues: list[Dialogue], limit: int) -> list[Asked]:
    """Contexts with a positive and others' responses, ten candidates each."""
    full = [
        (turns_read(item.context, item.persona, 4), [*item.positives, *item.negatives["human"]][:CANDIDATES])
        for item in dialogues
        if len(item.positives) + len(item.negatives.get("human", ())) >= CANDIDATES
    ]
    if full:
        return common.sample(full, limit)
    texts = [text for item in dialogues for text in item.positives]  # the shipped corpus has fewer a context
    return common.sample(
        [(turns_read(item.context, item.persona, 4), texts[n : n + CANDIDATES]) for n, item in enumerate(dialogues)],
        limit,
    )


def _fresh(folder: str) -> str:
    from pneg.selector.model import Selector

    Selector.create(BACKBONE, device="cpu").save(folder)
    return folder


def _alone(selector: object, scored: list[list[tuple[tuple[str, ...], str]]]) -> Round:
    """A call of the model a request."""
    began, seconds = time.perf_counter(), []
    for pairs in scored:
        started = time.perf_counter()
        selector.score(pairs)
        seconds.append(time.perf_counter() - started)
    return Round(seconds, time.perf_counter() - began, len(scored))


def _together(selector: object, scored: list[list[tuple[tuple[str, ...], str]]]) -> Round:
    """A call of the model for as many requests as there are clients."""
    began, seconds = time.perf_counter(), []
    for start in range(0, len(scored), CLIENTS):
        started = time.perf_counter()
        selector.score([pair for pairs in scored[start : start + CLIENTS] for pair in pairs])
        seconds.append(time.perf_counter() - started)
    return Round(seconds, time.perf_counter() - began, len(scored))


@contextmanager
def _server(folder: str, words: list[str]) -> Iterator[int]:
    command = [sys.executable, "-m", "pneg", "serve", folder, "--port", "0", "--json", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["url"].rpartition(":")[2])
        process.send_signal(signal.SIGTERM)


@contextmanager
def _clients(port: int, asked: list[Asked]) -> Iterator[Callable[[int], Round]]:
    """Clients in a process of their own; what is returned runs a round of as many."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    requests = [_request(*one) for one in asked]
    process = context.Process(target=_asking, args=(there, port, requests), daemon=True)
    process.start()

    def run(clients: int) -> Round:
        here.send(clients)
        found: Round = here.recv()
        return found

    try:
        yield run
    finally:
        process.kill()
        process.join()


def _request(turns: tuple[str, ...], texts: list[str]) -> bytes:
    body = json.dumps({"context": turns, "candidates": texts}).encode()
    head = f"POST /rank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _asking(pipe: Connection, port: int, requests: list[bytes]) -> None:
    while True:
        pipe.send(asyncio.run(_round(port, requests, pipe.recv())))


async def _round(port: int, requests: list[bytes], clients: int) -> Round:
    """All requests by as many clients, each on a connection of its own."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(clients)]
    waiting, seconds = iter(requests), []

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for request in waiting:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))
            seconds.append(time.perf_counter() - started)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
        writer.close()

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client(*stream) for stream in streams))
    return Round(seconds, time.perf_counter() - began, len(requests), time.process_time() - cpu)


if __name__ == "__main__":
    main()
