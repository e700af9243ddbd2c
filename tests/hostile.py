"""A server that answers whatever it is made to, drawn by hypothesis, and well when it has run out of that."""

import gzip
import json
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from typing import Any

from hypothesis import strategies as st

import chaos


@dataclass(frozen=True)
class Answer:
    """What is sent instead of a good answer.

    Attributes:
        status: of HTTP; 0 sends the body alone, which is then no HTTP at all.
        headers: besides those of a good answer, or in their place.
        changes: to the JSON of a good answer: a path each, and the value that it gets.
        body: instead of that JSON, if it is not None.
        encoding: of the JSON.
        length: what is added to the true length in the header; None leaves the header away.
        cut: bytes after which the connection is reset; None sends all.
        stall: nothing is sent until the client has gone.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    changes: tuple[tuple[tuple[str | int, ...], Any], ...] = ()
    body: bytes | None = None
    encoding: str = "utf-8"
    length: int | None = 0
    cut: int | None = None
    stall: bool = False


class Server(ThreadingHTTPServer):
    """Completions, chat, and OpenAI's Batch API.

    Attributes:
        plan: what is answered to the next requests; good answers follow when it is used up.
        asked: the seeds of all requests for a completion, in order; a batch's when it is made.
        good: the seeds of those that got a good answer.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.released = Lock(), Event()
        self.begin(())

    def begin(self, plan: Sequence[Answer]) -> None:
        """Forget what was asked, and answer by another plan."""
        with self.lock:
            self.plan = list(plan)
            self.asked: list[int] = []
            self.good: list[int] = []

    @property
    def url(self) -> str:
        """What stands before `/completions`."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    files: dict[str, bytes]
    batches: dict[str, dict[str, Any]]

    def forget_batches(self) -> None:
        """Have neither files nor batches."""
        self.files, self.batches = {}, {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that give up are part of the tests."""


class Handler(BaseHTTPRequestHandler):
    """Of one connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer a request for a completion, or take a file or a batch."""
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            return self._say(self._filed(sent))
        asked = json.loads(sent)
        if self.path == "/v1/batches":
            return self._say(self._batched(asked))
        with self.server.lock:
            self.server.asked.append(asked["seed"])
        return self._say(good(asked), asked["seed"])

    def do_GET(self) -> None:
        """Tell of batches, or give a file."""
        server, path = self.server, self.path.removeprefix("/v1/")
        if path.startswith("batches?"):
            return self._say({"data": list(server.batches.values()), "has_more": False})
        if path.startswith("batches/"):
            return self._say(server.batches.get(path.partition("/")[2], {"error": {"message": "none such"}}))
        return self._say(server.files.get(path.split("/")[1], b""))

    def _filed(self, sent: bytes) -> Any:
        mark = b"--" + self.headers["Content-Type"].partition("boundary=")[2].encode()
        parts = [part.partition(b"\r\n\r\n") for part in sent.split(mark)[1:-1]]
        [lines] = [content.removesuffix(b"\r\n") for head, _, content in parts if b'filename="' in head]
        name = f"file-{len(self.server.files)}"
        self.server.files[name] = lines
        return {"id": name}

    def _batched(self, asked: Mapping[str, Any]) -> Any:
        server, name = self.server, f"batch-{len(self.server.batches)}"
        answers = []
        for line in server.files[asked["input_file_id"]].splitlines():
            each = json.loads(line)
            server.asked.append(each["body"]["seed"])
            response = {"status_code": 200, "body": good(each["body"])}
            answers.append({"custom_id": each["custom_id"], "error": None, "response": response})
        server.files[f"out-{name}"] = b"".join(json.dumps(each).encode() + b"\n" for each in answers)
        batch = {"id": name, "status": "completed", "output_file_id": f"out-{name}", **asked}
        server.batches[name] = batch
        return batch

    def _say(self, value: Any, seed: int | None = None) -> None:
        with self.server.lock:
            answer = self.server.plan.pop(0) if self.server.plan else None
            if answer is None and seed is not None:
                self.server.good.append(seed)
        try:
            self._send(answer or Answer(), value)
        except OSError:
            self.close_connection = True

    def _send(self, answer: Answer, value: Any) -> None:
        if answer.stall:
            self.server.released.wait(1)
            self.close_connection = True
            return
        body = answer.body
        if body is None:
            value = changed(value, answer.changes)
            body = value if isinstance(value, bytes) else json.dumps(value).encode(answer.encoding, "surrogatepass")
        head = b""
        if answer.status:
            named = {"Content-Type": "application/json"}
            if answer.length is not None:
                named["Content-Length"] = str(max(0, len(body) + answer.length))
            lines = [f"HTTP/1.1 {answer.status} so", *(f"{name}: {text}" for name, text in named.items())]
            lines += [f"{name}: {text}" for name, text in answer.headers]
            head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
        self.wfile.write((head + body)[: answer.cut])
        self.wfile.flush()
        if answer != Answer():
            self.close_connection = True
            if answer.cut is not None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


def good(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a server answers that is in order; a part of the responses has faults, so that more is asked for."""
    answer = chaos.answer(asked)
    [choice] = answer["choices"]
    text = choice["text"]
    if "response_format" in asked:
        lines = [re.sub(r"^\d+\. ", "", line.strip()) for line in text.splitlines() if line.strip()]
        text = json.dumps({"responses": lines})
    if "messages" in asked:
        choice |= {"message": {"role": "assistant", "content": text}}
        del choice["text"]
    return answer


GONE = "-gone-"
"""Stands for a key that is left out."""


def changed(value: Any, changes: Sequence[tuple[tuple[str | int, ...], Any]]) -> Any:
    """The value with others put in at some places, those that it does not have left out."""
    value = json.loads(json.dumps(value)) if not isinstance(value, bytes) else value
    for path, put in changes:
        if not path:
            value = put
            continue
        place = value
        try:
            for step in path[:-1]:
                place = place[step]
            if put == GONE:
                del place[path[-1]]
            else:
                place[path[-1]] = put
        except (LookupError, TypeError):
            continue
    return value


TEXTS = st.sampled_from(
    ["", "\ud83d", " a \ud83d b\n2. c \udfff d", "\x1b[2J\x1b]52;c;eA==\x07", "\x9b31m\u202e", "\x00", "\ufeff",
     "x" * 5000, " one\n2. two\n3. three\n4. four\n5. five", "\r\n" * 50, '{"responses": 5}',
     '{"responses": ["\\ud83d a", "b"]}',
     '{"responses": ' + "[" * 5000, "1" * 5000, "a\u2028b", "..."]
) | st.text(st.characters(exclude_categories=()), max_size=40)  # fmt: skip
NUMBERS = st.sampled_from(
    [1e30, -5, 2**63, 2**70, 10**9, 0, 0.5, "12", "x", None, True, float("nan"), float("inf"), -float("inf"), 1e308]
) | st.integers()  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMED = ("model", "system_fingerprint", "usage", "choices", "id", "object", "data", "status", "metadata", "has_more",
         "output_file_id", "error_file_id", "errors", "request_counts")  # fmt: skip
PATHS = st.sampled_from(
    [(), *((name,) for name in NAMED), ("choices", 0), ("choices", 0, "text"), ("choices", 0, "message"),
     ("choices", 0, "message", "content"), ("choices", 0, "finish_reason"), ("usage", "prompt_tokens"),
     ("usage", "completion_tokens"), ("usage", "prompt_tokens_details"),
     ("usage", "prompt_tokens_details", "cached_tokens"), ("data", 0), ("data", 0, "metadata"), ("data", 0, "id")]
)  # fmt: skip
COUNTS = st.sampled_from(
    [("usage", "prompt_tokens"), ("usage", "completion_tokens"), ("usage", "prompt_tokens_details", "cached_tokens")]
)
WORDS = st.sampled_from([("choices", 0, "text"), ("choices", 0, "message", "content"), ("model",)])
CHANGES = st.lists(
    st.tuples(COUNTS, NUMBERS) | st.tuples(WORDS, TEXTS) | st.tuples(PATHS, VALUES | st.just(GONE)),
    min_size=1,
    max_size=3,
).map(tuple)
STATUSES = st.sampled_from(
    [200, 200, 200, 201, 204, 206, 301, 302, 303, 307, 308, 400, 401, 403, 404, 408, 409, 413, 418, 422, 425, 429,
     429, 500, 502, 503, 503, 529, 599, 999]
)  # fmt: skip
HEADERS = st.sampled_from(
    [("Retry-After", text) for text in ("0", "-1", "1e9", "99999999999", "nan", "0.01", "soon", "\x1b[2J",
     "9" * 400, "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo 99999 99:99:99 GMT")]
    + [("retry-after-ms", "0"), ("Content-Type", "application/json; charset=nonesuch"), ("Content-Type", "text/html"),
       ("Content-Type", ""), ("Content-Type", "application/json; charset=utf-16"), ("Content-Encoding", "gzip"),
       ("Content-Encoding", "deflate"), ("Content-Encoding", "br"), ("Content-Encoding", "nonesuch"),
       ("Transfer-Encoding", "chunked"), ("Location", "http://127.0.0.1:9/v1"), ("Location", "://"),
       ("Location", "/v1"), ("Content-Length", "-5"), ("Content-Length", "many"), ("X-Long", "x" * 100_000),
       ("Set-Cookie", "a=\x01;;=;"),
       ("Connection", "upgrade"), ("Odd\x00Name", "x"), ("", "x")]
)  # fmt: skip
ERRORS = st.fixed_dictionaries(
    {"error": st.fixed_dictionaries({"message": TEXTS | VALUES, "code": TEXTS | VALUES}) | VALUES}
).map(lambda value: json.dumps(value).encode())
BODIES = st.one_of(
    ERRORS,
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.sampled_from(
        [b"", b"<html><body>nginx</body></html>", b"[" * 100_000, b'{"choices":' * 5000, b"null", b"data: [DONE]\n\n",
         b"HTTP/1.1 200 OK\r\n\r\n", b"1" * 6000, gzip.compress(b"{}" * 1000), b'{"choices": [{"text": "\xff\xfe"}]}',
         b'{"choices": [{"text": "a"}]} trailing', b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}", b"5\r\nabcde\r\n"]
    ),
)  # fmt: skip
ANSWERS = st.one_of(
    st.builds(Answer, changes=CHANGES, encoding=st.sampled_from(["utf-8"] * 4 + ["utf-16", "utf-8-sig"])),
    st.builds(
        Answer, status=STATUSES, headers=st.lists(HEADERS, max_size=2).map(tuple), body=st.none() | BODIES,
        length=st.sampled_from([0, 0, 0, 5, -5, None]),
    ),
    st.builds(Answer, status=st.sampled_from([200, 200, 500, 0]), body=st.none() | BODIES, cut=st.integers(0, 400)),
    st.builds(Answer, status=st.just(0), body=st.binary(max_size=40)),
    st.just(Answer(stall=True)),
)  # fmt: skip
"""What a server may answer once."""
PLANS = st.lists(ANSWERS, min_size=1, max_size=6)
