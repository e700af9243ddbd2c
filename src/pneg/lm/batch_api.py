"""OpenAI's Batch API: answers within a day, at half the price."""

import asyncio
import hashlib
import json
import os
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pneg.errors import BackendError, DataError, printable
from pneg.lm.base import Complete, Completion, Request
from pneg.lm.batch_files import ENDED, NO_REPLY, Files
from pneg.lm.client import PATHS, body
from pneg.lm.completions import Endpoint, completion_of
from pneg.lm.exchange import LONGEST_MESSAGE, decoded, part, refusal, session
from pneg.lm.flow import Policy
from pneg.lm.server import Server, usable_key

MOST = 50_000
"""Requests a batch may hold."""
RESUBMITTED = 3
"""How often a request that expired is put into another batch."""
NO_COMPLETION = "answer without a completion"
_Group = dict[str, tuple[bytes, "asyncio.Future[None]"]]
"""Requests as lines of a file, by their names, and who waits until they are submitted."""


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
        server = Server(self.url, usable_key(self.key))
        async with session(server, timeout=600.0) as http:
            job = _Job(self, Files(http, server, self.policy))
            await job.take_up()
            gathering = asyncio.create_task(job.gather())
            gathering.add_done_callback(job.gathered)
            try:
                yield job.complete
            finally:
                for task in (gathering, *job.collecting.values()):
                    task.cancel()
                await asyncio.gather(gathering, *job.collecting.values(), return_exceptions=True)


class _Job:
    """What waits to be submitted, and what was."""

    def __init__(self, of: BatchAPI, files: Files) -> None:
        self.of, self.files = of, files
        self.collecting: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._asked: Counter[str] = Counter()
        self._batch_of: dict[str, str] = {}
        self._waiting: _Group = {}
        self._submitting: _Group = {}
        self._arrived = asyncio.Event()
        self._failed: BaseException | None = None

    async def complete(self, request: Request) -> Completion:
        line, name = self._line(request)
        self._asked[name] += 1
        try:
            for _ in range(RESUBMITTED + 1):
                if name not in self._batch_of:
                    await self._submitted(name, line)
                answers = await asyncio.shield(self.collecting[self._batch_of[name]])
                answer = answers.get(name) if self._asked[name] > 1 else answers.pop(name, None)
                if answer is not None:
                    try:
                        return self._completion(answer, request)
                    except BackendError as error:
                        if not error.retryable:
                            raise
                        if error.billed:  # another batch would be paid for again
                            raise BackendError(error.message, reason=NO_COMPLETION, billed=True) from None
                self._batch_of.pop(name, None)
        finally:
            self._asked[name] -= 1
        raise BackendError("the request was not answered in any batch", reason="not answered in time")

    async def _submitted(self, name: str, line: bytes) -> None:
        """Wait until a batch holds the request."""
        if self._failed:
            raise self._failed
        if name not in self._waiting:
            self._waiting[name] = (line, asyncio.get_running_loop().create_future())
            self._arrived.set()
        await asyncio.shield(self._waiting[name][1])

    def _line(self, request: Request) -> tuple[bytes, str]:
        asked = body(request, self.of.name, self.of.endpoint, {})
        name = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        path = f"/v1/{PATHS[self.of.endpoint]}"
        return json.dumps({"custom_id": name, "method": "POST", "url": path, "body": asked}).encode() + b"\n", name

    def _completion(self, answer: Any, request: Request) -> Completion:
        status, told = part(answer, "status_code"), part(answer, "body")
        if type(status) is not int or 200 <= status < 300:
            return completion_of(told, request, self.of.endpoint)
        raise refusal(self.files.server, status, {}, told)

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
            self._submitting, self._waiting = self._waiting, {}
            try:
                await self._submit({name: line for name, (line, _) in self._submitting.items()})
            except (BackendError, OSError) as error:
                _settle(self._submitting, error)
            _settle(self._submitting)

    def gathered(self, task: "asyncio.Task[None]") -> None:
        """Let all who wait know why nothing is submitted any more."""
        if not task.cancelled():
            self._failed = task.exception()
            _settle({**self._submitting, **self._waiting}, self._failed)

    async def _submit(self, lines: dict[str, bytes]) -> None:
        token = secrets.token_hex(8)
        self._note({"submitting": token, "requests": list(lines)})
        file = await self.files.upload(b"".join(lines.values()))
        batch = await self.files.submit(file, PATHS[self.of.endpoint], token)
        self._note({"submitted": token, "batch": batch})
        self._watch(batch, list(lines), fresh=True)

    def _watch(self, batch: str, names: Iterable[str], fresh: bool) -> None:
        if batch in self.collecting:
            raise BackendError(f"{self.files.server.shown} calls two batches {batch}", hint=NO_REPLY)
        self._batch_of.update(dict.fromkeys(names, batch))
        self.collecting[batch] = asyncio.create_task(self._collect(batch, list(names), fresh))

    async def _collect(self, name: str, names: Collection[str], fresh: bool) -> dict[str, Any]:
        """Wait for a batch to end; its answers by the name of the request."""
        while (batch := await self.files.batch(name))["status"] not in ENDED:
            await asyncio.sleep(self.of.poll)
        if batch["status"] == "failed" and fresh:
            message = part(batch, "errors", "data", 0, "message")
            why = message if isinstance(message, str) else "no reason given"
            shown = self.files.server.masked(printable(why))[:LONGEST_MESSAGE]
            raise BackendError(f"the batch {name} was refused: {shown}")
        answers: dict[str, Any] = {}
        for kind in ("output_file_id", "error_file_id"):
            if batch.get(kind):
                answers |= await self.files.answers(batch[kind], names)
        missing = len(set(names) - answers.keys())
        if missing and batch["status"] == "completed":  # they may have been paid for
            raise BackendError(
                f"the batch {name} is completed, and {missing} answers to its {len(names)} requests are missing",
                hint=f"give the same command again later, or delete {self.of.state} to pay for them again",
            )
        # what expired has no response, and is submitted again
        return {request: response for request, response in answers.items() if response}

    async def take_up(self) -> None:
        """Go on with what an earlier job has submitted.

        Raises:
            DataError: when the file that remembers the batches was changed.
        """
        submitting: dict[str, list[str]] = {}
        batches: dict[str, str] = {}
        for number, step in self._noted():
            token, names, batch = (part(step, key) for key in ("submitting", "requests", "batch"))
            if isinstance(token, str) and isinstance(names, list) and all(isinstance(name, str) for name in names):
                submitting[token] = names
            elif isinstance(token := part(step, "submitted"), str) and isinstance(batch, str):
                batches[token] = batch
            else:
                expected = "put back what stood there, or delete the file to give up the batches that were submitted"
                raise DataError("this is no step of a batch", expected, file=self.of.state, line=number)
        for token, names in submitting.items():
            batch = batches.get(token) or await self.files.named(token)
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

    def _noted(self) -> Iterator[tuple[int, Any]]:
        """The steps that were noted, each with its line counted from 1."""
        lines = self.of.state.read_bytes().splitlines() if self.of.state.exists() else []
        for number, line in enumerate(lines, 1):
            try:
                yield number, decoded(line)
            except ValueError:  # written when the job was killed: nothing was submitted behind it
                continue


def _settle(group: "_Group", error: BaseException | None = None) -> None:
    """Let those go on whose requests were submitted, or could not be."""
    for _, submitted in group.values():
        if not submitted.done():
            if error is None:
                submitted.set_result(None)
            else:
                submitted.set_exception(error)
