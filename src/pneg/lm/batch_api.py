"""OpenAI's Batch API: answers within a day, at half the price."""

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneg.errors import BackendError
from pneg.lm.base import Complete, Completion, Request
from pneg.lm.client import (
    JSON,
    KEY_VARIABLE,
    PATHS,
    Endpoint,
    body,
    completion,
    exchange,
    public,
    refusal,
    session,
)
from pneg.lm.flow import Policy, again, quieten

if TYPE_CHECKING:
    import aiohttp

MOST = 50_000
"""Requests a batch may hold."""
RESUBMITTED = 3
"""How often a request that expired is put into another batch."""
ENDED = ("completed", "expired", "cancelled", "failed")


@dataclass(frozen=True, slots=True)
class BatchAPI:
    """A language model that is sent its requests together, in files.

    What was submitted is noted in a file before and after, so that a job that was stopped collects the batch that it
    paid for. The file may be deleted once the job is done.

    Args:
        url: what stands before `/batches`.
        name: the model as the server calls it.
        state: the file that remembers the batches, a JSON line for each step.
        key: the API key; by default that of the environment variable `OPENAI_API_KEY`.
        concurrency: requests a batch holds at most.
        endpoint: `chat` for a model that has no completions.
        lull: seconds without a new request after which those that wait are submitted.
        poll: seconds between two looks at a batch.
        policy: when to try a request for a file or a batch again.
    """

    url: str = field(repr=False)
    name: str
    state: Path
    key: str | None = field(default=None, repr=False)
    concurrency: int = 10_000
    endpoint: Endpoint = "completions"
    lull: float = 5.0
    poll: float = 30.0
    policy: Policy = field(default_factory=Policy)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Take up the batches that were submitted before, and begin to gather requests for others."""
        key = self.key or os.environ.get(KEY_VARIABLE) or "none"
        async with session(self.url, key, timeout=600.0) as http:
            job = _Job(self, _Server(http, self.url, key, self.policy))
            await job.take_up()
            gathering = asyncio.create_task(job.gather())
            try:
                yield job.complete
            finally:
                for task in (gathering, *job.collecting.values()):
                    task.cancel()
                await asyncio.gather(gathering, *job.collecting.values(), return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Server:
    """Files and batches."""

    http: "aiohttp.ClientSession"
    url: str = field(repr=False)
    key: str = field(repr=False)
    policy: Policy

    async def _sent(self, method: str, path: str, **sent: Any) -> bytes:
        address = f"{self.url.rstrip('/')}/{path}"
        return await exchange(self.http, method, address, public(self.url), self.key, **sent)

    async def get(self, path: str) -> bytes:
        """What lies there; asked for again if need be."""
        return await self._tried(lambda _: self._sent("GET", path))

    async def upload(self, lines: bytes) -> str:
        """Store a file of requests and return its name."""
        import aiohttp

        def form() -> aiohttp.FormData:
            made = aiohttp.FormData({"purpose": "batch"})
            made.add_field("file", lines, filename="requests.jsonl", content_type="application/jsonl")
            return made

        answer = await self._tried(lambda _: self._sent("POST", "files", data=form()))
        return str(json.loads(answer)["id"])

    async def submit(self, file: str, path: str, token: str) -> str:
        """Have a batch made of a file and return its name; never two, should the answer be lost on its way."""
        asked = {
            "input_file_id": file, "endpoint": f"/v1/{path}", "completion_window": "24h", "metadata": {"pneg": token},
        }  # fmt: skip

        async def attempt(again: bool) -> bytes:
            made = await self.found(token) if again else None
            if made is not None:
                return json.dumps({"id": made}).encode()
            return await self._sent("POST", "batches", data=json.dumps(asked), headers=JSON)

        return str(json.loads(await self._tried(attempt))["id"])

    async def found(self, token: str) -> str | None:
        """The batch that carries a token, if there is one."""
        after = ""
        while True:
            page = json.loads(await self.get(f"batches?limit=100{after}"))
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get("pneg") == token:
                    return str(batch["id"])
            if not (page.get("has_more") and page["data"]):
                return None
            after = f"&after={page['data'][-1]['id']}"

    async def _tried(self, call: Callable[[bool], Awaitable[bytes]]) -> bytes:
        import stamina

        quieten()
        async for attempt in stamina.retry_context(
            on=again,
            attempts=None,
            timeout=self.policy.patience,
            wait_initial=self.policy.first_wait,
            wait_max=self.policy.longest_wait,
            wait_jitter=self.policy.first_wait,
        ):
            with attempt:
                return await call(attempt.num > 1)
        raise AssertionError("it ends with an answer or an error")


class _Job:
    """What waits to be submitted, and what was."""

    def __init__(self, of: BatchAPI, server: _Server) -> None:
        self.of, self.server = of, server
        self.collecting: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._batch_of: dict[str, str] = {}
        self._waiting: dict[str, tuple[bytes, asyncio.Future[None]]] = {}
        self._arrived = asyncio.Event()

    async def complete(self, request: Request) -> Completion:
        line, name = self._line(request)
        for _ in range(RESUBMITTED + 1):
            if name not in self._batch_of:
                submitted = asyncio.get_running_loop().create_future()
                self._waiting[name] = (line, submitted)
                self._arrived.set()
                await submitted
            answers = await asyncio.shield(self.collecting[self._batch_of[name]])
            answer = answers.pop(name, None)
            if answer is not None:
                return self._completion(answer, request)
            del self._batch_of[name]
        raise BackendError("the request was not answered in any batch", reason="not answered in time")

    def _line(self, request: Request) -> tuple[bytes, str]:
        asked = body(request, self.of.name, self.of.endpoint, {})
        name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        path = f"/v1/{PATHS[self.of.endpoint]}"
        return json.dumps({"custom_id": name, "method": "POST", "url": path, "body": asked}).encode() + b"\n", name

    def _completion(self, answer: dict[str, Any], request: Request) -> Completion:
        told = json.dumps(answer["body"]).encode()
        if answer["status_code"] < 300:
            return completion(told, request, self.of.endpoint)
        raise refusal(public(self.of.url), answer["status_code"], {}, told, self.server.key)

    async def gather(self) -> None:
        """Submit what waits whenever there is a lull, or enough of it."""
        while True:
            await self._arrived.wait()
            while len(self._waiting) < min(MOST, self.of.concurrency):
                self._arrived.clear()
                try:
                    await asyncio.wait_for(self._arrived.wait(), self.of.lull)
                except TimeoutError:
                    break
            self._arrived.clear()
            group, self._waiting = self._waiting, {}
            try:
                await self._submit({name: line for name, (line, _) in group.items()})
            except (BackendError, OSError, ValueError, LookupError) as error:
                for _, submitted in group.values():
                    if not submitted.done():
                        submitted.set_exception(error)
            for _, submitted in group.values():
                if not submitted.done():
                    submitted.set_result(None)

    async def _submit(self, lines: dict[str, bytes]) -> None:
        token = secrets.token_hex(8)
        self._note({"submitting": token, "requests": list(lines)})
        file = await self.server.upload(b"".join(lines.values()))
        batch = await self.server.submit(file, PATHS[self.of.endpoint], token)
        self._note({"submitted": token, "batch": batch})
        self._watch(batch, list(lines), fresh=True)

    def _watch(self, batch: str, names: Iterable[str], fresh: bool) -> None:
        self._batch_of.update(dict.fromkeys(names, batch))
        self.collecting[batch] = asyncio.create_task(self._collect(batch, fresh))

    async def _collect(self, batch: str, fresh: bool) -> dict[str, Any]:
        """Wait for a batch to end; its answers by the name of the request."""
        while (found := json.loads(await self.server.get(f"batches/{batch}")))["status"] not in ENDED:
            await asyncio.sleep(self.of.poll)
        if found["status"] == "failed" and fresh:
            errors = (found.get("errors") or {}).get("data") or [{}]
            why = str(errors[0].get("message", "no reason given")).replace(self.server.key, "***")
            raise BackendError(f"the batch {batch} was refused: {why}")
        answers: dict[str, Any] = {}
        for kind in ("output_file_id", "error_file_id"):
            if found.get(kind):
                for line in (await self.server.get(f"files/{found[kind]}/content")).splitlines():
                    answer = json.loads(line)
                    if answer.get("response"):  # what expired has none, and is submitted again
                        answers[answer["custom_id"]] = answer["response"]
        return answers

    async def take_up(self) -> None:
        """Go on with what an earlier job has submitted."""
        submitting: dict[str, list[str]] = {}
        batches: dict[str, str] = {}
        for step in self._noted():
            if "requests" in step:
                submitting[step["submitting"]] = step["requests"]
            else:
                batches[step["submitted"]] = step["batch"]
        for token, names in submitting.items():
            batch = batches.get(token) or await self.server.found(token)
            if batch is not None:
                self._watch(batch, names, fresh=False)

    def _note(self, step: dict[str, Any]) -> None:
        with self.of.state.open("ab") as stream:
            stream.write(b"\n" * self._torn() + json.dumps(step).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _torn(self) -> bool:
        """Whether a job was killed while it wrote the last line."""
        with self.of.state.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            return bool(end) and (stream.seek(end - 1), stream.read(1))[1] != b"\n"

    def _noted(self) -> Iterator[dict[str, Any]]:
        lines = self.of.state.read_bytes().splitlines() if self.of.state.exists() else []
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:  # written when the job was killed: nothing was submitted behind it
                continue
