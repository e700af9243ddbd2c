"""Contexts a second for five good negatives each, beside transformers, on a GPU where there is one.

smollm2-135m with two demonstrations, which are drawn for each context or shared by 128 contexts in a row. pneg's
time is from the first request to the last answer, retries included. The peer writes once, on the same weights
de-quantised. On a GPU: `--limit 7641 --rounds 1 --batch 384`.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import common
from pneg import models
from pneg.devices import best_device
from pneg.dialogue import Dialogue
from pneg.lm import Complete, Completion, Embedded, LanguageModel, Request, Transformers
from pneg.negatives.prompted import Prompted, prompt
from pneg.negatives.prompted.demonstrations import BLOCK, SOURCE, Demonstrations
from pneg.negatives.prompted.faults import Faults
from pneg.negatives.prompted.parse import parse

MODEL = "smollm2-135m"
COUNT = 5
SHOTS = 2
NEW_TOKENS = 240
LAYERS, OUTPUT = 106.2e6, 28.3e6
"""Weights that every token is multiplied with, and those that only written ones are."""
LAYER_BYTES = 2 * 2 * 3 * 64 * 30
"""Of keys and values of a position in bfloat16."""
MEMORY = "limit: memory"
FIRST = "pneg, own demonstrations, one attempt"


@dataclass(frozen=True)
class Round:
    """What a contender did in a round."""

    contexts: int
    seconds: float
    good: int
    read: int
    written: int


def main() -> None:
    """Measure and print."""
    parser = common.arguments(__doc__, limit=32, rounds=3)
    parser.add_argument("--batch", type=int, default=16, help="prompts of the peer at a time (default: %(default)s)")
    options = parser.parse_args()
    device = best_device()
    common.quiet()
    examples = common.dialogues(None, "dev.json", "starter:demonstrations")
    chosen = common.sample(common.dialogues(options.data, "data_positives.json"), options.limit * options.rounds)
    share = len(chosen) // options.rounds
    parts = [chosen[number * share : (number + 1) * share] for number in range(options.rounds)]
    contenders = {
        "pneg, own demonstrations": lambda n: _pneg(Transformers(), parts[n], n, examples, sets=0, attempts=10),
        "pneg, shared demonstrations (8 sets)": lambda n: _pneg(Transformers(), parts[n], n, examples, 8, 10),
        FIRST: lambda n: _pneg(Transformers(), parts[n], n, examples, sets=0, attempts=1),
    }
    precisions = ("bfloat16",)
    if device == "cpu":
        contenders["pneg, llama.cpp, own demonstrations"] = lambda n: _pneg(Embedded(), parts[n], n, examples, 0, 10)
        contenders["pneg, llama.cpp, shared demonstrations"] = lambda n: _pneg(
            Embedded(), parts[n], n, examples, 8, 10
        )
        precisions = common.precisions()
    for precision in precisions:
        contenders[f"transformers, {precision}, one attempt"] = _peer(
            parts, examples, precision, device, options.batch
        )
    found = common.interleaved(
        {name: _in_a_thread(run) for name, run in {**contenders, **_limits(device, precisions)}.items()},
        options.rounds,
    )

    work = [(2 * LAYERS * (of.read + of.written) + 2 * OUTPUT * of.written) / of.contexts for of in found[FIRST]]
    rows_at_once = Transformers().concurrency
    moved = [
        of.written * (2 * (LAYERS + OUTPUT) / rows_at_once + LAYER_BYTES * (of.read + of.written) / of.contexts)
        / of.contexts
        for of in found[FIRST]
    ]  # fmt: skip
    base = f"transformers, {precisions[0]}, one attempt"
    peer = median(of.contexts / of.seconds for of in found[base])
    rows = [["", "contexts/s", "lowest-highest", "of the peer", "good/context", "good/s", "read", "written"]]
    for name, values in found.items():
        if name not in contenders:
            needs = moved if name == MEMORY else work
            rates = [value / need for value, need in zip(values, needs, strict=True)]
            last = [""] * 4
        else:
            rates = [of.contexts / of.seconds for of in values]
            last = [
                f"{sum(of.good for of in values) / sum(of.contexts for of in values):.2f}",
                f"{median(of.good / of.seconds for of in values):.2f}",
                f"{sum(of.read for of in values) / sum(of.contexts for of in values):.0f}",
                f"{sum(of.written for of in values) / sum(of.contexts for of in values):.0f}",
            ]
        rate = median(rates)
        rows.append([name, f"{rate:.2f}", common.spread(rates), f"{rate / peer:.1f}x", *last])
    common.show(
        rows,
        f"{share} other contexts in each of {options.rounds} interleaved rounds, medians; {COUNT} responses, "
        f"{SHOTS} demonstrations, temperature 0.8. Loading is not timed. Read (from no cache) and written: tokens a "
        f"context. Peer: batches of {options.batch}, left padding, stops behind the fifth response, {NEW_TOKENS} new "
        f"tokens at most, one attempt and no retry, no penalties. Of the peer: of '{base}'. Limits: what the "
        f"machine's matrix product would allow for the tokens of '{FIRST}', and what its memory would, if a step "
        f"of {rows_at_once} texts reads the weights once and all keys and values; llama.cpp multiplies in 8 bits, "
        "pneg otherwise in bfloat16 where the device does.",
        "torch",
        "transformers",
    )


class Clocked:
    """A language model that notes when its first request began and when its last answer came."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm, self.name, self.concurrency = lm, lm.name, lm.concurrency
        self.began = self.ended = 0.0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Complete]:
        """Start the model, then the clock with the first request."""
        async with self.lm.connect() as complete:

            async def timed(request: Request) -> Completion:
                self.began = self.began or time.perf_counter()
                answer = await complete(request)
                self.ended = time.perf_counter()
                return answer

            yield timed


def _pneg(
    model: LanguageModel, part: list[Dialogue], number: int, examples: list[Dialogue], sets: int, attempts: int
) -> Round:
    lm = Clocked(model)
    source = Prompted(
        lm,
        examples,
        shots=SHOTS,
        demonstration_sets=sets,
        attempts=attempts,
        first=number * BLOCK,
    )
    good = sum(map(len, source.propose(part, COUNT)))
    tally = source.tally
    read = tally.prompt_tokens - tally.cached_tokens
    return Round(len(part), lm.ended - lm.began, good, read, tally.completion_tokens)


def _in_a_thread(run: Callable[[int], Any]) -> Callable[[int], Any]:
    """The same in a thread that ends, whose OpenMP threads end with it and do not slow down who comes next."""

    def alone(number: int) -> Any:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run, number).result()

    return alone


def _limits(device: str, precisions: Sequence[str]) -> dict[str, Callable[[int], float]]:
    """The machine's own, by name: operations a second of products, bytes a second of its memory."""
    products: dict[str, Callable[[int], float]] = {
        f"limit: {precision} matmul": lambda _, precision=precision: common.matmul_rate(precision, device)
        for precision in precisions
    }
    return {**products, MEMORY: lambda _: common.memory_rate(device)}


def _peer(parts: list[list[Dialogue]], examples: list[Dialogue], precision: str, device: str, batch_size: int) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = models.causal_folder(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    stops = list(prompt.stops(COUNT))

    def write(number: int) -> Round:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision)).to(device)
        torch.manual_seed(number)
        demonstrations = Demonstrations(examples, COUNT, SHOTS, 0, seed=0)
        good = read = written = 0
        started = time.perf_counter()
        for batch in _batches(parts[number], batch_size):
            shown = [demonstrations.of(item, number * BLOCK + place) for place, item in batch]
            prompts = [prompt.build(own, item, COUNT) for own, (_, item) in zip(shown, batch, strict=True)]
            inputs = tokenizer(prompts, return_tensors="pt", padding=True).to(device)
            length = inputs["input_ids"].shape[1]
            with torch.inference_mode():
                output = model.generate(
                    **inputs,
                    max_new_tokens=NEW_TOKENS,
                    do_sample=True,
                    temperature=0.8,
                    top_k=0,
                    stop_strings=stops,
                    tokenizer=tokenizer,
                )[:, length:]
            new = (output != tokenizer.pad_token_id).sum(1).tolist()
            read += int(inputs["attention_mask"].sum())
            written += sum(new)
            for text, tokens, own, (_, item) in zip(
                tokenizer.batch_decode(output, skip_special_tokens=True), new, shown, batch, strict=True
            ):
                good += _good(text, stops, tokens == NEW_TOKENS, own, item)
        return Round(len(parts[number]), time.perf_counter() - started, good, read, written)

    return write


def _batches(part: list[Dialogue], size: int) -> Iterator[list[tuple[int, Dialogue]]]:
    places = list(enumerate(part))
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _good(text: str, stops: list[str], cut: bool, shown: tuple[Dialogue, ...], item: Dialogue) -> int:
    """How many responses of a completion have no fault."""
    ends = [text.find(stop) for stop in stops if stop in text]
    text = text[: min(ends)] if ends else text
    faults = Faults(item, [response for example in shown for response in example.negatives[SOURCE][:COUNT]])
    parsed = parse(text, 1, cut and not ends)
    return min(COUNT, sum(faults.of(response) is None for response in parsed))


if __name__ == "__main__":
    main()
