"""A server on the loopback that sends any bytes at all, whether they are HTTP or not."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Raw:
    """What it was sent, headers and body of each request, and where it is."""

    url: str = ""
    seen: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def sending(*answers: bytes) -> AsyncIterator[Raw]:
    """Answer each request with the next of the answers, all later ones with the last, and close the connection."""
    raw = Raw()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.I)
            raw.seen.append(head + await reader.readexactly(int(length[1]) if length else 0))
            writer.write(answers[min(len(raw.seen), len(answers)) - 1])
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # a client that has read enough
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield raw


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer of HTTP."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def saying(text: str = "one") -> bytes:
    """The body of a good answer."""
    return json.dumps({"choices": [{"text": text, "finish_reason": "stop"}]}).encode()
