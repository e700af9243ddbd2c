"""HTTP for a server that is asked the same way over and over: at a fifth of what aiohttp takes of the processor."""

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

PLAIN = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:\d+)?(/[A-Za-z0-9._~/-]*)?")
"""Addresses without a user, a query or anything that is to be encoded."""
CONNECTING = 30.0
"""Seconds a connection may take to be opened."""
KEPT = 15.0
"""Seconds after which a connection that is not used is not trusted any more."""
EYEBALLS = 0.25
"""Seconds after which a server's next address is tried beside the first (RFC 8305)."""


class Unreachable(OSError):
    """No connection could be opened: nothing was sent."""


class Broken(OSError):
    """The connection ended before the answer did."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; the names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def suits(address: str) -> bool:
    """Whether an address is so plain, and the parser there, that requests to it can go this way."""
    return find_spec("httptools") is not None and PLAIN.fullmatch(address) is not None


class Pool:
    """Connections to one address, opened as they are needed and kept; there is no limit to them.

    Args:
        address: that `suits`.
        headers: sent with each request, those of the message itself aside.
        timeout: seconds a request may take.
    """

    def __init__(self, address: str, headers: Mapping[str, str], timeout: float) -> None:
        parts = urlsplit(address)
        self._host, self._secure = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        sent = {"Host": parts.netloc, "User-Agent": "pneg", "Accept-Encoding": "identity", **headers}
        lines = [f"POST {parts.path or '/'} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        self._head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")
        self._timeout = timeout
        self._free: deque[_Connection] = deque()
        self._open: set[_Connection] = set()
        self._addresses: list[Any] = []
        self._context: ssl.SSLContext | None = None

    async def __aenter__(self) -> "Pool":
        self._context = await asyncio.to_thread(ssl.create_default_context) if self._secure else None
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        for connection in tuple(self._open):
            connection.abort()

    async def post(self, body: bytes) -> Answer:
        """Send a body, once, and return the answer.

        Raises:
            Unreachable: when no connection could be opened.
            TimeoutError: when the answer takes too long.
            Broken: when it ends too early, or is not HTTP.
        """
        started = time.monotonic()
        connection = self._taken(started) or await self._connected()
        left = max(0.0, self._timeout - (time.monotonic() - started))
        answer = await connection.asked(self._head + b"%d\r\n\r\n" % len(body) + body, left)
        if connection.usable:
            connection.since = time.monotonic()
            self._free.append(connection)
        return answer

    def _taken(self, now: float) -> "_Connection | None":
        """The connection that was used last, if it is still good."""
        while self._free:
            connection = self._free.pop()
            if connection.usable and now - connection.since < KEPT:
                return connection
            connection.abort()
        return None

    async def _connected(self) -> "_Connection":
        import aiohappyeyeballs

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(self._timeout, CONNECTING)):
                if not self._addresses:
                    self._addresses = await loop.getaddrinfo(self._host, self._port, type=1)
                socket = await aiohappyeyeballs.start_connection(
                    self._addresses, happy_eyeballs_delay=EYEBALLS, interleave=1, loop=loop
                )
                name = self._host if self._context else None
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._open), sock=socket, ssl=self._context, server_hostname=name
                )
        except OSError as error:  # a time-out is one
            self._addresses = []
            raise Unreachable(str(error)) from error
        return connection


class _Connection(asyncio.Protocol):
    """One request at a time.

    Attributes:
        usable: for another request.
        since: when it was last used, by the monotonic clock.
    """

    def __init__(self, among: "set[_Connection]") -> None:
        import httptools

        self.usable, self.since = True, 0.0
        self._among = among
        self._parser: Any = httptools.HttpResponseParser(self)
        self._error: type[Exception] = httptools.HttpParserError
        self._waiting: asyncio.Future[Answer] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._ends_with_connection = False

    async def asked(self, sent: bytes, timeout: float) -> Answer:
        """Send a request and wait for the answer."""
        if self._transport.is_closing():
            raise Broken("closed")
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Answer] = loop.create_future()
        self._waiting = waiting
        late = loop.call_later(timeout, self._end, TimeoutError())
        self._transport.write(sent)
        try:
            return await waiting
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            late.cancel()

    def abort(self) -> None:
        """Close it at once."""
        self.usable = False
        self._waiting = None
        self._transport.abort()

    def _end(self, error: Exception) -> None:
        waiting = self._waiting
        self.abort()
        if waiting and not waiting.done():
            waiting.set_exception(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open (asyncio)."""
        self._transport: Any = transport
        self._among.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed (asyncio)."""
        self.usable = False
        self._among.discard(self)
        if self._ends_with_connection and exc is None:
            self._whole()
        self._end(Broken(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        """Part of an answer has come (asyncio)."""
        if self._waiting is None:  # nothing was asked
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except self._error as error:
            self._end(Broken(str(error)))

    def on_message_begin(self) -> None:
        """The first of an answer (httptools)."""
        self._headers, self._body = [], []

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header (httptools)."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """All of them (httptools)."""
        framed = any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)
        self._ends_with_connection = not framed and self._parser.get_status_code() >= 200

    def on_body(self, body: bytes) -> None:
        """Part of the body (httptools)."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The last of an answer (httptools)."""
        if self._parser.get_status_code() >= 200:  # else the answer itself is yet to come
            self.usable = self.usable and self._parser.should_keep_alive()
            self._whole()

    def _whole(self) -> None:
        waiting, self._waiting, self._ends_with_connection = self._waiting, None, False
        if waiting and not waiting.done():
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._headers}
            waiting.set_result(Answer(self._parser.get_status_code(), headers, b"".join(self._body)))
        if not self.usable:
            self._transport.close()
