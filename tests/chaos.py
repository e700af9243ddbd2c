"""A server on the loopback that answers by prompt and seed alone, and fails as it is told to."""

import hashlib
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any

Fault = Callable[["Handler"], None]
"""Answers a request in a way that no client wishes for."""
Plan = Callable[[int, dict[str, Any]], "Fault | None"]
"""What goes wrong with the request of this number, counted from 0; None where nothing does."""
PROMPT_TOKENS, CACHED_TOKENS, COMPLETION_TOKENS = 100, 40, 20


class Server(ThreadingHTTPServer):
    """Writes five responses to a prompt, one in six of them with a fault, and counts what it was asked.

    Attributes:
        asked: how often each prompt and seed came.
        answered: how many answers were sent whole.
        most: requests that were in work at a time, at most.
        connections: that are open.
        arrived: set with each request.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, plan: Plan = lambda _, __: None, delay: float = 0.0, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.plan, self.delay = plan, delay
        self.asked: Counter[tuple[str, int]] = Counter()
        self.times: list[float] = []
        self.answered = self.most = self.working = self.connections = 0
        self.arrived, self.lock = Event(), Lock()

    @property
    def url(self) -> str:
        """What stands before `/completions`."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count a connection that is accepted, until its thread ends."""
        with self.lock:
            self.connections += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self.lock:
                self.connections -= 1

    def wait_until_all_is_read(self) -> None:
        """Wait for all that clients sent before they were killed."""
        with socket.create_connection(("127.0.0.1", self.server_port)) as behind:  # accepted after theirs
            behind.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while behind.recv(1024):
                pass
        while self.connections:
            time.sleep(0.005)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are killed are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer, or do what the plan says instead."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            number = len(server.times)
            server.times.append(time.monotonic())
            server.working += 1
            server.most = max(server.most, server.working)
            fault = server.plan(number, asked)
            server.asked[asked.get("prompt") or asked["messages"][-1]["content"], asked["seed"]] += fault is None
        server.arrived.set()
        try:
            if fault is not None:
                fault(self)
            else:
                time.sleep(server.delay)
                self.answer(200, json.dumps(answer(asked)).encode())
                with server.lock:
                    server.answered += 1
        finally:
            with server.lock:
                server.working -= 1

    def answer(
        self, status: int, body: bytes, kind: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


def answer(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What OpenAI would answer; the text depends on the prompt and the seed alone."""
    prompt = asked.get("prompt") or asked["messages"][-1]["content"]
    words = re.findall(r"\w+", prompt.rsplit('"""', 2)[1])
    first = int(re.findall(r"(\d+)\.$", prompt)[0])
    drawn = hashlib.sha256(f"{asked['seed']} {prompt}".encode()).digest()
    lines = [
        f"{n}. "
        + ("____ blank" if drawn[n] < 43 else f"About {words[-n % len(words)]} number {n}, {drawn[:4].hex()}")
        for n in range(first, 6)
    ]
    text = "\n".join(lines).removeprefix(f"{first}.")
    return {
        "id": "1", "object": "text_completion", "created": 1, "model": "m-0613", "system_fingerprint": "b42",
        "choices": [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS,
            "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
        },
    }  # fmt: skip


def refusing(status: int, message: str = "no", code: str = "", after: str | None = None) -> Fault:
    """An error of the protocol, with or without `Retry-After`."""
    body = json.dumps({"error": {"message": message, "code": code, "type": "error", "param": None}}).encode()
    headers = {} if after is None else {"Retry-After": after}
    return lambda handler: handler.answer(status, body, headers=headers)


def saying(body: bytes, kind: str = "application/json") -> Fault:
    """Any body at all, with status 200."""
    return lambda handler: handler.answer(200, body, kind)


def breaking_off(handler: Handler) -> None:
    """Half a body, and then a reset."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"id": "1", "choices": [{"te')
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    handler.connection.close()
    handler.close_connection = True


def never_answering(handler: Handler) -> None:
    """Nothing, over a connection that stays open until the client closes it."""
    while handler.connection.recv(1024):
        pass
    handler.close_connection = True


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run it in the background until the block ends."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
