"""Files and batches of a server that has OpenAI's Batch API."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from pneg.errors import BackendError
from pneg.lm.client import JSON
from pneg.lm.exchange import LONGEST_MESSAGE, answering, decoded, exchange, part, too_large
from pneg.lm.flow import Policy, again, asks_too_long, quieten
from pneg.lm.server import Server

if TYPE_CHECKING:
    import aiohttp

WAITING = ("validating", "in_progress", "finalizing", "cancelling")
ENDED = ("completed", "expired", "cancelled", "failed")
PAGES = 1_000
"""Pages of a list of batches that are looked through."""
REPLY = 2**24
"""Bytes of an answer about files and batches, at most."""
LINE = 2**22
"""Bytes of the answer to one request, at most."""
SHARE = 2**16
"""Bytes that the answers to all requests of a batch may have for each of them, beyond one `LINE`."""
NO_REPLY = "check --lm, and that the server has OpenAI's Batch API"
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Files:
    """Files and batches of a server. What it answers is looked at before it is used, or asked for again."""

    http: "aiohttp.ClientSession"
    server: Server
    policy: Policy

    async def _sent(self, method: str, path: str, query: str = "", **sent: Any) -> Any:
        address = self.server.address(path, query)
        answer = await exchange(self.http, self.server, method, address, REPLY, **sent)
        try:
            return decoded(answer)
        except ValueError:
            raise self.unusable(path) from None

    def unusable(self, path: str) -> BackendError:
        """The error of an answer that is not what the Batch API gives."""
        what = path.partition("/")[0]
        return BackendError(
            f"{self.server.shown} answered a request for {what} with what the Batch API does not give",
            retryable=True,
            hint=NO_REPLY,
        )

    async def upload(self, lines: bytes) -> str:
        """Store a file of requests and return its name."""
        import aiohttp

        async def attempt(_: bool) -> str:
            form = aiohttp.FormData({"purpose": "batch"})
            form.add_field("file", lines, filename="requests.jsonl", content_type="application/jsonl")
            return self._id(await self._sent("POST", "files", data=form), "files")

        return await self._tried(attempt)

    async def submit(self, file: str, path: str, token: str) -> str:
        """Have a batch made of a file and return its name; never two, should the answer be lost on its way."""
        asked = {
            "input_file_id": file, "endpoint": f"/v1/{path}", "completion_window": "24h", "metadata": {"pneg": token},
        }  # fmt: skip

        async def attempt(again: bool) -> str:
            made = await self.named(token) if again else None
            if made is not None:
                return made
            batch = await self._sent("POST", "batches", data=json.dumps(asked), headers=JSON)
            return self._id(batch, "batches")

        return await self._tried(attempt)

    async def named(self, token: str) -> str | None:
        """The batch that carries a token, if there is one."""
        query = "limit=100"
        for _ in range(PAGES):
            page = await self._tried(lambda _, asked=query: self._page(asked))  # type: ignore[misc]
            for batch in page["data"]:
                if part(batch, "metadata", "pneg") == token:
                    return self._id(batch, "batches")
            if not (page.get("has_more") and page["data"]):
                return None
            query = f"limit=100&after={quote(self._id(page['data'][-1], 'batches'), safe='')}"
        raise self.unusable("batches")

    async def _page(self, query: str) -> dict[str, Any]:
        page = await self._sent("GET", "batches", query)
        if not isinstance(part(page, "data"), list):
            raise self.unusable("batches")
        return page  # type: ignore[no-any-return]

    async def batch(self, name: str) -> dict[str, Any]:
        """What the server says of a batch, with a status that is known."""

        async def attempt(_: bool) -> dict[str, Any]:
            batch = await self._sent("GET", f"batches/{quote(name, safe='')}")
            if part(batch, "status") not in WAITING + ENDED:
                raise self.unusable("batches")
            return batch  # type: ignore[no-any-return]

        return await self._tried(attempt)

    async def answers(self, file: Any, names: Collection[str]) -> dict[str, Any]:
        """What stands in a file of answers, by the name of the request; None for one that has no response.

        Args:
            file: its name, as the batch has it.
            names: of the requests in the batch; what is said of others is not kept.
        """
        name = self._id({"id": file}, "files")
        return await self._tried(lambda _: self._lines(f"files/{quote(name, safe='')}/content", set(names)))

    async def _lines(self, path: str, names: set[str]) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        limit = LINE + SHARE * len(names)
        size, pending = 0, bytearray()
        async with answering(self.http, self.server, "GET", self.server.address(path)) as answer:
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                *lines, rest = chunk.split(b"\n")
                for line in lines:
                    pending += line
                    self._line(bytes(pending), names, answers, path)
                    pending.clear()
                pending += rest
                if size > limit or len(pending) > LINE:
                    answer.close()
                    raise too_large(self.server, min(size, limit))
        self._line(bytes(pending), names, answers, path)
        return answers

    def _line(self, line: bytes, names: set[str], answers: dict[str, Any], path: str) -> None:
        """Keep the answer in a line. A line that names no request means that the file did not come as it is."""
        if not line.strip():
            return
        try:
            told = decoded(line)
        except ValueError:
            told = None
        name = part(told, "custom_id")
        if not isinstance(name, str):
            raise self.unusable(path)
        if name in names:
            answers[name] = told.get("response")

    def _id(self, found: Any, path: str) -> str:
        """The name of a file or a batch."""
        name = part(found, "id")
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_MESSAGE:
            raise self.unusable(path)
        return name

    async def _tried(self, call: Callable[[bool], Awaitable[_Value]]) -> _Value:
        import stamina

        quieten()
        open_at = 0.0
        async for attempt in stamina.retry_context(
            on=again,
            attempts=None,
            timeout=self.policy.patience,
            wait_initial=self.policy.first_wait,
            wait_max=self.policy.longest_wait,
            wait_jitter=self.policy.first_wait,
        ):
            with attempt:
                await asyncio.sleep(open_at - time.monotonic())
                try:
                    return await call(attempt.num > 1)
                except BackendError as error:
                    if too_long := asks_too_long(error, self.policy):
                        raise too_long from None
                    open_at = time.monotonic() + (error.retry_after or 0.0)
                    raise
        raise AssertionError("it ends with an answer or an error")
