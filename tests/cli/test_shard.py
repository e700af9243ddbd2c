"""What a worker of a cluster does with its parts."""

import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

import chaos
from pneg import corpora
from pneg.cli.backend import Backend
from pneg.cli.prompted import Shard
from pneg.lm import LanguageModel, Request, Scripted
from pneg.lm.base import Complete
from pneg.negatives import Prompted

ANSWER = "\n".join(f"{n}. Number {n} is a good response." for n in range(1, 6)).removeprefix("1.")
LOCAL = Backend(
    lm="embedded", model=None, endpoint="completions", schema=False, batch=False, concurrency=2, timeout=60.0,
    patience=60.0, ledger=None, price_in=None, price_out=None, budget=None,
)  # fmt: skip


class Loaded(Scripted):
    loads = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        Loaded.loads += 1
        async with super().connect() as complete:
            yield complete


def test_a_worker_loads_its_model_once_for_all_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def language_model(_: Backend, __: Path) -> LanguageModel:
        return Loaded([ANSWER])

    monkeypatch.setattr(Backend, "language_model", language_model)
    examples, given = list(corpora.read("starter:demonstrations")), list(corpora.read("starter:test"))[:9]
    sent = pickle.dumps(Shard(LOCAL, partial(Prompted, examples=examples), {}))
    worker: Shard = pickle.loads(sent)
    for part in range(3):
        place = tmp_path / str(part)
        written = list(worker.of_part(3 * part, place).propose(given[3 * part : 3 * part + 3], 5))
        assert [len(responses) for responses in written] == [5, 5, 5]
        assert place.with_name(f"{part}.ledger.sqlite").exists()
    assert Loaded.loads == 1
    assert worker.lm is not None
    worker.lm.close()


def test_the_parts_together_are_what_one_job_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(request: Request) -> str:
        text: str = chaos.answer({"prompt": request.prompt, "seed": request.seed})["choices"][0]["text"]
        return text

    monkeypatch.setattr(Backend, "language_model", lambda *_: Scripted(said))
    examples, given = list(corpora.read("starter:demonstrations")), list(corpora.read("starter:test"))[:9]
    worker = Shard(LOCAL, partial(Prompted, examples=examples, seed=3), {})
    parts = []
    for first in (6, 0, 3):  # in any order
        parts += [(first, list(worker.of_part(first, tmp_path / str(first)).propose(given[first : first + 3], 5)))]
    assert worker.lm is not None
    worker.lm.close()
    written = [responses for _, part in sorted(parts) for responses in part]
    assert written == list(Prompted(Scripted(said), examples, seed=3).propose(given, 5))
