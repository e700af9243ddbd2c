"""The language model inside this process: what it writes, beside transformers' own generation."""

import asyncio
import threading
from concurrent.futures import CancelledError
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pneg.errors import BackendError, ModelError
from pneg.lm import Completion, Request, Sampling, Transformers
from pneg.lm.base import TOO_LONG
from pneg.lm.engine import Engine
from pneg.lm.slots import ATTENTION

GREEDY = Sampling(temperature=0.0, frequency_penalty=0.0, presence_penalty=0.0, max_tokens=24)
DRAWN = Sampling(temperature=1.0, frequency_penalty=0.0, presence_penalty=0.0, max_tokens=24)
ALIKE = "The train to the sea leaves at nine in the morning, and the tickets are on the table beside the keys. "
PROMPTS = [
    "Who",
    "Have you seen the dog? It was in the garden when I came home.",
    *(ALIKE * 2 + rest for rest in ("Shall we go?", "I lost mine.", "Nobody told me that it was so early!")),
    "Four dollars, please.",
    ALIKE + "What a pity.",
    "The soup is cold, the bread is hard and the waiter has gone home.",
]


@pytest.fixture
def engine(language_model: Path, monkeypatch: pytest.MonkeyPatch):
    """Three slots for whatever is asked, in float32, as transformers' generation beside it."""
    model = AutoModelForCausalLM.from_pretrained(language_model, attn_implementation=ATTENTION).eval()
    engine = Engine(model, AutoTokenizer.from_pretrained(language_model), slots=3, budget=100)
    yield engine
    engine.close()


def written(engine: Engine, *requests: Request) -> list[Completion]:
    futures = [engine.submit(request) for request in requests]
    return [future.result(timeout=300) for future in futures]


def test_the_likeliest_tokens_are_those_of_transformers(engine: Engine, language_model: Path) -> None:
    reference = AutoModelForCausalLM.from_pretrained(language_model, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    expected = []
    for prompt in PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        output = reference.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=24,
            do_sample=False,
        )
        expected.append(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    found = written(engine, *(Request(prompt, GREEDY, 0) for prompt in PROMPTS))
    assert [completion.text for completion in found] == expected
    assert len(set(expected)) > 4
    again = written(engine, *(Request(prompt, GREEDY, 0) for prompt in PROMPTS[::-1]))
    assert [completion.text for completion in again] == expected[::-1]


def test_a_text_that_is_done_makes_room_while_others_are_in_work(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_there, forward = threading.Event(), engine._forward

    def wait(*given: Any) -> torch.Tensor:
        all_there.wait(300)
        return forward(*given)

    monkeypatch.setattr(engine, "_forward", wait)
    ended: list[str] = []
    # 24 tokens in one of three slots, beside four turns of two tokens in the others
    lengths = {"long": 24, **{f"short {number}": 2 for number in range(8)}}
    futures = []
    for name, most in lengths.items():
        futures.append(engine.submit(Request(PROMPTS[1], replace(GREEDY, max_tokens=most), 0)))
        futures[-1].add_done_callback(lambda _, name=name: ended.append(name))
    all_there.set()
    assert [future.result(timeout=300).completion_tokens for future in futures] == list(lengths.values())
    engine.close()  # its thread notes the last one after it was answered
    assert ended[-1] == "long"


def test_prompts_that_begin_alike_are_read_once(engine: Engine) -> None:
    found = written(engine, *(Request(prompt, GREEDY, 0) for prompt in PROMPTS[2:5]))
    common = len(engine.tokenizer(ALIKE * 2)["input_ids"])
    assert sorted(completion.cached_tokens for completion in found)[0] == 0
    assert all(completion.cached_tokens >= common - 2 for completion in found[1:])
    assert all(completion.cached_tokens < completion.prompt_tokens for completion in found)


def test_a_sample_depends_on_its_seed_and_not_on_its_company(engine: Engine) -> None:
    requests = [Request(prompt, DRAWN, seed) for seed, prompt in enumerate(PROMPTS)]
    together = written(engine, *requests)
    alone = [written(engine, request)[0] for request in requests]
    assert [completion.text for completion in together] == [completion.text for completion in alone]
    other = written(engine, *(Request(prompt, DRAWN, seed + 100) for seed, prompt in enumerate(PROMPTS)))
    assert [completion.text for completion in other] != [completion.text for completion in alone]


def test_a_completion_ends_before_its_first_stop_text(engine: Engine) -> None:
    [whole] = written(engine, Request(PROMPTS[1], GREEDY, 0))
    assert whole.cut
    assert whole.completion_tokens == 24
    stop = whole.text[7:10]
    [stopped] = written(engine, Request(PROMPTS[1], Sampling(0.0, 1.0, 0.0, 0.0, 24, ("never found", stop)), 0))
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert not stopped.cut
    assert stopped.completion_tokens < 24


def test_a_prompt_that_is_too_long_is_refused_alone(engine: Engine) -> None:
    good, bad = engine.submit(Request("Who", GREEDY, 0)), engine.submit(Request("Who is it? " * 200, GREEDY, 0))
    with pytest.raises(BackendError, match="more than the 512 the model can hold; take fewer --shots") as caught:
        bad.result(timeout=300)
    assert (caught.value.retryable, caught.value.reason) == (False, TOO_LONG)
    assert good.result(timeout=300).completion_tokens == 24


@pytest.mark.parametrize("part", ["_forward", "_cache.reserve", "_draw.start", "_draw.next", "_completed"])
@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("too much"), "it ran out of memory; lower --concurrency"),
        (MemoryError("none left"), "MemoryError: none left"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_a_model_that_fails_leaves_nobody_waiting(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, part: str, error: BaseException, says: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    owner, _, name = part.rpartition(".")
    monkeypatch.setattr(getattr(engine, owner) if owner else engine, name, fail)
    futures = [engine.submit(Request(prompt, GREEDY, 0)) for prompt in PROMPTS]
    for future in [*futures, engine.submit(Request("later", GREEDY, 0))]:
        with pytest.raises(BackendError, match=f"the model failed: {says}"):
            future.result(timeout=300)
    engine.close()


def test_closing_cancels_what_is_in_work(engine: Engine) -> None:
    endless = Sampling(temperature=1.0, max_tokens=200)
    futures = [engine.submit(Request(prompt, endless, 0)) for prompt in PROMPTS * 5]
    engine.close()
    with pytest.raises(CancelledError):
        futures[-1].result(timeout=300)


def test_a_folder_that_holds_no_language_model_is_named(backbones: dict[str, Path], tmp_path: Path) -> None:
    async def connect() -> None:
        async with Transformers(str(tmp_path)).connect():
            raise AssertionError("nothing to connect to")

    with pytest.raises(ModelError, match=f"{tmp_path} is no causal language model"):
        asyncio.run(connect())


def test_the_default_model_knows_what_it_learned() -> None:
    async def ask() -> list[Completion]:
        async with Transformers(concurrency=2).connect() as complete:
            paris = Request("The capital of France is", Sampling(0.0, max_tokens=6), 1)
            count = Request("1, 2, 3, 4,", Sampling(0.0, max_tokens=20, stop=(" 7",)), 1)
            return list(await asyncio.gather(complete(paris), complete(count)))

    paris, count = asyncio.run(ask())
    assert "Paris" in paris.text
    assert "6" in count.text
    assert "7" not in count.text
    assert not count.cut
